package manager

import (
	"context"

	"github.com/Azure/azure-container-networking/network"
)

// Share lets a container use the endpoint that the owner has already, which can be the owner's own container once more.
// It returns nil if there is none, or only what an interrupted ADD left.
func (m *Manager) Share(ctx context.Context, o network.Owner, netns, containerID string) (*network.Endpoint, error) {
	n, e, err := m.shared(ctx, o, netns)
	if err != nil || e.State == network.Pending {
		return nil, err
	}
	found, err := m.Dataplane.Share(ctx, n, e, containerID)
	if err != nil || !found {
		return nil, err
	}
	return e, nil
}

// Unshare takes the container off the owner's endpoint, which stays.
func (m *Manager) Unshare(ctx context.Context, o network.Owner, netns, containerID string) error {
	n, e, err := m.shared(ctx, o, netns)
	if err != nil {
		return err
	}
	return m.Dataplane.Unshare(ctx, n, e, containerID)
}

// shared is what the state knows of the owner's endpoint; without a state, what the name says.
func (m *Manager) shared(ctx context.Context, o network.Owner,
	netns string) (*network.Network, *network.Endpoint, error) {
	n, e, err := m.find(ctx, o)
	if n == nil {
		n = &network.Network{Name: o.Network}
	}
	if e == nil {
		e = &network.Endpoint{Owner: o, NetNS: netns}
	}
	return n, e, err
}
