package network

import "context"

// classicCleaner is what a data plane can offer besides: to find, and take away, what the classic plugin left on the host.
type classicCleaner interface {
	// Remains says what there is beside the bridges of these networks, one thing each; with remove it is taken away.
	// Error: ErrLost if a pod lives on some of it.
	Remains(ctx context.Context, networks []*Network, remove bool) ([]string, error)
}

// Remains says what the classic plugin, or a plugin after it that went its ways, left on the host, and takes it away with remove. What the
// state knows stays.
// Errors: ErrLost, and the store's.
func (m *Manager) Remains(ctx context.Context, remove bool) ([]string, error) {
	plane, ok := m.Plane.(classicCleaner)
	if !ok {
		return nil, nil
	}
	var networks []*Network
	err := m.Store.View(ctx, func(s *State) error {
		for _, record := range s.Networks {
			n := s.view(record)
			n.Endpoints = record.Endpoints
			networks = append(networks, n)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return plane.Remains(ctx, networks, remove)
}
