package network

import (
	"context"
	"fmt"
	"net/netip"
)

// What HNS has nothing of. An endpoint is looked for by its name in HNS, not in a state that was lost, and the host's end of it has neither a
// name nor a size of its own.

// DeleteEndpoints implements Dataplane, one by one: HNS has no other way.
func (w *Windows) DeleteEndpoints(ctx context.Context, n *Network, list []*Endpoint) error {
	for _, e := range list {
		if err := w.DeleteEndpoint(ctx, n, e); err != nil {
			return err
		}
	}
	return nil
}

// Adopt implements Dataplane: HNS lets a container have the MAC that it was told, and no other.
func (*Windows) Adopt(_ context.Context, _ *Network, e *Endpoint) error {
	return fmt.Errorf("%w: the runtime's result says MAC %s", ErrDifference, e.MAC)
}

// FollowMTU implements Dataplane.
func (*Windows) FollowMTU(context.Context, *Endpoint, int) error { return nil }

// Named implements Dataplane.
func (*Windows) Named(context.Context, string) (Owner, error) { return Owner{}, nil }

// Rename implements Dataplane.
func (*Windows) Rename(context.Context, Owner, string, string) error { return nil }

// Endpoints implements Dataplane.
func (*Windows) Endpoints(context.Context, *Network) ([]*Endpoint, error) { return nil, nil }

// Gone implements Dataplane.
func (*Windows) Gone(context.Context, *Endpoint) (bool, error) { return false, nil }

// Sever implements Dataplane.
func (*Windows) Sever(context.Context, Owner, string) error { return nil }

// Sweep implements Dataplane.
func (*Windows) Sweep(context.Context, *Network, func(context.Context) (map[netip.Addr]bool, error)) error {
	return nil
}

// Remains implements Dataplane.
func (*Windows) Remains(context.Context, []*Network, bool) ([]string, error) { return nil, nil }

// Ailing implements Dataplane: an endpoint is there or not, and CHECK says which.
func (*Windows) Ailing(context.Context, *Network) ([]string, error) { return nil, nil }
