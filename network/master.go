package network

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/platform"
)

// PickMaster finds the host interface that connects pods to the VNET: the one that is asked for, or the one
// that carries the pods' subnet, a secondary NIC before the primary. It is never a bridge (our own has the
// master's address after the first pod), never loopback, never the VF under a synthetic NIC, which has the
// same MAC; and a veth, usually a pod's, only when it is asked for by name.
// Error: ErrMaster.
func PickMaster(ifaces []platform.Interface, want string, pods []netip.Prefix) (platform.Interface, error) {
	if want != "" {
		for _, i := range ifaces {
			if platform.SameAdapter(i.Name, want) {
				return i, UsableMaster(i, true)
			}
		}
		return platform.Interface{},
			fmt.Errorf("%w: there is no interface %s; set \"master\" to one of %s", ErrMaster, want, UsableNames(ifaces))
	}
	var best platform.Interface
	for _, i := range ifaces {
		// Later indexes are secondary NICs: the primary one is there first.
		if UsableMaster(i, false) == nil && Carries(ifaces, i, pods) && i.Index > best.Index {
			best = i
		}
	}
	if best.Index == 0 {
		return best, fmt.Errorf("%w: no interface carries the subnet of %v; set \"master\" to one of %s",
			ErrMaster, pods, UsableNames(ifaces))
	}
	return best, nil
}

// UsableMaster says whether the interface can be a master: one that nobody named, or one by its name.
// Error: ErrMaster.
func UsableMaster(i platform.Interface, byName bool) error {
	switch {
	case i.Loopback:
		return fmt.Errorf("%w: %s is the loopback interface", ErrMaster, i.Name)
	case i.Kind == "bridge":
		return fmt.Errorf("%w: %s is a bridge", ErrMaster, i.Name)
	case i.Slave:
		return fmt.Errorf("%w: %s is a slave of another interface (a virtual function of an accelerated NIC)",
			ErrMaster, i.Name)
	case len(i.MAC) != 6:
		return fmt.Errorf("%w: %s is not an Ethernet interface", ErrMaster, i.Name)
	case i.Kind == "veth" && (!byName || strings.HasPrefix(i.Name, azure.HostVethPrefix)):
		return fmt.Errorf("%w: %s is a veth", ErrMaster, i.Name)
	}
	return nil
}

// Carries says whether the interface, or the bridge it is a port of, has an address in a pod's subnet.
func Carries(ifaces []platform.Interface, i platform.Interface, pods []netip.Prefix) bool {
	for _, at := range ifaces {
		if at.Index != i.Index && (at.Index != i.Master || at.Kind != "bridge") {
			continue
		}
		for _, has := range at.Prefixes {
			for _, pod := range pods {
				if has.Masked().Contains(pod.Addr()) {
					return true
				}
			}
		}
	}
	return false
}

// UsableNames are the interfaces that can be a master, for messages.
func UsableNames(ifaces []platform.Interface) string {
	var names []string
	for _, i := range ifaces {
		if UsableMaster(i, false) == nil {
			names = append(names, i.Name)
		}
	}
	if len(names) == 0 {
		return "(none is usable)"
	}
	return strings.Join(names, ", ")
}

// adapterFor is the adapter that HNS is to be told: none if the host shows, in its place or beside it, the port of the
// virtual switch that it is behind already. Else in the host's spelling.
func adapterFor(ifaces []platform.Interface, name string) string {
	for _, i := range ifaces {
		if !platform.SameAdapter(i.Name, name) {
			continue
		}
		if platform.AdapterName(i.Name) != i.Name {
			return ""
		}
		name = i.Name
	}
	return name
}
