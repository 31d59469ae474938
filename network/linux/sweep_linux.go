package linux

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/nft"
)

// Sweep implements network.Dataplane. A pod's neighbours on the bridge name no owner: when its veth and its elements
// have gone and its record was lost, only the address says that they are nobody's.
func (l *Dataplane) Sweep(ctx context.Context, n *network.Network,
	known func(context.Context) (map[netip.Addr]bool, error)) error {
	nl, err := netlink.Open(l.Host.Sockets)
	if err != nil {
		return err
	}
	defer nl.Close()
	bridge, err := nl.Link(n.Bridge)
	if errors.Is(err, netlink.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	stray, err := nl.PodNeighbours(bridge)
	if err != nil || len(stray) == 0 {
		return err
	}
	// Of a pod that the state has lost the elements tell.
	elements, err := l.strayElements(func(nft.Element) bool { return true })
	if err != nil {
		return err
	}
	has, err := known(ctx)
	if err != nil {
		return err
	}
	for _, e := range elements {
		has[e.Address] = true
	}
	stray = slices.DeleteFunc(stray, func(a netip.Addr) bool { return has[a] })
	if len(stray) == 0 {
		return nil
	}
	return nl.DeletePods(nil, n.Bridge, stray)
}
