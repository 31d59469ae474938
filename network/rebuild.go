package network

import (
	"context"
)

// rebuilder is what a data plane can offer besides: to find the endpoints that a network has on the host.
type rebuilder interface {
	Endpoints(ctx context.Context, n *Network) ([]*Endpoint, error)
}

// rebuild completes the record of a network that is new to the state, but not to the host: the file was lost with pods
// alive.
func (m *Manager) rebuild(ctx context.Context, n *Network) error {
	plane, ok := m.Plane.(rebuilder)
	if !ok {
		return nil
	}
	found, err := plane.Endpoints(ctx, n)
	if err != nil || len(found) == 0 {
		return err
	}
	return m.Store.Update(ctx, func(s *State) error {
		record := s.Networks[n.Name]
		if record == nil {
			return nil
		}
		var lost Endpoints
		for _, e := range found {
			if record.Endpoints.Get(e.key()) == nil {
				m.Log.Warn("an endpoint that only the host knew is in the state again", "endpoint", e.Owner, "addresses", e.Addresses)
				record.Endpoints.Set(e)
				lost.Set(e)
			}
		}
		n.Live = append(n.Live, lost)
		return nil
	})
}
