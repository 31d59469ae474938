package ipam

import (
	"context"
	"fmt"
	"maps"
)

// Trial is what an allocation meets now.
type Trial struct {
	Space  AddressSpace // what is known, and what the source says about it now
	Answer SourceStatus // when the source was asked by commands
	Source error        // why the source did not say anything of use; nil if it did
	Err    error        // why no address could be given; nil if one could
}

// Try does what Allocate would, asks the source in any case, and changes nothing.
// Errors: the store's, and those of looking at the host.
func (m *Manager) Try(ctx context.Context, requests []Request) (t Trial, err error) {
	if err := m.leaveToHost(requests); err != nil {
		return t, err
	}
	ifaces, err := m.Interfaces()
	if err != nil {
		return t, fmt.Errorf("list the host's interfaces: %w", err)
	}
	subnets, serr := m.Source.Subnets(ctx)
	if serr == nil {
		serr = m.usable(subnets)
	}
	t.Source = serr
	err = m.Store.View(ctx, func(s *State) error { // a copy, which is thrown away
		if serr == nil {
			s.Refresh(subnets, hostInterfaces{ifaces, m.Master})
		}
		if err := m.markAbsent(s.Pools); err != nil {
			return err
		}
		t.Answer = s.Answer
		bindings := maps.Clone(s.Bindings)
		t.Err = m.tryAll(s, requests)
		for _, q := range requests {
			s.Release(q.Owner)
		}
		s.Bindings = bindings
		t.Space = s.AddressSpace
		return nil
	})
	if t.Err != nil && serr != nil {
		t.Err = cause(t.Err, serr)
	}
	return t, err
}

// tryAll reserves what is asked for, and if that fails once more after a sweep.
func (m *Manager) tryAll(s *State, requests []Request) error {
	all := func() error {
		for _, q := range requests {
			if _, err := s.Allocate(q, m.Now()); err != nil {
				return err
			}
		}
		return nil
	}
	err := all()
	if !mayHelp(err) {
		return err
	}
	lost, lerr := m.lost(s)
	if lerr != nil || !s.hasSuspects(lost) {
		return err
	}
	if inUse, serr := m.InUse(); serr == nil && len(s.Sweep(inUse, lost)) > 0 {
		return all()
	}
	return err
}
