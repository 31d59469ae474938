// Package ipam manages the addresses that Azure assigned to this VM's NICs: which there are, who holds
// them, and which one is given next. The logic (AddressSpace, Pool) is pure; Manager adds the state file
// and the source.
package ipam

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/platform"
)

// AddressSpace is all that is known about this host's addresses. The zero value knows none.
type AddressSpace struct {
	Pools []*Pool `json:"pools"`
	// Bindings says which pool a network uses, by network name and family. A network is bound at its first
	// allocation and stays so: its bridge lives on that pool's NIC.
	Bindings map[string]Binding `json:"bindings,omitempty"`
	// Unmatched are the MACs in the source's last answer that no interface of this host has.
	Unmatched []string `json:"unmatched,omitempty"`
}

// Binding is the pool of a network, one per family.
type Binding struct {
	IPv4 PoolID `json:"ipv4,omitzero"`
	IPv6 PoolID `json:"ipv6,omitzero"`
}

// PoolID identifies a pool: two NICs may have addresses in one subnet.
type PoolID struct {
	MAC    string       `json:"mac"`
	Prefix netip.Prefix `json:"prefix"`
}

func (b Binding) id(ipv6 bool) PoolID {
	if ipv6 {
		return b.IPv6
	}
	return b.IPv4
}

func (p *Pool) id() PoolID { return PoolID{p.MAC, p.Prefix} }

// Allocate gives the owner an address. The same owner gets the same address again.
// Errors: ErrExhausted (or ErrOnlyOnHost), ErrNoPool, ErrNotListed, ErrInUse, ErrOnHost.
func (s *AddressSpace) Allocate(q Request, now time.Time) (Assigned, error) {
	for _, p := range s.Pools {
		if r := p.byOwner(q.Owner); r != nil && p.ipv6() == q.IPv6 {
			if q.Address.IsValid() && r.Address != q.Address {
				return Assigned{}, fmt.Errorf("%w: %s asks for %s but holds %s", ErrInUse, q.Owner, q.Address, r.Address)
			}
			if at, has := q.OnHost[r.Address]; has { // it stays the owner's until that gives it back
				return Assigned{}, fmt.Errorf("%w: %s, which %s holds, is configured on %s", ErrOnHost, r.Address, q.Owner, at)
			}
			r.enter(q.Namespace)
			return p.assigned(r.Address), nil
		}
	}
	pools, err := s.candidates(q)
	if err != nil {
		return Assigned{}, err
	}
	if q.Address.IsValid() {
		return s.allocateAddress(q, pools, now)
	}
	for _, p := range pools {
		if a, ok := p.next(s.taken, maps.Keys(q.OnHost)); ok {
			p.reserve(a, q.Owner, now).enter(q.Namespace)
			s.bind(q.Network, p)
			return p.assigned(a), nil
		}
	}
	return Assigned{}, s.exhausted(pools, q.OnHost)
}

func (s *AddressSpace) allocateAddress(q Request, pools []*Pool, now time.Time) (Assigned, error) {
	for _, p := range s.Pools {
		if r := p.byAddress(q.Address); r != nil {
			holder := r.Owner.String()
			if r.Unknown() {
				holder = "a container that was there before the state"
			}
			return Assigned{}, fmt.Errorf("%w: %s is held by %s", ErrInUse, q.Address, holder)
		}
	}
	at, onHost := q.OnHost[q.Address]
	for _, p := range pools {
		if p.Listed.contains(q.Address) {
			if onHost {
				return Assigned{}, fmt.Errorf("%w: %s is configured on %s", ErrOnHost, q.Address, at)
			}
			p.reserve(q.Address, q.Owner, now).enter(q.Namespace)
			s.bind(q.Network, p)
			return p.assigned(q.Address), nil
		}
	}
	for _, p := range s.Pools {
		if bound := s.Bindings[q.Network].id(q.IPv6); p.Listed.contains(q.Address) && bound != p.id() &&
			len(pools) == 1 && pools[0].id() == bound {
			return Assigned{}, fmt.Errorf("%w: %s is of %s on %s, and network %s uses %s on %s", ErrElsewhere, q.Address,
				p.Prefix, p.Interface, q.Network, bound.Prefix, s.interfaceOf(bound))
		}
	}
	err := fmt.Errorf("%w: %s", ErrNotListed, q.Address)
	if onHost {
		err = fmt.Errorf("%w, which the host itself has: it is configured on %s", err, at)
	}
	return Assigned{}, err
}

