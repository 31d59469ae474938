package ipam

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const stepsPerCheck = 250

// The allocator against a naive model: whatever happens in whatever order, no address has two owners, none is
// given that the source does not list, owners keep what they have, and the longest free is given first.
func TestAddressSpaceKeepsItsPromises(t *testing.T) {
	t.Parallel()
	steps := 0
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt)
		m.nics = map[string]string{macs[0]: "eth0", macs[1]: "eth1"}
		m.refresh(everySubnet(m))
		actions := m.actions()
		names := slices.Sorted(maps.Keys(actions))
		for i := range stepsPerCheck {
			name := rapid.SampledFrom(names).Draw(rt, "action")
			actions[name]()
			m.clock++
			if i%8 == 0 {
				m.roundTrip()
			}
			m.invariants()
			steps++
		}
	})
	if !t.Failed() && !testing.Short() && steps < 20_000 {
		t.Errorf("%d steps instead of 20,000 at least", steps)
	}
	t.Logf("%d steps", steps)
}

var (
	macs     = []string{"00:0d:3a:00:00:01", "00:0d:3a:00:00:02", "00:0d:3a:00:00:03", "00:0d:3a:00:00:04"}
	prefixes = []netip.Prefix{prefix("10.240.0.0/24"), prefix("10.240.0.0/28"), prefix("10.241.0.0/24"), prefix("fd00::/64")}
)

// The weights of the actions are the number of their names.
func (m *model) actions() map[string]func() {
	return map[string]func(){
		"allocate 1": m.allocate, "allocate 2": m.allocate, "allocate 3": m.allocate, "allocate 4": m.allocate,
		"ask for an address": m.askFor, "ask for an address again": m.askFor,
		"release 1": m.release, "release 2": m.release, "release 3": m.release,
		"release by address": m.releaseUnowned,
		"collect":            m.collect,
		"refresh 1":          func() { m.refresh(m.subnets()) },
		"refresh 2":          func() { m.refresh(m.subnets()) },
		"refresh fully":      func() { m.refresh(everySubnet(m)) },
		"empty answer":       func() { m.refresh(nil) },
		"replace a NIC":      m.replaceNIC,
		"reboot":             m.reboot,
		"adopt and sweep":    m.adoptAndSweep,
		"import":             m.importClassic,
		"configure the host": m.configureHost,
	}
}

func (m *model) owner() Owner {
	return Owner{
		Network:     rapid.SampledFrom([]string{"azure", "second", "third"}).Draw(m.T, "network"),
		ContainerID: fmt.Sprintf("c%d", rapid.IntRange(0, 12).Draw(m.T, "container")),
		IfName:      rapid.SampledFrom([]string{"eth0", "eth0", "net1"}).Draw(m.T, "interface"),
	}
}

func (m *model) request() Request {
	q := Request{Owner: m.owner(), IPv6: rapid.IntRange(0, 4).Draw(m.T, "IPv6") == 0, OnHost: m.onHost}
	switch rapid.IntRange(0, 9).Draw(m.T, "wish") {
	case 0:
		q.Subnet = rapid.SampledFrom(prefixes).Draw(m.T, "subnet")
	case 1:
		q.Master = rapid.SampledFrom([]string{"eth0", "eth1", "eth9"}).Draw(m.T, "master")
	}
	return q
}

func (m *model) allocate() { m.ask(m.request()) }

func (m *model) askFor() {
	q := m.request()
	q.Address = addressIn(rapid.SampledFrom(prefixes).Draw(m.T, "prefix"), rapid.IntRange(2, 16).Draw(m.T, "number"))
	q.IPv6 = q.Address.Is6()
	m.ask(q)
}

func (m *model) ask(q Request) {
	m.Helper()
	got, err := m.space.Allocate(q, m.now())
	if err != nil {
		m.refused(q, err)
		return
	}
	m.allocated(q, got)
	again, err := m.space.Allocate(q, m.now())
	if err != nil || again != got {
		m.Fatalf("%+v gets %+v, and then %+v, %v", q, got, again, err)
	}
	if !slices.Contains(m.space.Holds(q.Owner), got.Address) {
		m.Fatalf("%s does not hold %s", q.Owner, got.Address)
	}
}

// owns is the model's own idea of whose a reservation is: of an imported one only the container may be known.
func owns(holder, o Owner) bool {
	return holder == o || holder.Network == "" && holder.ContainerID != "" && holder.ContainerID == o.ContainerID
}

// configureHost gives the host itself some addresses, and takes the former ones away.
func (m *model) configureHost() {
	m.onHost = HostAddrs{}
	for range rapid.IntRange(0, 6).Draw(m.T, "on the host") {
		a := addressIn(rapid.SampledFrom(prefixes).Draw(m.T, "prefix"), rapid.IntRange(2, 16).Draw(m.T, "number"))
		m.onHost[a] = rapid.SampledFrom([]string{"eth0", "azure0", "lo"}).Draw(m.T, "interface")
	}
}

