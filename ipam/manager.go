package ipam

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/log/step"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
)

// State is what azure-vnet-ipam.json holds.
type State struct {
	AddressSpace
	Answer SourceStatus `json:"answer"`
}

// SourceStatus says when the source was asked.
type SourceStatus struct {
	Environment string    `json:"environment,omitempty"`
	URL         string    `json:"url,omitempty"`
	Refreshed   time.Time `json:"refreshed,omitzero"` // the last good answer
	Attempted   time.Time `json:"attempted,omitzero"` // the last question, good or not
	Failure     string    `json:"failure,omitempty"`  // why the last question failed
	Stamp       string    `json:"stamp,omitempty"`    // the source's, at the last question

	NoneAssigned bool `json:"noneAssigned,omitempty"` // it failed with ErrNoneAssigned
}

// Times between two questions to the source (docs/ipam.md).
const (
	DefaultQueryInterval = 10 * time.Second
	maxAnswerAge         = time.Hour
)

// Manager serves the commands. Its fields are set once.
type Manager struct {
	Store       *store.Store[State]
	Source      Source
	Environment string        // what the state remembers about the source: azure or mas …
	URL         string        // … and its URL or file
	Interval    time.Duration // between two questions, when addresses are short
	Master      string        // the configuration's master; pins the pool's NIC
	RefreshLock string        // path of the lock that lets one process at a time ask the source
	Interfaces  func() ([]platform.Interface, error)
	// Interface is one of them by its name, without its addresses; nil believes that all NICs are here.
	Interface func(name string) (platform.Interface, bool, error)
	// InUse finds addresses that containers on this host use, with their owners as far as they are known.
	// It is asked when there may be some without a reservation: without a state, after damage, when the only
	// holders that keep a pool full are unknown.
	InUse func() (map[netip.Addr]Owner, error)
	// Complete says that InUse knows the address of every container of this host, as HNS does: what it does not name is
	// lost unless an ADD may be under way.
	Complete bool
	// Gone says which of these network namespaces, by inode, are not there any more. Nil: nobody knows.
	Gone func([]uint64) (map[uint64]bool, error)
	// OnHost says what addresses the host has itself, of the families that are asked for. No such one is given. Nil: none.
	OnHost func(v4, v6 bool) (map[netip.Addr]string, error)
	Now    func() time.Time
	Log    *slog.Logger
}

// errStale stops a transaction: the source has to be asked before an address is given.
var errStale = errors.New("answer of the source is stale")

// Allocate gives the owner one address for each request, all or none.
// Errors: ErrExhausted, ErrNoPool, ErrNotListed, ErrInUse, ErrOnHost, source.ErrUnavailable, and the store's.
func (m *Manager) Allocate(ctx context.Context, requests []Request) ([]Assigned, error) {
	started := m.Now()
	if err := m.leaveToHost(requests); err != nil {
		return nil, err
	}
	assigned, err := m.tryAllocate(ctx, requests, false)
	if errors.Is(err, errStale) {
		// Known addresses serve if the source does not: its failure is remembered and logged, no more.
		if rerr := m.refresh(ctx, started, false); rerr != nil {
			m.Log.Warn("known addresses are used", "error", rerr)
		}
		assigned, err = m.tryAllocate(ctx, requests, true)
	}
	if !mayHelp(err) {
		return assigned, err
	}
	swept, serr := m.sweep(ctx)
	if serr != nil {
		m.Log.Warn("addresses of unknown holders stay reserved", "error", serr)
	}
	if rerr := m.refreshIfDue(ctx, started); rerr != nil && len(swept) == 0 {
		return nil, cause(err, rerr)
	}
	return m.tryAllocate(ctx, requests, true)
}

// markAbsent marks the pools of NICs that are not here: the machine was made from an image of another one, or lost the
// NIC.
func (m *Manager) markAbsent(pools []*Pool) error {
	if m.Interface == nil {
		return nil
	}
	for _, p := range pools {
		i, ok, err := m.Interface(p.Interface)
		if err != nil {
			return err
		}
		if p.MAC == "" || ok && i.MAC.String() == p.MAC { // of a pool that was taken over the MAC is not known yet
			continue
		}
		all, err := m.Interfaces() // it may have another name by now
		if err != nil {
			return fmt.Errorf("list the host's interfaces: %w", err)
		}
		p.Absent = !hostInterfaces{all, m.Master}.HasMAC(p.MAC)
	}
	return nil
}

