package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// What shall be is in the state before it is done: first who wants an address, then with the addresses what the host is
// to have.

// Announce writes the endpoint as pending, before anybody is asked for its addresses: whatever becomes of this ADD, the
// state knows whose they are. What the network will be is known only with them. What an interrupted ADD of the owner
// left is taken away.
// Errors: ErrExists, ErrLeft, and the store's.
func (m *Manager) Announce(ctx context.Context, c Config, e *Endpoint) error {
	if e.State == Pending {
		if err := m.Delete(ctx, e.Owner); err != nil {
			return fmt.Errorf("%w: remove what an interrupted ADD left: %w", ErrLeft, err)
		}
	}
	e.State, e.Created = Pending, m.Now().UTC().Truncate(time.Millisecond)
	e.HostIfName = cmp.Or(e.podIfName(c.Mode), e.Owner.HostIfName())
	return m.Store.Update(ctx, func(s *State) error {
		if err := exists(s, e.Owner); err != nil {
			return err
		}
		if s.Networks == nil {
			s.Networks = map[string]*Network{}
		}
		record := s.Networks[e.Network]
		if record == nil {
			record = &Network{Name: e.Network, Mode: c.Mode}
			s.Networks[e.Network] = record
		}
		stored := *e
		stored.Addresses, stored.Routes = nil, nil
		record.Endpoints.Set(&stored)
		return nil
	})
}

// Forget takes back what Announce wrote, if nothing came of it.
// Errors: the store's.
func (m *Manager) Forget(ctx context.Context, o Owner) error { return m.forget(ctx, o, true) }

// errPending: the owner's record is what an interrupted ADD left.
var errPending = errors.New("an earlier ADD did not end")

// intend writes the endpoint as pending, with the network as the configuration wants it now, and returns a
// copy of the network.
// Errors: errPending, ErrAddress, ErrConflict.
func (m *Manager) intend(ctx context.Context, c Config, e *Endpoint, subnets []netip.Prefix) (*Network, error) {
	if e.State != Pending {
		e.State, e.Created = Pending, m.Now().UTC().Truncate(time.Millisecond)
	}
	e.HostIfName = cmp.Or(e.podIfName(c.Mode), e.Owner.HostIfName())
	if e.MAC == "" {
		e.MAC = MACOf(e.Addresses).String()
	}
	var n *Network
	err := m.Store.Update(ctx, func(s *State) error {
		if err := exists(s, e.Owner); err != nil {
			return err
		}
		if _, old := s.endpoint(e.Owner); old != nil && (!old.Announced() || !old.Created.Equal(e.Created)) {
			return errPending
		}
		if s.Networks == nil {
			s.Networks = map[string]*Network{}
		}
		record, cerr := s.configure(c, e.Network, subnets, m.masters)
		if cerr != nil {
			return cerr
		}
		if e.MAC != MACOf(e.Addresses).String() {
			ifaces, ierr := m.interfaces()
			if ierr != nil {
				return ierr
			}
			if merr := s.usableMAC(record, e, ifaces); merr != nil {
				return merr
			}
		}
		if aerr := m.freeOfOthers(s, record, e); aerr != nil {
			return aerr
		}
		if record.Created.IsZero() {
			record.Created = e.Created
			record.Unsearched = true
		}
		// Another network may have its pods on the former bridge.
		record.Former = slices.DeleteFunc(record.Former, func(f Former) bool { return s.shares(f) })
		stored := *e
		record.Endpoints.Set(&stored)
		s.Networks[e.Network] = record
		n = s.view(record)
		return nil
	})
	return n, err
}

// ready marks the endpoint as ready, unless somebody deleted it while it was made.
func (m *Manager) ready(ctx context.Context, e *Endpoint) error {
	e.State = Ready
	return m.Store.Update(ctx, func(s *State) error {
		record, old := s.endpoint(e.Owner)
		if old == nil {
			return fmt.Errorf("endpoint %s was deleted while it was created", e.Owner)
		}
		stored := *e
		record.Endpoints.Set(&stored)
		return nil
	})
}

// forget removes the owner's record; with network also that of a network that never came into being.
func (m *Manager) forget(ctx context.Context, o Owner, network bool) error {
	return m.Store.Update(ctx, func(s *State) error {
		n := s.Networks[o.Network]
		if n == nil {
			return nil
		}
		n.Endpoints.Delete(o.key())
		if (network || n.Master == "") && n.Endpoints.Len() == 0 && n.MAC == "" && n.HNSID == "" {
			delete(s.Networks, o.Network)
		}
		return nil
	})
}
