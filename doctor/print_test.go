package doctor

import (
	"fmt"
	"testing"

	"github.com/Azure/azure-container-networking/cni/console/consoletest"
	"github.com/Azure/azure-container-networking/finding"
)

// What doctor says on a terminal of 80 columns, on a narrow one, and into a pipe, with 250 sick pods.
func TestDoctorsScreens(t *testing.T) {
	t.Parallel()
	found := []finding.Finding{
		{Check: "configuration", Level: finding.OK, Found: "/etc/cni/net.d/10-azure.conflist: network azure, mode bridge"},
		{Check: "plugins", Level: finding.Failure,
			Found:  "plugin portmap is not in /opt/cni/bin; /etc/cni/net.d/10-azure.conflist names it, and no pod starts",
			Remedy: remedyInstall("portmap", nil)},
		{Check: "pools", Level: finding.Warning, Found: "pool 10.240.0.0/16 on eth0 (network azure): 3 of 250 addresses are free",
			Remedy: "assign more addresses to the NIC (docs/ipam.md) before they run out"},
		{Check: "rules", Level: finding.Failure, Found: "the nftables rules of azure0 (table bridge azure-vnet) are not in place",
			Remedy: "/opt/cni/bin/azure-vnet repair"},
	}
	for i := range 250 {
		found = append(found, finding.Finding{Check: "endpoints", Level: finding.Failure,
			Found: fmt.Sprintf("pod default/web-%d [10.240.1.%d/16] (azure/%064x/eth0): the element of 10.240.1.%d is not there", i, i, i+0xabcdef,
				i),
			Remedy: "/opt/cni/bin/azure-vnet repair; if the pod still has no network, restart it"})
	}
	found = bounded(append(found, finding.Finding{Check: "masquerade", Level: finding.OK,
		Found: "what pods send out of the VNET leaves behind the host's address"}))
	d := diagnosis{Failures: count(found, finding.Failure), Warnings: count(found, finding.Warning), Findings: found}
	for name, width := range map[string]int{"doctor-80": 80, "doctor-40": 40, "doctor-piped": 0} {
		consoletest.Screen(t, name, d.text(width))
	}
}