// leaveToHost keeps the host's own addresses from being given.
func (m *Manager) leaveToHost(requests []Request) error {
	if m.OnHost == nil || len(requests) == 0 {
		return nil
	}
	v6 := func(q Request) bool { return q.IPv6 }
	v4 := func(q Request) bool { return !q.IPv6 }
	read := func() (map[netip.Addr]string, error) {
		return m.OnHost(slices.ContainsFunc(requests, v4), slices.ContainsFunc(requests, v6))
	}
	host, err := step.Get(m.Log, "read the host's addresses", read)
	for i := range requests {
		requests[i].OnHost = host
	}
	return err
}

// mayHelp says whether asking the source, or a sweep, may turn the failure into a success.
func mayHelp(err error) bool {
	return errors.Is(err, ErrExhausted) || errors.Is(err, ErrNoPool) || errors.Is(err, ErrNotListed)
}

// search finds the addresses that containers of this host use.
func (m *Manager) search() (map[netip.Addr]Owner, error) {
	return step.Get(m.Log, "search namespaces for addresses in use", m.InUse)
}

// sweep frees addresses that no container can have any more: those of unknown holders, and those whose namespaces are
// gone.
func (m *Manager) sweep(ctx context.Context) ([]netip.Addr, error) {
	suspects := false
	err := m.Store.View(ctx, func(s *State) error {
		lost, err := m.lost(s)
		suspects = err == nil && s.hasSuspects(lost)
		return err
	})
	if err != nil || !suspects {
		return nil, err
	}
	inUse, err := m.search()
	if err != nil {
		return nil, err
	}
	var freed []netip.Addr
	err = m.Store.Update(ctx, func(s *State) error {
		lost, lerr := m.lost(s) // a container may have got another one meanwhile
		if lerr == nil {
			freed = s.Sweep(inUse, lost)
		}
		return lerr
	})
	if len(freed) > 0 {
		m.Log.Warn("addresses of containers that are gone are free again", "addresses", freed)
	}
	return freed, err
}

// lost tells the reservations that nobody may have any more: of a namespace that is not there, or, where InUse knows
// everybody, of no ADD that can be under way.
func (m *Manager) lost(s *State) (func(Reservation) bool, error) {
	var gone map[uint64]bool
	if list := s.namespaces(); m.Gone != nil && len(list) > 0 {
		var err error
		if gone, err = m.Gone(list); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSearch, err)
		}
	}
	now := m.Now()
	return func(r Reservation) bool {
		return gone[r.Namespace] || m.Complete && now.Sub(r.Created) >= underWay
	}, nil
}

