package linux

import (
	"context"
	"net/netip"

	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/nft"
)

// mode is how pods are connected: all that differs between a bridge and routes. Another one is a file with another
// type, and a line in modeOf.
type mode interface {
	// ensure makes the network, and notes in n what it sees.
	ensure(ctx context.Context, l *Dataplane, n *view) error
	// check names the first difference between the network and what is there.
	// Error: network.ErrDifference.
	check(k *kernel, n *view) error
	// remove gives the host back what the network took, but for rules and sysctls.
	remove(ctx context.Context, l *Dataplane, k *kernel, n *view) error
	// scope is where the network's rules are, as far as that is known.
	scope(n *view) nft.Scope
	// pod completes what connects the endpoint.
	pod(nl *netlink.Handle, n *view, e *network.Endpoint, p netlink.Pod) (netlink.Pod, error)
	// prefix is an address as a pod has it.
	prefix(n *view, a netip.Addr) netip.Prefix
	// routes says whether the host's own stack routes all that pods send and get.
	routes() bool

	// carrier is the link that the host veths of the network are ports of, by its index; 0 for none. ok is false if it is
	// gone.
	carrier(n *view, links []netlink.Link) (index int, ok bool)
	// has says whether a pod on the carrier is one of the network's, as its addresses tell.
	has(n *view, addresses []netip.Prefix) bool

	// examine is the check of what carries the network, with the rules that shall be there; without rules there is nothing
	// to look at further.
	examine(k *kernel, n *view, master netlink.Link) (*nft.Rules, []finding.Finding)
	// supported says what the kernel has of what the rules need, or what it lacks.
	supported(k *kernel) (found string, lacks error)
}

// modeOf is that of a network. Of a former one only the bridge is known.
func modeOf(n *network.Network) mode {
	switch {
	case n.Mode.Routed(), n.Mode == "" && n.Bridge == "":
		return routed{}
	}
	return bridged{}
}
