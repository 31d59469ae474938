package hns

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/Azure/azure-container-networking/network"
)

// What HNS has nothing of. An endpoint is looked for by its name in HNS, not in a state that was lost, and the host's
// end of it has neither a name nor a size of its own.

// DeleteEndpoints implements network.Dataplane, one by one: HNS has no other way.
func (w *Dataplane) DeleteEndpoints(ctx context.Context, n *network.Network, list []*network.Endpoint) error {
	for _, e := range list {
		if err := w.DeleteEndpoint(ctx, n, e); err != nil {
			return err
		}
	}
	return nil
}

// Adopt implements network.Dataplane: HNS lets a container have the MAC that it was told, and no other.
func (*Dataplane) Adopt(_ context.Context, _ *network.Network, e *network.Endpoint) error {
	return fmt.Errorf("%w: the runtime's result says MAC %s", network.ErrDifference, e.MAC)
}

// FollowMTU implements network.Dataplane.
func (*Dataplane) FollowMTU(context.Context, *network.Endpoint, int) error { return nil }

// Named implements network.Dataplane.
func (*Dataplane) Named(context.Context, string) (network.Owner, error) { return network.Owner{}, nil }

// Rename implements network.Dataplane.
func (*Dataplane) Rename(context.Context, network.Owner, string, string) error { return nil }

// Sever implements network.Dataplane.
func (*Dataplane) Sever(context.Context, network.Owner, string) error { return nil }

// Sweep implements network.Dataplane.
func (*Dataplane) Sweep(context.Context, *network.Network, func(context.Context) (map[netip.Addr]bool, error)) error {
	return nil
}

// Remains implements network.Dataplane.
func (*Dataplane) Remains(context.Context, []*network.Network, bool) ([]string, error) {
	return nil, nil
}

// Ailing implements network.Dataplane: an endpoint is there or not, and CHECK says which.
func (*Dataplane) Ailing(context.Context, *network.Network) ([]string, error) { return nil, nil }
