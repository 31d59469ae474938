package manager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/network"
)

// What shall be is in the state before it is done: first who wants an address, then with the addresses what the host is
// to have.

// Announce writes the endpoint as pending, before anybody is asked for its addresses: whatever becomes of this ADD, the
// state knows whose they are. What the network will be is known only with them. What an interrupted ADD of the owner
// left is taken away.
// Errors: ErrExists, ErrLeft, and the store's.
func (m *Manager) Announce(ctx context.Context, c network.Config, e *network.Endpoint) error {
	if e.State == network.Pending {
		if err := m.Delete(ctx, e.Owner); err != nil {
			return fmt.Errorf("%w: remove what an interrupted ADD left: %w", network.ErrLeft, err)
		}
	}
	e.State, e.Created = network.Pending, m.Now().UTC().Truncate(time.Millisecond)
	e.HostIfName = cmp.Or(e.PodIfName(c.Mode), e.Owner.HostIfName())
	return m.Store.Update(ctx, func(s *network.State) error {
		if err := exists(s, e.Owner); err != nil {
			return err
		}
		if s.Networks == nil {
			s.Networks = map[string]*network.Network{}
		}
		record := s.Networks[e.Network]
		if record == nil {
			record = &network.Network{Name: e.Network, Mode: c.Mode}
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
func (m *Manager) Forget(ctx context.Context, o network.Owner) error { return m.forget(ctx, o, true) }

// errPending: the owner's record is what an interrupted ADD left.
var errPending = errors.New("an earlier ADD did not end")

// intend writes the endpoint as pending, with the network as the configuration wants it now, and returns a
// copy of the network.
// Errors: errPending, ErrAddress, ErrConflict.
func (m *Manager) intend(ctx context.Context, c network.Config, e *network.Endpoint,
	subnets []netip.Prefix) (*network.Network, error) {
	if e.State != network.Pending {
		e.State, e.Created = network.Pending, m.Now().UTC().Truncate(time.Millisecond)
	}
	e.HostIfName = cmp.Or(e.PodIfName(c.Mode), e.Owner.HostIfName())
	if e.MAC == "" {
		e.MAC = network.MACOf(e.Addresses).String()
	}
	var n *network.Network
	err := m.Store.Update(ctx, func(s *network.State) error {
		if err := exists(s, e.Owner); err != nil {
			return err
		}
		if _, old := s.Endpoint(e.Owner); old != nil && (!old.Announced() || !old.Created.Equal(e.Created)) {
			return errPending
		}
		if s.Networks == nil {
			s.Networks = map[string]*network.Network{}
		}
		record, cerr := s.Configure(c, e.Network, subnets, m.masters)
		if cerr != nil {
			return cerr
		}
		if e.MAC != network.MACOf(e.Addresses).String() {
			ifaces, ierr := m.interfaces()
			if ierr != nil {
				return ierr
			}
			if merr := s.UsableMAC(record, e, ifaces); merr != nil {
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
		record.Former = slices.DeleteFunc(record.Former, func(f network.Former) bool { return s.Shares(f) })
		stored := *e
		record.Endpoints.Set(&stored)
		s.Networks[e.Network] = record
		n = s.ViewOf(record)
		return nil
	})
	return n, err
}

// ready marks the endpoint as ready, unless somebody deleted it while it was made.
func (m *Manager) ready(ctx context.Context, e *network.Endpoint) error {
	e.State = network.Ready
	return m.Store.Update(ctx, func(s *network.State) error {
		record, old := s.Endpoint(e.Owner)
		if old == nil {
			return fmt.Errorf("endpoint %s was deleted while it was created", e.Owner)
		}
		stored := *e
		record.Endpoints.Set(&stored)
		return nil
	})
}

// forget removes the owner's record; with unmade also that of a network that never came into being.
func (m *Manager) forget(ctx context.Context, o network.Owner, unmade bool) error {
	return m.Store.Update(ctx, func(s *network.State) error {
		n := s.Networks[o.Network]
		if n == nil {
			return nil
		}
		n.Endpoints.Delete(o.Key())
		if (unmade || n.Master == "") && n.Endpoints.Len() == 0 && n.MAC == "" && n.HNSID == "" {
			delete(s.Networks, o.Network)
		}
		return nil
	})
}
