package ipam

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

func (s *AddressSpace) exhausted(pools []*Pool, host HostAddrs) error {
	onHost := s.freeOnHost(pools, host)
	err := ErrExhausted
	switch {
	case len(onHost) > 0:
		err = ErrOnlyOnHost
	case slices.ContainsFunc(pools, func(p *Pool) bool { return len(p.Reservations) > 0 }):
		err = ErrFull
	}
	for _, p := range pools {
		err = fmt.Errorf("%w in pool %s of %s: %d addresses, %d in use", err, p.Prefix, p.Interface,
			p.Capacity(), len(p.Reservations))
		for _, at := range slices.Sorted(maps.Keys(onHost[p])) {
			err = fmt.Errorf("%w, %d on the host's %s", err, onHost[p][at], at)
		}
	}
	return err
}

// freeOnHost counts by pool and interface what the host has of the addresses that nobody holds.
func (s *AddressSpace) freeOnHost(pools []*Pool, host HostAddrs) map[*Pool]map[string]int {
	held := map[netip.Addr]bool{}
	for a := range s.taken {
		if _, has := host[a]; has {
			held[a] = true
		}
	}
	count := map[*Pool]map[string]int{}
	for a, at := range host {
		for _, p := range pools {
			if p.Listed.contains(a) && !held[a] {
				if count[p] == nil {
					count[p] = map[string]int{}
				}
				count[p][at]++
			}
		}
	}
	return count
}

// OnHost are the listed addresses that the host has itself, ordered. No container gets one of them.
func (s *AddressSpace) OnHost(host HostAddrs) []netip.Addr {
	var found []netip.Addr
	for a := range host {
		if slices.ContainsFunc(s.Pools, func(p *Pool) bool { return p.Listed.contains(a) }) {
			found = append(found, a)
		}
	}
	sortAddrs(found)
	return found
}
