package ipam

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// underWay is how long a command may take until what it has reserved is configured: the commands' deadline, and their
// time to undo.
const underWay = 130 * time.Second

// Refresh asks the source now, or takes the answer of somebody who has asked since.
// Errors: source.ErrUnavailable, ErrNoneAssigned, and the store's.
func (m *Manager) Refresh(ctx context.Context) error { return m.refresh(ctx, m.Now(), true) }

// Free frees the addresses that pick chooses, unless a container may have them yet: one has the address, or was given
// it so lately that its ADD may be under way. With force they are freed anyway. It frees all that were chosen, or none.
// Errors: ErrInUse, ErrNotReserved, ErrSearch, and the store's.
func (m *Manager) Free(ctx context.Context, pick func(Reservation) bool, force bool) ([]netip.Addr, error) {
	chosen, err := m.chosen(ctx, pick)
	if err != nil {
		return nil, err
	}
	if !force {
		if err = m.dead(chosen); err != nil {
			return nil, err
		}
	}
	same := func(r Reservation) bool { // what has been given again since is another one's
		return slices.ContainsFunc(chosen, func(c Reservation) bool {
			return c.Address == r.Address && c.Owner == r.Owner && c.Created.Equal(r.Created)
		})
	}
	var freed []netip.Addr
	err = m.Store.Update(ctx, func(s *State) error {
		freed = s.releaseFunc(same)
		return nil
	})
	return freed, err
}

// dead says whether no container has one of the addresses, or is about to. It takes its time, so it is not for under
// the lock.
func (m *Manager) dead(list []Reservation) error {
	inUse, err := m.search()
	if err != nil {
		return err
	}
	for _, r := range list {
		if _, used := inUse[r.Address]; used {
			return fmt.Errorf("%w: a container has %s, which %s holds", ErrInUse, r.Address, r.Owner)
		}
		if age := m.Now().Sub(r.Created); age >= 0 && age < underWay {
			return fmt.Errorf("%w: %s was given to %s only %s ago, and the ADD may be under way", ErrInUse, r.Address,
				r.Owner, age.Round(time.Second))
		}
	}
	return nil
}

func (m *Manager) chosen(ctx context.Context, pick func(Reservation) bool) (chosen []Reservation, err error) {
	err = m.Store.View(ctx, func(s *State) error {
		for _, p := range s.Pools {
			for _, r := range p.Reservations {
				if pick(r) {
					chosen = append(chosen, r)
				}
			}
		}
		return nil
	})
	if err == nil && len(chosen) == 0 {
		err = ErrNotReserved
	}
	return chosen, err
}