func (m *model) release() {
	o := m.owner()
	m.released(m.space.Release(o), m.holding(func(_ netip.Addr, h Owner) bool { return owns(h, o) }))
	m.released(m.space.Release(o), nil)
}

func (m *model) releaseUnowned() {
	a := addressIn(prefixes[0], rapid.IntRange(2, 16).Draw(m.T, "number"))
	want := map[netip.Addr]bool{}
	if h, taken := m.held[a]; taken && h.Network == "" {
		want[a] = true
	}
	m.released(m.space.ReleaseUnowned(a), want)
}

func (m *model) collect() {
	network := rapid.SampledFrom([]string{"azure", "second", "nobody"}).Draw(m.T, "network")
	keep := map[string]bool{}
	for range rapid.IntRange(0, 8).Draw(m.T, "kept") {
		o := m.owner()
		keep[o.ContainerID+o.IfName] = true
	}
	freed := m.space.Collect(network, func(id, ifName string) bool { return keep[id+ifName] })
	m.released(freed, m.holding(func(_ netip.Addr, o Owner) bool { return o.Network == network && !keep[o.ContainerID+o.IfName] }))
}

func (m *model) reboot() {
	m.space.Reset()
	for a := range m.held {
		m.forget(a)
	}
	clear(m.bound)
	if len(m.space.Bindings) > 0 {
		m.Fatalf("after a reboot %v are bound", m.space.Bindings)
	}
}

func (m *model) adoptAndSweep() {
	inUse := map[netip.Addr]Owner{}
	for range rapid.IntRange(0, 4).Draw(m.T, "in use") {
		a := addressIn(rapid.SampledFrom(prefixes).Draw(m.T, "prefix"), rapid.IntRange(2, 16).Draw(m.T, "number"))
		o := Owner{}
		if rapid.Bool().Draw(m.T, "owner known") {
			o = Owner{"azure", "adopted-" + a.String(), "eth0"}
		}
		inUse[a] = o
	}
	adopted := 0
	for a, o := range inUse {
		if _, taken := m.held[a]; !taken && m.listed[a] {
			m.held[a] = o
			delete(m.free, a)
			adopted++
		}
	}
	if got := m.space.Adopt(inUse, m.now()); got != adopted {
		m.Fatalf("%d addresses are adopted instead of %d", got, adopted)
	}
	m.readBindings()
	if rapid.Bool().Draw(m.T, "sweep") {
		m.released(m.space.Sweep(inUse, nil), m.holding(func(a netip.Addr, o Owner) bool {
			_, used := inUse[a]
			return o.Network == "" && !used
		}))
	}
}

// importClassic replaces the state, as at the first start after the classic plugin.
func (m *model) importClassic() {
	if rapid.IntRange(0, 9).Draw(m.T, "rarely") > 0 {
		return
	}
	type record struct {
		ID    string
		InUse bool
	}
	records, owners := map[string]record{}, map[netip.Addr]Owner{}
	fresh := newModel(m.T)
	fresh.nics, fresh.onHost, fresh.clock = m.nics, m.onHost, m.clock
	pool := &nicPool{PoolID{Prefix: prefixes[0]}, "eth0"} // the classic state knows no MAC
	fresh.pools = []*nicPool{pool}
	for i := 2; i < 16; i++ {
		a := addressIn(prefixes[0], i)
		fresh.home[a] = pool
		r := record{InUse: rapid.Bool().Draw(m.T, "in use")}
		if r.InUse && rapid.Bool().Draw(m.T, "container known") {
			r.ID = fmt.Sprintf("c%d", i)
		}
		records[a.String()], fresh.listed[a] = r, true
		if r.InUse {
			fresh.held[a] = Owner{ContainerID: r.ID}
		}
		if r.InUse && rapid.Bool().Draw(m.T, "owner known") {
			owners[a] = Owner{"azure", fmt.Sprintf("c%d", i), "eth0"}
			fresh.held[a] = owners[a]
		}
	}
	raw, err := json.Marshal(map[string]any{"IPAM": map[string]any{"AddressSpaces": map[string]any{"local": map[string]any{
		"Pools": map[string]any{prefixes[0].String(): map[string]any{"IfName": "eth0", "Addresses": records}}}}}})
	if err != nil {
		m.Fatal(err)
	}
	var s State
	if err := ImportClassic(raw, &s, owners, m.now()); err != nil {
		m.Fatal(err)
	}
	fresh.space = &s.AddressSpace
	*m = *fresh
	m.readBindings()
}

// readBindings takes bindings over that something else than an allocation made.
func (m *model) readBindings() {
	for network, b := range m.space.Bindings {
		for _, ipv6 := range []bool{false, true} {
			key := boundKey{network, ipv6}
			id, bound := m.binding(Request{Owner: Owner{Network: network}, IPv6: ipv6})
			if !bound && b.id(ipv6) != (PoolID{}) {
				m.bound[key] = b.id(ipv6)
			} else if bound && b.id(ipv6) != id {
				m.Fatalf("the binding of %s changes from %v to %v", network, id, b.id(ipv6))
			}
		}
	}
}
