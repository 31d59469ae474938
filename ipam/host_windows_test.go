package ipam

import (
	"testing"

	"github.com/Azure/azure-container-networking/ipam/source"
)

// As soon as HNS has put the adapter behind a virtual switch, the host shows the switch's port instead: to a pool, and
// to who asks for its interface, both are the same.
func TestAPoolStaysWithItsAdapterWhenHNSMakesASwitch(t *testing.T) {
	t.Parallel()
	sub := source.Subnet{MAC: "00:0d:3a:11:22:33", Primary: true, Prefix: prefix("10.240.0.0/16"),
		Addresses: addrs(t, "10.240.0.5", "10.240.0.6", "10.240.0.7", "10.240.0.8")}
	var s AddressSpace
	for _, name := range []string{"Ethernet 2", "vEthernet (Ethernet 2)"} {
		s.Refresh([]source.Subnet{sub}, hostOf(iface(name, "00:0d:3a:11:22:33")))
		for _, master := range []string{"Ethernet 2", "vEthernet (Ethernet 2)"} {
			q := Request{Owner: Owner{Network: "azure", ContainerID: name + master, IfName: "eth0"}, Master: master}
			if a, err := s.Allocate(q, testTime); err != nil || a.Interface != "Ethernet 2" {
				t.Errorf("%s, master %s: %v, %+v", name, master, err, a)
			}
		}
	}
	sound(t, &s)
}
