package manager

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/log/step"
	"github.com/Azure/azure-container-networking/network"
)

// usableAddresses says whether a pod can have the endpoint's addresses, as far as that does not depend on other pods:
// whoever gave one that is somebody else's would take that one's packets, the host's for example, which then has no
// network.
// Error: ErrAddress.
func (m *Manager) usableAddresses(e *network.Endpoint) error {
	var host map[netip.Addr]string
	if m.OnHost != nil {
		is6 := func(p netip.Prefix) bool { return p.Addr().Is6() }
		is4 := func(p netip.Prefix) bool { return p.Addr().Is4() }
		var err error
		read := func() (map[netip.Addr]string, error) {
			return m.OnHost(slices.ContainsFunc(e.Addresses, is4), slices.ContainsFunc(e.Addresses, is6))
		}
		if host, err = step.Get(m.Log, "read the host's addresses", read); err != nil {
			return err
		}
	}
	for _, p := range e.Addresses {
		whose := specialAddress(p)
		if whose == "" && slices.Contains(e.NextHops(), p.Addr()) {
			whose = "that of the gateway which the pod is to use"
		}
		if at, has := host[p.Addr()]; has {
			whose = "the host's own, on " + at
		}
		if whose != "" {
			return fmt.Errorf("%w: %s is %s", network.ErrAddress, p.Addr(), whose)
		}
	}
	return nil
}

// specialAddress says whose the address is in every VNET, or "". Of each subnet Azure keeps the first addresses, the
// gateway's among them, and the last.
func specialAddress(p netip.Prefix) string {
	a, subnet := p.Addr(), p.Masked().Addr()
	wide := p.Bits() < a.BitLen()-1 // else there is no room for a gateway
	switch {
	case a == azure.HostAgent:
		return "that of Azure's host agent"
	case a == azure.Router6:
		return "that of Azure's router"
	case a == network.RoutedGateway4, a == network.RoutedGateway6:
		return "that of the next hop of pods in transparent mode"
	case a.IsLinkLocalUnicast():
		return "good on one link only"
	case a.IsLoopback(), a.IsUnspecified(), a.IsMulticast(), a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240):
		return "not that of any single host"
	case wide && a == subnet:
		return "that of the subnet " + p.Masked().String() + " itself"
	case wide && a == subnet.Next():
		return "that of the gateway of " + p.Masked().String()
	case wide && a.Is4() && !p.Contains(a.Next()):
		return "the broadcast address of " + p.Masked().String()
	}
	return ""
}

// freeOfOthers says whether no other pod in reach of the network n has the endpoint's addresses. A record whose pod
// ended without a DEL holds nothing: its veth went with the pod.
// Error: ErrAddress.
func (m *Manager) freeOfOthers(s *network.State, n *network.Network, e *network.Endpoint) error {
	for _, other := range s.Networks {
		if other.Master != n.Master && (!other.Mode.Routed() || !n.Mode.Routed()) {
			continue // its addresses are another subnet's, or of another VNET
		}
		for _, p := range e.Addresses {
			a := p.Addr()
			for holder := range other.Endpoints.Having(a) {
				if holder.Owner != e.Owner && m.lives(holder) {
					return fmt.Errorf("%w: %s is that of another pod, %s", network.ErrAddress, a, holder.Owner)
				}
			}
		}
	}
	return nil
}

// lives says whether the endpoint's pod is there, or about to be.
func (m *Manager) lives(e *network.Endpoint) bool {
	if e.State != network.Ready || m.Interface == nil {
		return true
	}
	_, ok, err := m.Interface(e.HostIfName)
	return ok || err != nil
}
