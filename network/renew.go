package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Renew makes the host look as its networks want it, as the next ADD of each would: after something of the host changed, for the
// pods that are there. What another plugin made is left to an ADD.
func (m *Manager) Renew(ctx context.Context) error {
	var networks []*Network
	err := m.Store.View(ctx, func(s *State) error {
		for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
			if n := s.view(s.Networks[name]); n.made() && !n.Imported {
				networks = append(networks, n)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range networks {
		if nerr := m.ensure(ctx, n); nerr != nil {
			err = errors.Join(err, fmt.Errorf("renew network %s: %w", n.Name, nerr))
		}
	}
	return err
}