func (m *Manager) tryAllocate(ctx context.Context, requests []Request, refreshed bool) ([]Assigned, error) {
	var assigned []Assigned
	var onHost []netip.Addr
	err := m.Store.Update(ctx, func(s *State) error {
		assigned = nil
		now := m.Now()
		if !refreshed && len(s.Pools) > 0 && m.stale(s.Answer, now) {
			return errStale
		}
		if err := m.markAbsent(s.Pools); err != nil {
			return err
		}
		for _, q := range requests {
			a, err := s.Allocate(q, now)
			if err != nil {
				return err // the store forgets what the loop reserved before
			}
			assigned = append(assigned, a)
		}
		if len(requests) > 0 {
			onHost = s.OnHost(requests[0].OnHost)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(onHost) > 0 {
		m.Log.Warn("addresses that the host itself has are given to no container; azure-vnet doctor says what to do",
			"addresses", onHost)
	}
	return assigned, nil
}

// stale says that the source should be asked although addresses are known.
func (m *Manager) stale(a SourceStatus, now time.Time) bool {
	if stamp := m.Source.Stamp(); stamp != "" {
		return stamp != a.Stamp
	}
	return age(now, a.Refreshed) > maxAnswerAge && age(now, a.Attempted) > m.Interval
}

// age is the time since t; a time in the future (the clock was set back) counts as very old.
func age(now, t time.Time) time.Duration {
	if t.IsZero() || t.After(now) {
		return 1 << 62
	}
	return now.Sub(t)
}

// Release frees the owner's addresses, and address as well if it is valid and its holder is not somebody
// else. Nothing to free is success.
func (m *Manager) Release(ctx context.Context, o Owner, address netip.Addr) ([]netip.Addr, error) {
	var freed []netip.Addr
	unused, err := m.unused(ctx, address)
	if err != nil {
		return nil, err
	}
	err = m.Store.Update(ctx, func(s *State) error {
		freed = s.Release(o)
		if unused {
			freed = append(freed, s.ReleaseUnowned(address)...)
		}
		return nil
	})
	return freed, err
}

// unused says whether the address, if it is valid, is one that is held by nobody known, and that no container has.
func (m *Manager) unused(ctx context.Context, address netip.Addr) (bool, error) {
	unknown := false
	err := m.Store.View(ctx, func(s *State) error {
		unknown = address.IsValid() && s.heldByUnknown(address)
		return nil
	})
	if err != nil || !unknown {
		return false, err
	}
	inUse, err := m.search()
	if err != nil {
		return false, err
	}
	_, used := inUse[address]
	return !used, nil
}

// Forget frees all that the network holds, and its pools: another network may have them for itself then.
func (m *Manager) Forget(ctx context.Context, network string) error {
	_, err := m.Collect(ctx, network, func(string, string) bool { return false })
	return errors.Join(err, m.Store.Update(ctx, func(s *State) error {
		delete(s.Bindings, network)
		return nil
	}))
}

// Check verifies that the owner holds an address, and that the runtime's result has each that it holds. The
// result may have others: those that chained plugins added. Addresses that are held by nobody known may be the owner's.
// Error: ErrNotReserved.
func (m *Manager) Check(ctx context.Context, o Owner, result []netip.Addr) error {
	return m.Store.View(ctx, func(s *State) error {
		held := s.Holds(o)
		somebodys := func(a netip.Addr) bool { return !s.heldByUnknown(a) }
		if len(held) == 0 && len(result) > 0 && !slices.ContainsFunc(result, somebodys) {
			return nil // it was there before the state, which does not know whose they are
		}
		if len(held) == 0 {
			return fmt.Errorf("%w for %s", ErrNotReserved, o)
		}
		for _, a := range held {
			if len(result) > 0 && !slices.Contains(result, a) {
				return fmt.Errorf("%w for %s as the result says: %s is reserved, the result has %v", ErrNotReserved, o, a, result)
			}
		}
		return nil
	})
}

// Collect frees the network's addresses whose attachment keep does not name, and those of unknown holders that
// no container uses.
func (m *Manager) Collect(ctx context.Context, network string,
	keep func(containerID, ifName string) bool) ([]netip.Addr, error) {
	var freed []netip.Addr
	err := m.Store.Update(ctx, func(s *State) error {
		freed = s.Collect(network, keep)
		return nil
	})
	if err != nil {
		return nil, err
	}
	swept, err := m.sweep(ctx)
	return append(freed, swept...), err
}

// Status says why an allocation could not work now: no address is free, or no pool is known and the source
// cannot be asked, or the state cannot be written.
func (m *Manager) Status(ctx context.Context, q Request) error {
	started := m.Now()
	if err := m.Store.Probe(ctx); err != nil {
		return err
	}
	probed := errors.New("probe")
	probe := []Request{q}
	if err := m.leaveToHost(probe); err != nil {
		return err
	}
	probe[0].Owner = Owner{Network: q.Network, ContainerID: "status", IfName: "status"}
	free := func() error {
		// A transaction that is given up: nothing changes.
		err := m.Store.Update(ctx, func(s *State) error {
			if err := m.markAbsent(s.Pools); err != nil {
				return err
			}
			if _, err := s.Allocate(probe[0], m.Now()); err != nil {
				return err
			}
			return probed
		})
		if errors.Is(err, probed) {
			return nil
		}
		return err
	}
	err := free()
	if !mayHelp(err) || m.Store.Foreign(ctx) { // what is the classic plugin's yet an ADD or a DEL takes over
		return err
	}
	// As Allocate does it: a node that is not ready gets no pods, so nobody else would.
	swept, serr := m.sweep(ctx)
	if serr != nil {
		m.Log.Warn("addresses of unknown holders stay reserved", "error", serr)
	}
	if rerr := m.refreshIfDue(ctx, started); rerr != nil && len(swept) == 0 {
		return cause(err, rerr)
	}
	return free()
}

// cause joins why no address could be given with why the source did not help. Where nothing is known at
// all, the source's failure is the cause.
func cause(err, source error) error {
	if errors.Is(err, ErrNoPool) {
		return source
	}
	return fmt.Errorf("%w; and %w", err, source)
}
