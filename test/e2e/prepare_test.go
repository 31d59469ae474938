//go:build linux

package e2e

import (
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// A machine that was prepared before its first pod keeps its NIC in the bridge when the real manager of its network
// restarts, with no unit that would repair it; doctor finds nothing that the manager would take away.
func TestAPreparedNodeOutlastsItsManagers(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"systemd-networkd by name": "ran networkctl reload.", "systemd-networkd by MAC": "ran networkctl reload.",
		"NetworkManager": "ran nmcli general reload conf.",
	} {
		t.Run(name, func(t *testing.T) {
			cfg := fabric.Default(2, 4)
			cfg.VMs[0].NICs[0].Veth = true
			l := newLab(t, cfg)
			l.broken = true // what networkd sends from the master while it has the address, too
			who := neighbours[name]
			n, fields := l.nodes[0], map[string]any{"mode": "bridge", "bridge": "azure0"}
			m := l.boot(n, fields, who.files)
			m.sh("systemctl start " + who.starts)
			l.eventually("nobody configures eth0", func() bool { return strings.Contains(l.run(n, "ip route show default"), gateway.String()) })
			if who.starts == "NetworkManager" {
				m.sh("until nmcli general status >/dev/null 2>&1; do :; done") // it has an address before it can be asked
			}
			if said := m.sh("/opt/cni/bin/azure-vnet host prepare"); !strings.Contains(said, says) {
				t.Errorf("host prepare says %s", said)
			}
			pod := l.add(n, l.list(n, fields))
			for _, f := range m.doctor().ailing() {
				if f.Check == "host-network" {
					t.Errorf("doctor says %+v", f)
				}
			}
			if who.starts == "systemd-networkd" { // NetworkManager takes the NIC out, whatever it is told: docs/host.md
				m.suffer(pod, `systemctl restart systemd-networkd; until networkctl list eth0 | grep -Eq 'configured|configuring|degraded'; do :; done; ip -o link show eth0 | grep -q 'master azure0'; /opt/cni/bin/azure-vnet repair`, 7300)
			}
			l.live(n, "bridge", pod)
			if said := m.sh("/opt/cni/bin/azure-vnet host restore 2>&1 || :"); !strings.Contains(said,
				"the host's network is on the bridge azure0") {
				t.Errorf("with a pod, host restore says %s", said)
			}
			l.must(pod.Del(l.ctx))
			m.sh("/opt/cni/bin/azure-vnet cleanup --yes")
			if said := m.sh("/opt/cni/bin/azure-vnet host restore"); strings.Count(said, "removed ") < 3 {
				t.Errorf("host restore says %s", said)
			}
		})
	}
}
