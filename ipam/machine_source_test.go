package ipam

import (
	"net/netip"
	"slices"

	"pgregory.net/rapid"
)

// addressIn is the n-th address of a prefix.
func addressIn(p netip.Prefix, n int) netip.Addr {
	a := p.Addr()
	for range n {
		a = a.Next()
	}
	return a
}

// everySubnet is a complete and good answer of the source.
func everySubnet(m *model) []Subnet {
	var subnets []Subnet
	for i, p := range prefixes {
		sub := Subnet{MAC: macs[i%2], Primary: i%2 == 0, Prefix: p}
		for n := 2; n < 14; n++ {
			sub.Addresses = append(sub.Addresses, addressIn(p, n))
		}
		if !m.HasMAC(sub.MAC) {
			sub.MAC = "*"
		}
		subnets = append(subnets, sub)
	}
	return subnets
}

// subnets is any answer: partial, with NICs that are not there, with addresses in two subnets.
func (m *model) subnets() []Subnet {
	var subnets []Subnet
	for range rapid.IntRange(0, 5).Draw(m.T, "subnets") {
		sub := Subnet{
			MAC:     rapid.SampledFrom(append([]string{"*"}, macs...)).Draw(m.T, "MAC"),
			Primary: rapid.Bool().Draw(m.T, "primary"),
			Prefix:  rapid.SampledFrom(prefixes).Draw(m.T, "prefix"),
		}
		first := rapid.IntRange(2, 12).Draw(m.T, "first")
		for n := first; n < first+rapid.IntRange(0, 8).Draw(m.T, "addresses") && n < 15; n++ {
			sub.Addresses = append(sub.Addresses, addressIn(sub.Prefix, n))
		}
		if rapid.IntRange(0, 5).Draw(m.T, "repeats itself") == 0 {
			sub.Addresses = append(sub.Addresses, slices.Clone(sub.Addresses)...)
		}
		subnets = append(subnets, sub)
	}
	return subnets
}

// replaceNIC gives a NIC another MAC, or another name.
func (m *model) replaceNIC() {
	mac := rapid.SampledFrom(macs).Draw(m.T, "MAC")
	name := rapid.SampledFrom([]string{"eth0", "eth1", "enP1s1"}).Draw(m.T, "name")
	for old, n := range m.nics {
		if n == name || old == mac {
			delete(m.nics, old)
		}
	}
	m.nics[mac] = name
}

// refresh compares with what the answer lists on the NICs that are there. An answer without an address for this
// host changes nothing.
func (m *model) refresh(subnets []Subnet) {
	m.Helper()
	listed := map[netip.Addr]bool{}
	for _, sub := range subnets {
		if _, ok := m.NIC(sub); ok {
			for _, a := range sub.Addresses {
				listed[a] = true
			}
		}
	}
	before := map[netip.Addr]*Pool{}
	ids := map[*Pool]PoolID{}
	for _, p := range m.space.Pools {
		ids[p] = p.id()
		for a := range p.Listed.all {
			before[a] = p
		}
	}
	m.space.Refresh(subnets, m)
	m.rebound(ids)
	if len(listed) == 0 {
		return
	}
	m.listed = listed
	for a := range m.free { // what left its pool, and comes back, is as if it had never been given
		if p := m.pool(a); p == nil || p != before[a] {
			delete(m.free, a)
		}
	}
}

// rebound follows pools whose NIC was replaced.
func (m *model) rebound(ids map[*Pool]PoolID) {
	now := map[PoolID]PoolID{}
	for p, old := range ids {
		if slices.Contains(m.space.Pools, p) {
			now[old] = p.id()
		}
	}
	for key, id := range m.bound {
		if next, there := now[id]; there {
			m.bound[key] = next
		}
	}
}
