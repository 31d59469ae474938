package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/Azure/azure-container-networking/network"
)

// Cleanup takes a network away: its endpoints, its rules, its bridge, and what is written about it. The host gets
// back what it had. It returns how many endpoints went. What another network uses stays.
func (m *Manager) Cleanup(ctx context.Context, name string) (int, error) {
	owners, _, err := m.Collect(ctx, name, func(string, string) bool { return false })
	collected := len(owners)
	if err != nil {
		return collected, err // an endpoint that is still there needs its network
	}
	there, err := m.Dataplane.There(ctx, name)
	if err != nil {
		return collected, err
	}
	var gone []*network.Network
	err = m.Store.View(ctx, func(s *network.State) error {
		n := s.Networks[name]
		if n == nil || n.Master == "" {
			if there { // the state was lost
				gone = append(gone, &network.Network{Name: name})
			}
			return nil
		}
		delete(s.Networks, name) // in the copy that View throws away: what is left is what others use
		for _, f := range append([]network.Former{{Master: n.Master, Bridge: n.Bridge, Family: n.Family}}, n.Former...) {
			if s.Shares(f) {
				continue
			}
			take := *n
			if f.Bridge != n.Bridge {
				take.Snapshot, take.DNS = nil, nil
			}
			take.Master, take.Bridge, take.Family = f.Master, f.Bridge, f.Family
			if len(s.Networks) > 0 {
				take.Sysctls = nil // the others need them
			}
			gone = append(gone, &take)
		}
		return nil
	})
	if err != nil {
		return collected, err
	}
	for _, n := range gone {
		if derr := m.Dataplane.DeleteNetwork(ctx, n); derr != nil {
			err = errors.Join(err, fmt.Errorf("take network %s with bridge %q away from %s: %w", name, n.Bridge, n.Master, derr))
		}
	}
	if err != nil {
		return collected, err
	}
	return collected, m.Store.Update(ctx, func(s *network.State) error {
		n := s.Networks[name]
		if n == nil {
			return nil
		}
		delete(s.Networks, name)
		for _, other := range s.Networks {
			other.Remember(n.Sysctls) // whoever goes last gives them back
		}
		return nil
	})
}

// Given is who gave the addresses of a network's pods (Network.Giver), and to whom.
func (m *Manager) Given(ctx context.Context, name string) (giver json.RawMessage, owners []network.Owner, err error) {
	err = m.Store.View(ctx, func(s *network.State) error {
		n := s.Networks[name]
		if n == nil {
			return nil
		}
		giver = n.Giver
		for e := range n.Endpoints.All() {
			owners = append(owners, e.Owner)
		}
		return nil
	})
	return giver, owners, err
}
