package manager

import (
	"context"
	"fmt"
	"slices"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/store"
)

// ClaimAdd is Claim for an ADD. A sandbox that has the pod's name on its host veth gives it to the pod's next one, so
// what is about that is kept away, too.
// Errors: the store's.
func (m *Manager) ClaimAdd(ctx context.Context, c network.Config, e *network.Endpoint) (*store.Claim, error) {
	name := e.PodIfName(c.Mode)
	if name == "" {
		return m.Claim(ctx, e.Owner)
	}
	for {
		before, err := m.namesakes(ctx, e.Owner, name)
		if err != nil {
			return nil, err
		}
		things := []string{e.Owner.String(), name}
		for _, o := range before {
			things = append(things, o.String())
		}
		claim, err := m.take(ctx, things...)
		if err != nil {
			return nil, err
		}
		now, err := m.namesakes(ctx, e.Owner, name)
		if err == nil && !slices.ContainsFunc(now, func(o network.Owner) bool { return !slices.Contains(before, o) }) {
			return claim, nil
		}
		claim.Release()
		if err != nil {
			return nil, err
		}
	}
}

// namesakes are the other owners whose host veth has the name, or shall have it.
func (m *Manager) namesakes(ctx context.Context, o network.Owner, name string) (list []network.Owner, err error) {
	err = m.Store.View(ctx, func(s *network.State) error {
		for _, n := range s.Networks {
			for e := range n.Endpoints.All() {
				if e.HostIfName == name {
					list = append(list, e.Owner)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	there, err := m.Dataplane.Named(ctx, name)
	if err == nil && there != (network.Owner{}) && !slices.Contains(list, there) {
		list = append(list, there)
	}
	return slices.DeleteFunc(list, func(other network.Owner) bool { return other == o }), err
}

// takeName gives the host veths of the pod's earlier sandboxes their owners' names.
func (m *Manager) takeName(ctx context.Context, o network.Owner, name string) error {
	if name == "" {
		return nil
	}
	others, err := m.namesakes(ctx, o, name)
	if err != nil || len(others) == 0 {
		return err
	}
	for _, other := range others {
		m.Log.Info("a new sandbox of the pod takes the host veth's name", "name", name, "from", other)
		if err := m.Dataplane.Rename(ctx, other, name, other.HostIfName()); err != nil {
			return fmt.Errorf("rename host veth %s of %s: %w", name, other, err)
		}
	}
	return m.Store.Update(ctx, func(s *network.State) error {
		for _, other := range others {
			if n, known := s.Endpoint(other); known != nil && known.HostIfName == name {
				known.HostIfName = other.HostIfName()
				n.Endpoints.Set(known)
			}
		}
		return nil
	})
}