// bind makes the pool the network's, unless it has one: it keeps that as long as that pool lists addresses, or somebody
// holds one of it.
func (s *AddressSpace) bind(network string, p *Pool) {
	b := s.Bindings[network]
	bound := b.id(p.ipv6())
	if network == "" || slices.ContainsFunc(s.Pools,
		func(p *Pool) bool { return p.id() == bound && p.lives() && !p.Absent }) {
		return
	}
	if p.ipv6() {
		b.IPv6 = p.id()
	} else {
		b.IPv4 = p.id()
	}
	if s.Bindings == nil {
		s.Bindings = map[string]Binding{}
	}
	s.Bindings[network] = b
}

// candidates are the pools that may serve the request, the best first: the one that the network is bound
// to, even if the source lists none of its addresses now; else one that no other network uses before a shared
// one, a secondary NIC's before the primary's.
func (s *AddressSpace) candidates(q Request) ([]*Pool, error) {
	bound := s.Bindings[q.Network].id(q.IPv6)
	var pools []*Pool
	for _, p := range s.Pools {
		if p.ipv6() != q.IPv6 ||
			q.Subnet.IsValid() && p.Prefix != q.Subnet.Masked() ||
			q.Master != "" && !platform.SameAdapter(p.Interface, q.Master) {
			continue
		}
		if p.id() == bound && p.lives() && !p.Absent {
			return []*Pool{p}, nil
		}
		if len(p.Listed) > 0 && !p.Absent {
			pools = append(pools, p)
		}
	}
	if len(pools) == 0 {
		return nil, s.noPool(q)
	}
	slices.SortStableFunc(pools, func(a, b *Pool) int {
		return cmp.Or(
			cmpBool(s.usedByOther(a, q.Network), s.usedByOther(b, q.Network)),
			cmpBool(a.Primary, b.Primary),
			a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.MAC, b.MAC))
	})
	return pools, nil
}

func (s *AddressSpace) interfaceOf(id PoolID) string {
	for _, p := range s.Pools {
		if p.id() == id {
			return p.Interface
		}
	}
	return id.MAC
}

func (s *AddressSpace) noPool(q Request) error {
	family := "IPv4"
	if q.IPv6 {
		family = "IPv6"
	}
	kind := ErrNoPool
	if len(s.Pools) == 0 && len(s.Unmatched) > 0 {
		kind = ErrForeign
	}
	err := fmt.Errorf("%w for %s addresses", kind, family)
	if q.Subnet.IsValid() {
		err = fmt.Errorf("%w in subnet %s", err, q.Subnet)
	}
	if q.Master != "" {
		err = fmt.Errorf("%w on interface %s", err, q.Master)
	}
	if len(s.Unmatched) > 0 {
		err = fmt.Errorf("%w; the source lists NICs that are not on this host: %s", err, strings.Join(s.Unmatched, ", "))
	}
	for _, p := range s.Pools {
		err = fmt.Errorf("%w; known is %s on %s (%d addresses)", err, p.Prefix, p.Interface, p.Capacity())
		if p.Absent {
			err = fmt.Errorf("%w, whose MAC %s no interface of this host has", err, p.MAC)
		}
	}
	return err
}

func (s *AddressSpace) usedByOther(p *Pool, network string) bool {
	for name, b := range s.Bindings {
		if name != network && b.id(p.ipv6()) == p.id() {
			return true
		}
	}
	return false
}

func cmpBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Release frees all addresses of the owner and returns them. An unknown owner has none: that is success.
func (s *AddressSpace) Release(o Owner) []netip.Addr {
	return s.releaseFunc(holds(o))
}

// holds selects what the owner holds. Of a holder that was imported only the container may be known.
func holds(o Owner) func(Reservation) bool {
	return func(r Reservation) bool {
		return r.Owner == o || r.Unknown() && o.ContainerID != "" && r.ContainerID == o.ContainerID
	}
}

// ReleaseUnowned frees the address if nobody is known to hold it: one that was imported as in use.
func (s *AddressSpace) ReleaseUnowned(a netip.Addr) []netip.Addr {
	return s.releaseFunc(func(r Reservation) bool { return r.Address == a && r.Unknown() })
}

