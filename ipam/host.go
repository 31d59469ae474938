package ipam

import (
	"context"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/platform"
)

// Source is where addresses come from: the host agent in Azure, a file on Azure Stack.
type Source interface {
	// Subnets lists the subnets of all NICs. Errors wrap source.ErrUnavailable.
	Subnets(ctx context.Context) ([]source.Subnet, error)
	// Stamp changes when the source has changed and is cheap to get; "" if only asking can tell.
	Stamp() string
}

// hostInterfaces is the real Host.
type hostInterfaces struct {
	ifaces []platform.Interface
	master string // the configuration's, if any
}

// NIC implements Host. By MAC, several interfaces may match: accelerated networking gives the VF the MAC of
// its synthetic NIC, and our bridge has its master's. Bridges, veths, slaves of anything but a bridge,
// loopback and what we made never match; a veth does when the configuration names it as master (a node that
// is itself a container).
func (h hostInterfaces) NIC(sub source.Subnet) (NIC, bool) {
	for _, i := range h.ifaces {
		if mac := i.MAC.String(); h.usable(i) && (mac == sub.MAC || sub.MAC == "*") {
			return NIC{Name: platform.AdapterName(i.Name), MAC: mac}, true
		}
	}
	return NIC{}, false
}

func (h hostInterfaces) usable(i platform.Interface) bool {
	return !i.Loopback && !i.Slave && i.Kind != "bridge" && len(i.MAC) == 6 && !strings.HasPrefix(i.Name,
		azure.HostVethPrefix) && (i.Kind != "veth" || i.Name == h.master)
}

// HasMAC implements Host. Our bridge keeps the MAC of a NIC that is gone: only NICs count.
func (h hostInterfaces) HasMAC(mac string) bool {
	_, found := h.NIC(source.Subnet{MAC: mac})
	return found
}

// Space is what a source's answer is worth on a host with these interfaces, of which the configuration may name one as
// master; nobody holds anything of it.
func Space(answer []source.Subnet, ifaces []platform.Interface, master string) AddressSpace {
	var s AddressSpace
	s.Refresh(answer, hostInterfaces{ifaces, master})
	return s
}
