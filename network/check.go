package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// Check compares the endpoint, and the namespace and the addresses that the runtime believes in, with what is. What is
// wrong on the host's side is repaired, and reported all the same.
// Error: ErrDifference, which names the first one.
func (m *Manager) Check(ctx context.Context, o Owner, netns string, believed []netip.Prefix) error {
	n, e, err := m.find(ctx, o)
	if err != nil {
		return err
	}
	if e == nil || e.State != Ready {
		return fmt.Errorf("%w: no ready endpoint for %s is known", ErrDifference, o)
	}
	for _, b := range believed {
		if !contains(e.Addresses, b) {
			return fmt.Errorf("%w: the endpoint has %v, the runtime's result says %s", ErrDifference, e.Addresses, b)
		}
	}
	if e.NetNS == "" {
		e.NetNS = netns // the endpoint was rebuilt from the host, which does not tell
	}
	err = m.Plane.CheckEndpoint(ctx, n, e)
	if !errors.Is(err, ErrDifference) {
		return err
	}
	n.Suspect = true
	if rerr := m.ensure(ctx, n); rerr != nil {
		return fmt.Errorf("%w; and it cannot be repaired: %w", err, rerr)
	}
	if m.Plane.CheckEndpoint(ctx, n, e) == nil {
		err = fmt.Errorf("%w; it has been repaired just now", err)
	}
	return err
}

func contains(list []netip.Prefix, p netip.Prefix) bool {
	for _, have := range list {
		if have == p {
			return true
		}
	}
	return false
}
