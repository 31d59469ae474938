package ipam

import (
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// model is what a naive bookkeeper would know: plain maps, and by address the NIC that has it. It is compared with the
// AddressSpace after each step of the state machine (machine_test.go), and asks it nothing.
type model struct {
	*rapid.T
	space *AddressSpace
	nics  map[string]string // MAC → name, of this host

	onHost HostAddrs

	listed map[netip.Addr]bool           // by the source, at its last useful answer
	pools  []*nicPool                    // in the order in which the source named them first
	home   map[netip.Addr]*nicPool       // where each address is that is listed or held
	held   map[netip.Addr]Owner          // by whom
	given  map[netip.Addr]map[Owner]bool // to whom Allocate gave it since it was last free
	free   map[netip.Addr]int            // when it was released last; absent means never
	bound  map[boundKey]PoolID
	clock  int
}

// nicPool is one subnet on one NIC of this host.
type nicPool struct {
	PoolID
	name string // of the NIC, at the last answer that named it
}

// gateway is Azure's: of an IPv4 subnet its first address, for IPv6 the one that the fabric announces.
func (p nicPool) gateway() netip.Addr {
	if p.Prefix.Addr().Is6() {
		return addr("fe80::1234:5678:9abc")
	}
	return addressIn(p.Prefix, 1)
}

type boundKey struct {
	network string
	ipv6    bool
}

func newModel(t *rapid.T) *model {
	return &model{T: t, space: &AddressSpace{}, nics: map[string]string{},
		listed: map[netip.Addr]bool{}, home: map[netip.Addr]*nicPool{}, held: map[netip.Addr]Owner{}, given: map[netip.Addr]map[Owner]bool{},
		free: map[netip.Addr]int{}, bound: map[boundKey]PoolID{}}
}

func (m *model) now() time.Time { return time.Unix(int64(m.clock), 0) }

// NIC and HasMAC make the model the Host.
func (m *model) NIC(s source.Subnet) (NIC, bool) {
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
	p := m.home[a]
	switch {
	case !m.listed[a]:
		m.Fatalf("%s is given out, which the source does not list", a)
	case got.Prefix != p.Prefix || got.Interface != p.name || got.Gateway != p.gateway():
		m.Fatalf("%s is given as %+v, its pool is %+v", a, got, *p)
	case q.Subnet.IsValid() && p.Prefix != q.Subnet, q.Master != "" && p.name != q.Master:
		m.Fatalf("%+v is answered from %s on %s", q, p.Prefix, p.name)
	}
	m.staysBound(q, p)
	if !q.Address.IsValid() {
		m.longestFree(a)
	}
	m.held[a] = q.Owner
	delete(m.free, a)
}

// staysBound: without a wish of its own, a network gets addresses of one pool, as long as there is that pool.
func (m *model) staysBound(q Request, p *nicPool) {
	m.Helper()
	id, bound := m.binding(q)
	if !bound {
		m.bound[boundKey{q.Network, q.IPv6}] = p.PoolID
	}
	if bound && p.PoolID != id && !q.Subnet.IsValid() && q.Master == "" {
		m.Fatalf("network %s is bound to %v and gets an address of %v", q.Network, id, p.PoolID)
	}
}

// binding is the pool that the network has; one that lists nothing and of which nobody holds anything does not bind.
func (m *model) binding(q Request) (PoolID, bool) {
	id, bound := m.bound[boundKey{q.Network, q.IPv6}]
	return id, bound && slices.ContainsFunc(m.pools, func(p *nicPool) bool { return p.PoolID == id && m.lives(p) })
}

// lives says whether the source lists an address of the pool, or somebody holds one.
func (m *model) lives(p *nicPool) bool {
	for a, at := range m.home {
		_, taken := m.held[a]
		if at == p && (taken || m.listed[a]) {
			return true
		}
	}
	return false
}

// longestFree: no free address of the pool was released before this one.
func (m *model) longestFree(given netip.Addr) {
	m.Helper()
	for a := range m.listed {
		_, taken := m.held[a]
		_, onHost := m.onHost[a]
		if m.home[a] == m.home[given] && !taken && !onHost && m.free[a] < m.free[given] {
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
			if id, bound := m.binding(q); !m.listed[q.Address] || !bound || m.home[q.Address].PoolID == id {
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
		p := m.home[a]
		_, taken := m.held[a]
		_, onHost := m.onHost[a]
		if !taken && !onHost && a.Is6() == q.IPv6 && (!bound || p.PoolID == id) &&
			(!q.Subnet.IsValid() || p.Prefix == q.Subnet) && (q.Master == "" || p.name == q.Master) {
			m.Fatalf("%s is free for %+v: %v", a, q, err)
		}
	}
}

// invariants hold between any two steps.
func (m *model) invariants() {
	m.Helper()
	held, listed := map[netip.Addr]Owner{}, map[netip.Addr]bool{}
	available := 0
	for _, p := range m.space.Pools {
		available += p.Available()
		for _, r := range p.Reservations {
			m.isAt(r.Address, p)
			if other, twice := held[r.Address]; twice {
				m.Fatalf("%s is reserved for %s and %s", r.Address, other, r.Owner)
			}
			held[r.Address] = r.Owner
		}
		for a := range p.Listed.all {
			if listed[a] {
				m.Fatalf("%s is listed twice", a)
			}
			listed[a] = true
			m.isAt(a, p)
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

// isAt: the address is in the pool of the NIC that the model knows it on.
func (m *model) isAt(a netip.Addr, p *Pool) {
	m.Helper()
	if home := m.home[a]; home == nil || p.id() != home.PoolID || p.Interface != home.name {
		m.Fatalf("%s is in the pool of %v on %s instead of %+v", a, p.id(), p.Interface, home)
	}
}

// roundTrip goes on with what a state file would give back.
func (m *model) roundTrip() {
	m.Helper()
	before, err := json.Marshal(&State{AddressSpace: *m.space})
	if err != nil {
		m.Fatal(err)
	}
	records := recordsOf(m.space)
	var read State
	if err := json.Unmarshal(before, &read); err != nil {
		m.Fatal(err)
	}
	back := &read.AddressSpace
	if err := parse(back, records); err != nil {
		m.Fatal(err)
	}
	after, err := json.Marshal(&read)
	if again := recordsOf(back); err != nil || string(before) != string(after) || records != again {
		m.Fatalf("the state does not survive its file (%v):\n%s\n%s\n%s\n%s", err, before, after, records, again)
	}
	m.space = back
}

var _ Host = (*model)(nil)
