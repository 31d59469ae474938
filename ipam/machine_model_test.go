package ipam

import (
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// model is what a naive bookkeeper would know: plain maps, no pools. It is compared with the AddressSpace after
// each step of the state machine (machine_test.go).
type model struct {
	*rapid.T
	space *AddressSpace
	nics  map[string]string // MAC → name, of this host

	onHost HostAddrs

	listed map[netip.Addr]bool           // by the source, at its last useful answer
	held   map[netip.Addr]Owner          // by whom
	given  map[netip.Addr]map[Owner]bool // to whom Allocate gave it since it was last free
	free   map[netip.Addr]int            // when it was released last; absent means never
	bound  map[boundKey]PoolID
	clock  int
}

type boundKey struct {
	network string
	ipv6    bool
}

func newModel(t *rapid.T) *model {
	return &model{T: t, space: &AddressSpace{}, nics: map[string]string{},
		listed: map[netip.Addr]bool{}, held: map[netip.Addr]Owner{}, given: map[netip.Addr]map[Owner]bool{},
		free: map[netip.Addr]int{}, bound: map[boundKey]PoolID{}}
}

func (m *model) now() time.Time { return time.Unix(int64(m.clock), 0) }

// NIC and HasMAC make the model the Host.
func (m *model) NIC(s Subnet) (NIC, bool) {
	if s.MAC == "*" {
		for _, mac := range slices.Sorted(maps.Keys(m.nics)) {
			return NIC{m.nics[mac], mac}, true
		}
	}
	name, ok := m.nics[s.MAC]
	return NIC{name, s.MAC}, ok
}

func (m *model) HasMAC(mac string) bool { return m.nics[mac] != "" }

// released is told which addresses the space says it has freed, in order.
func (m *model) released(freed []netip.Addr, want map[netip.Addr]bool) {
	m.Helper()
	got := map[netip.Addr]bool{}
	for _, a := range freed {
		if got[a] {
			m.Fatalf("%s is freed twice: %v", a, freed)
		}
		got[a] = true
		m.clock++
		m.forget(a)
	}
	if !maps.Equal(got, want) {
		m.Fatalf("freed %v instead of %v", freed, slices.SortedFunc(maps.Keys(want), netip.Addr.Compare))
	}
}

func (m *model) forget(a netip.Addr) {
	delete(m.held, a)
	delete(m.given, a)
	if m.listed[a] {
		m.free[a] = m.clock
	}
}

// holding are the addresses whose holder the predicate selects.
func (m *model) holding(is func(netip.Addr, Owner) bool) map[netip.Addr]bool {
	found := map[netip.Addr]bool{}
	for a, o := range m.held {
		if is(a, o) {
			found[a] = true
		}
	}
	return found
}

// allocated checks a successful answer of Allocate.
func (m *model) allocated(q Request, got Assigned) {
	m.Helper()
	a := got.Address
	if a.Is6() != q.IPv6 || q.Address.IsValid() && a != q.Address {
		m.Fatalf("%+v is answered with %s", q, a)
	}
	if at, has := q.OnHost[a]; has {
		m.Fatalf("%s is given, which is the host's on %s", a, at)
	}
	if m.given[a] == nil {
		m.given[a] = map[Owner]bool{}
	}
	m.given[a][q.Owner] = true
	if len(m.given[a]) > 1 {
		m.Fatalf("%s has two owners: %v", a, m.given[a])
	}
	if holder, taken := m.held[a]; taken {
		if holder != q.Owner {
			m.Fatalf("%s of %s is given to %s", a, holder, q.Owner)
		}
		return
	}
	for other := range m.holding(func(_ netip.Addr, o Owner) bool { return o == q.Owner }) {
		if other.Is6() == q.IPv6 {
			m.Fatalf("%s holds %s and is given %s", q.Owner, other, a)
		}
	}
	p := m.pool(a)
	switch {
	case !m.listed[a] || p == nil:
		m.Fatalf("%s is given out, which the source does not list", a)
	case got.Prefix != p.Prefix || got.Interface != p.Interface || got.Gateway != p.Gateway():
		m.Fatalf("%s is given as %+v, its pool is %+v", a, got, p.id())
	case q.Subnet.IsValid() && p.Prefix != q.Subnet, q.Master != "" && p.Interface != q.Master:
		m.Fatalf("%+v is answered from %s on %s", q, p.Prefix, p.Interface)
	}
	m.staysBound(q, p)
	if !q.Address.IsValid() {
		m.longestFree(p, a)
	}
	m.held[a] = q.Owner
	delete(m.free, a)
}

// staysBound: without a wish of its own, a network gets addresses of one pool, as long as there is that pool.
func (m *model) staysBound(q Request, p *Pool) {
	m.Helper()
	id, bound := m.binding(q)
	if !bound {
		m.bound[boundKey{q.Network, q.IPv6}] = p.id()
	}
	if bound && p.id() != id && !q.Subnet.IsValid() && q.Master == "" {
		m.Fatalf("network %s is bound to %v and gets %s of %v", q.Network, id, p.Prefix, p.id())
	}
}

// binding is the pool that the network has; one that lists nothing and of which nobody holds anything does not bind.
func (m *model) binding(q Request) (PoolID, bool) {
	id, bound := m.bound[boundKey{q.Network, q.IPv6}]
	return id, bound && slices.ContainsFunc(m.space.Pools, func(p *Pool) bool { return p.id() == id && len(p.Listed)+len(p.Reservations) > 0 })
}

// longestFree: no free address of the pool was released before this one.
func (m *model) longestFree(p *Pool, given netip.Addr) {
	m.Helper()
	for a := range p.Listed.all {
		_, taken := m.held[a]
		_, onHost := m.onHost[a]
		if !taken && !onHost && m.free[a] < m.free[given] {
			m.Fatalf("%s, released at %d, is given before %s, released at %d", given, m.free[given], a, m.free[a])
		}
	}
}

// refused checks that a refusal is true.
func (m *model) refused(q Request, err error) {
	m.Helper()
	if errors.Is(err, ErrOnHost) {
		_, asked := m.onHost[q.Address]
		holds := m.holding(func(a netip.Addr, o Owner) bool { _, has := m.onHost[a]; return has && o == q.Owner })
		if !asked && len(holds) == 0 {
			m.Fatalf("the host has neither %s nor what %s holds: %v", q.Address, q.Owner, err)
		}
		return
	}
	if q.Address.IsValid() {
		_, taken := m.held[q.Address]
		owns := len(m.holding(func(_ netip.Addr, o Owner) bool { return o == q.Owner })) > 0
		switch {
		case errors.Is(err, ErrInUse):
			if !taken && !owns {
				m.Fatalf("%s is free: %v", q.Address, err)
			}
			return
		case errors.Is(err, ErrElsewhere):
			if id, bound := m.binding(q); !m.listed[q.Address] || !bound || m.pool(q.Address).id() == id {
				m.Fatalf("%+v: %v", q, err)
			}
			return
		case errors.Is(err, ErrNotListed):
			if _, bound := m.binding(q); m.listed[q.Address] && !q.Subnet.IsValid() && q.Master == "" && !bound {
				m.Fatalf("%s is listed: %v", q.Address, err)
			}
			return
		}
	}
	if !errors.Is(err, ErrExhausted) && !errors.Is(err, ErrNoPool) {
		m.Fatalf("%+v: %v", q, err)
	}
	id, bound := m.binding(q)
	for a := range m.listed {
		p := m.pool(a)
		_, taken := m.held[a]
		_, onHost := m.onHost[a]
		if !taken && !onHost && a.Is6() == q.IPv6 && (!bound || p.id() == id) &&
			(!q.Subnet.IsValid() || p.Prefix == q.Subnet) && (q.Master == "" || p.Interface == q.Master) {
			m.Fatalf("%s is free for %+v: %v", a, q, err)
		}
	}
}

// pool is the pool that lists the address.
func (m *model) pool(a netip.Addr) *Pool {
	for _, p := range m.space.Pools {
		if p.Listed.contains(a) {
			return p
		}
	}
	return nil
}

// invariants hold between any two steps.
func (m *model) invariants() {
	m.Helper()
	held, listed := map[netip.Addr]Owner{}, map[netip.Addr]bool{}
	available := 0
	for _, p := range m.space.Pools {
		available += p.Available()
		for _, r := range p.Reservations {
			if other, twice := held[r.Address]; twice {
				m.Fatalf("%s is reserved for %s and %s", r.Address, other, r.Owner())
			}
			held[r.Address] = r.Owner()
		}
		for a := range p.Listed.all {
			if listed[a] {
				m.Fatalf("%s is listed twice", a)
			}
			listed[a] = true
		}
		for _, a := range p.Released {
			if _, taken := held[a]; taken && p.byAddress(a) != nil {
				m.Fatalf("%s is reserved and waits to be given", a)
			}
		}
	}
	if d := cmp.Diff(m.held, held, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		m.Fatalf("reservations (-model +space):\n%s", d)
	}
	if !maps.Equal(m.listed, listed) {
		m.Fatalf("listed are %v instead of %v", listed, m.listed)
	}
	free := 0
	for a := range m.listed {
		if _, taken := m.held[a]; !taken {
			free++
		}
	}
	if available != free {
		m.Fatalf("%d addresses are available, %d are free", available, free)
	}
}

// roundTrip goes on with what a state file would give back.
func (m *model) roundTrip() {
	m.Helper()
	before, err := json.Marshal(m.space)
	if err != nil {
		m.Fatal(err)
	}
	rows := rowsOf(m.space)
	back := &AddressSpace{}
	if err := json.Unmarshal(before, back); err != nil {
		m.Fatal(err)
	}
	if err := back.ParseRows(rows); err != nil {
		m.Fatal(err)
	}
	after, err := json.Marshal(back)
	if again := rowsOf(back); err != nil || string(before) != string(after) || rows != again {
		m.Fatalf("the state does not survive its file (%v):\n%s\n%s\n%s\n%s", err, before, after, rows, again)
	}
	m.space = back
}

var _ Host = (*model)(nil)
