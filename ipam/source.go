package ipam

import (
	"context"

	"github.com/Azure/azure-container-networking/platform"
)

// Source is where addresses come from: the host agent in Azure, a file on Azure Stack.
type Source interface {
	// Subnets lists the subnets of all NICs. Errors wrap ErrSource.
	Subnets(ctx context.Context) ([]Subnet, error)
}

// matchNIC finds the interface of this host that carries a subnet.
//
// By MAC, several may match: accelerated networking gives the VF the MAC of its synthetic NIC, and our
// bridge has its master's. Bridges, veths, slaves of anything but a bridge and loopback never match; a
// veth does when the configuration names it as master (a node that is itself a container).
func matchNIC(ifaces []platform.Interface, master string, sub Subnet) (NIC, bool) {
	for _, i := range ifaces {
		if i.Loopback || i.Slave || i.Kind == "bridge" || len(i.MAC) != 6 || i.Kind == "veth" && i.Name != master {
			continue
		}
		if mac := i.MAC.String(); mac == sub.MAC || sub.MAC == "*" {
			return NIC{Name: i.Name, MAC: mac}, true
		}
	}
	return NIC{}, false
}
