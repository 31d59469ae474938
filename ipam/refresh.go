package ipam

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/log/step"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
	"github.com/gofrs/flock"
)

// refreshIfDue asks the source when a call needs it: nothing is known, or what is known is older than the
// interval. A failure within the interval is reported again instead of asking again: a node full of
// waiting pods must not become a stream of questions to a host agent that is down.
func (m *Manager) refreshIfDue(ctx context.Context, started time.Time) error {
	due := true
	err := m.Store.View(ctx, func(s *State) error {
		if age(m.Now(), s.Answer.Attempted) > m.Interval || m.Source.Stamp() != s.Answer.Stamp {
			return nil
		}
		due = false
		return s.Answer.err()
	})
	if err != nil || !due {
		return err
	}
	return m.refresh(ctx, started, true)
}

func (a SourceStatus) err() error {
	if a.Failure == "" {
		return nil
	}
	kind := source.ErrUnavailable
	switch {
	case a.NoneAssigned:
		kind = ErrNoneAssigned
	case a.Environment == azure.EnvironmentStack:
		kind = source.ErrFile
	}
	return fmt.Errorf("%w: %s (asked at %s)", kind, a.Failure, a.Attempted.Format(time.RFC3339))
}

// refresh asks the source and stores what it says. One process at a time asks, and those that waited take
// its answer, good or bad. The lock is not the state's: while the host agent is slow, everybody who can be
// served from what is known goes on. Without wait, somebody else's question is enough.
func (m *Manager) refresh(ctx context.Context, started time.Time, wait bool) error {
	lock := flock.New(m.RefreshLock, flock.SetFlag(refreshLockFlags), flock.SetPermissions(0o600))
	locked, err := store.Try(ctx, lock)
	if err == nil && !locked && wait {
		err = step.Do(m.Log, "wait for who asks the source", func() error { return store.Wait(ctx, lock) },
			slog.String("path", m.RefreshLock))
		locked = err == nil
	}
	if err != nil {
		return fmt.Errorf("lock %s %s: %w", m.RefreshLock, platform.HolderOf(m.RefreshLock), err)
	}
	if !locked {
		return nil
	}
	defer func() { _ = lock.Close() }()
	var answered bool
	err = m.Store.View(ctx, func(s *State) error {
		if s.Answer.Attempted.Before(started) || s.Answer.Attempted.After(m.Now()) {
			return nil
		}
		answered = true
		return s.Answer.err()
	})
	if err != nil || answered {
		return err
	}
	return m.ask(ctx)
}

func (m *Manager) ask(ctx context.Context) error {
	ifaces, err := m.Interfaces()
	if err != nil {
		return fmt.Errorf("list the host's interfaces: %w", err)
	}
	host := hostInterfaces{ifaces, m.Master}
	stamp := m.Source.Stamp() // before the answer: a change in between is noticed next time
	subnets, err := step.Get(m.Log, "ask the source", func() ([]source.Subnet, error) { return m.Source.Subnets(ctx) },
		slog.String("environment", m.Environment))
	if err == nil {
		err = m.usable(subnets)
	}
	var inUse map[netip.Addr]Owner
	if err == nil {
		inUse, err = m.inUseOfNew(ctx, subnets, host)
	}
	uerr := m.Store.Update(ctx, func(s *State) error {
		s.Answer.Environment, s.Answer.URL, s.Answer.Stamp = m.Environment, m.URL, stamp
		s.Answer.Attempted = m.Now().UTC()
		if err != nil {
			s.Answer.NoneAssigned = errors.Is(err, ErrNoneAssigned)
			s.Answer.Failure = strings.TrimPrefix(strings.TrimPrefix(err.Error(), source.ErrUnavailable.Error()+": "),
				ErrNoneAssigned.Error()+": ")
			return nil
		}
		s.Answer.Failure, s.Answer.NoneAssigned, s.Answer.Refreshed = "", false, s.Answer.Attempted
		s.Refresh(subnets, host)
		return m.adopt(s, inUse)
	})
	return errors.Join(err, uerr)
}

// adopt reserves what is in use without a reservation. Who was deleted since the search has freed its address, and
// would hold it for ever: so what is found missing is looked for once more, under the lock, for which a DEL waits.
func (m *Manager) adopt(s *State, inUse map[netip.Addr]Owner) error {
	if len(s.missing(inUse)) == 0 {
		return nil
	}
	now, err := m.search()
	if err != nil {
		return err
	}
	if n := s.Adopt(now, m.Now()); n > 0 {
		m.Log.Warn("addresses in use had no reservation", "adopted", n)
	}
	return nil
}

// inUseOfNew looks for addresses in use when the answer lists some that the state does not: it is new, or was lost, and
// the answer that came first was perhaps not complete. Then containers may hold addresses that nobody has written down.
func (m *Manager) inUseOfNew(ctx context.Context, subnets []source.Subnet,
	host Host) (inUse map[netip.Addr]Owner, err error) {
	news := false
	err = m.Store.View(ctx, func(s *State) error {
		news = s.Answer.Refreshed.IsZero() || s.lacks(subnets, host)
		return nil
	})
	if err != nil || !news {
		return nil, err
	}
	if inUse, err = m.search(); err != nil {
		return nil, fmt.Errorf("look for addresses in use: %w", err)
	}
	return inUse, nil
}

// usable rejects an answer without addresses: an agent that restarts answers with an empty list for a while.
// Errors: ErrNoneAssigned if it lists NICs, else source.ErrUnavailable.
func (m *Manager) usable(subnets []source.Subnet) error {
	for _, s := range subnets {
		if len(s.Addresses) > 0 {
			return nil
		}
	}
	if len(subnets) > 0 {
		return fmt.Errorf("%w: the answer of %s lists the primary address of each only", ErrNoneAssigned, m.URL)
	}
	return fmt.Errorf("%w: the answer of %s lists no NIC", source.ErrUnavailable, m.URL)
}