// Collect frees what the network holds and keep does not name, and returns the freed addresses.
func (s *AddressSpace) Collect(network string, keep func(containerID, ifName string) bool) []netip.Addr {
	return s.releaseFunc(func(r Reservation) bool {
		return r.Network == network && !keep(r.ContainerID, r.IfName)
	})
}

func (s *AddressSpace) releaseFunc(drop func(Reservation) bool) []netip.Addr {
	var freed []netip.Addr
	for _, p := range s.Pools {
		freed = append(freed, p.release(drop)...)
	}
	for _, a := range freed {
		for _, p := range s.Pools {
			if p.Listed.contains(a) { // one that has vanished from the source is not coming back into use
				p.Released = append(p.Released, a)
			}
		}
	}
	return freed
}

// taken walks the addresses that somebody holds.
func (s *AddressSpace) taken(yield func(netip.Addr) bool) {
	for _, p := range s.Pools {
		for i := range p.Reservations {
			if !yield(p.Reservations[i].Address) {
				return
			}
		}
	}
}

// Holds returns the addresses that the owner holds.
func (s *AddressSpace) Holds(o Owner) []netip.Addr {
	holds := holds(o)
	var held []netip.Addr
	for _, p := range s.Pools {
		for _, r := range p.Reservations {
			if holds(r) {
				held = append(held, r.Address)
			}
		}
	}
	return held
}

// Reset frees everything: after a reboot no owner is alive, and no network has a bridge. What the source listed stays
// known.
func (s *AddressSpace) Reset() {
	s.releaseFunc(func(Reservation) bool { return true })
	s.Bindings = nil
}

// Adopt reserves addresses that are found in use without a reservation, for their owner or for nobody known.
// Only addresses of the pools matter. It returns how many were missing.
func (s *AddressSpace) Adopt(inUse map[netip.Addr]Owner, now time.Time) int {
	missing := s.missing(inUse)
	for a, p := range missing {
		p.reserve(a, inUse[a], now)
		s.bind(inUse[a].Network, p)
	}
	return len(missing)
}

// missing are the addresses that Adopt would reserve, with their pools.
func (s *AddressSpace) missing(inUse map[netip.Addr]Owner) map[netip.Addr]*Pool {
	found := map[netip.Addr]*Pool{}
	for _, p := range s.Pools {
		for a := range p.Listed.all {
			if _, used := inUse[a]; used {
				found[a] = p
			}
		}
	}
	for a := range s.taken {
		delete(found, a)
	}
	return found
}

// Sweep frees addresses of nobody known, and of those that lost says nobody may have any more, if they are not in use,
// and returns them. lost may be nil.
func (s *AddressSpace) Sweep(inUse map[netip.Addr]Owner, lost func(Reservation) bool) []netip.Addr {
	return s.releaseFunc(func(r Reservation) bool {
		_, used := inUse[r.Address]
		return !used && r.suspect(lost)
	})
}

// suspect says that nothing is known that holds the address.
func (r Reservation) suspect(lost func(Reservation) bool) bool {
	return r.Unknown() || lost != nil && lost(r)
}

// hasSuspects says whether Sweep may find something.
func (s *AddressSpace) hasSuspects(lost func(Reservation) bool) bool {
	return slices.ContainsFunc(s.Pools, func(p *Pool) bool {
		return slices.ContainsFunc(p.Reservations, func(r Reservation) bool { return r.suspect(lost) })
	})
}

// namespaces are those of the holders, as far as they are known.
func (s *AddressSpace) namespaces() (list []uint64) {
	for _, p := range s.Pools {
		for _, r := range p.Reservations {
			if r.Namespace != 0 {
				list = append(list, r.Namespace)
			}
		}
	}
	return list
}

// heldByUnknown says whether nobody known holds the address.
func (s *AddressSpace) heldByUnknown(a netip.Addr) bool {
	return slices.ContainsFunc(s.Pools, func(p *Pool) bool {
		r := p.byAddress(a)
		return r != nil && r.Unknown()
	})
}

// BoundTo walks the networks that are bound to the pool.
func (s *AddressSpace) BoundTo(p *Pool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name, b := range s.Bindings {
			if b.id(p.ipv6()) == p.id() && !yield(name) {
				return
			}
		}
	}
}
