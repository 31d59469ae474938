package manager

import (
	"context"

	"github.com/Azure/azure-container-networking/network"
)

// Remains says what the classic plugin, or a plugin after it that went its ways, left on the host, and takes it away
// with remove. What the state knows stays.
// Errors: ErrLost, and the store's.
func (m *Manager) Remains(ctx context.Context, remove bool) ([]string, error) {
	var networks []*network.Network
	err := m.Store.View(ctx, func(s *network.State) error {
		for _, record := range s.Networks {
			n := s.ViewOf(record)
			n.Endpoints = record.Endpoints
			networks = append(networks, n)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m.Dataplane.Remains(ctx, networks, remove)
}
