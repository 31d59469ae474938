package ipam

import (
	"net/netip"
	"slices"

	"pgregory.net/rapid"

	"github.com/Azure/azure-container-networking/ipam/source"
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
func everySubnet(m *model) []source.Subnet {
	var subnets []source.Subnet
	for i, p := range prefixes {
		sub := source.Subnet{MAC: macs[i%2], Primary: i%2 == 0, Prefix: p}
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
func (m *model) subnets() []source.Subnet {
	var subnets []source.Subnet
	for range rapid.IntRange(0, 5).Draw(m.T, "subnets") {
		sub := source.Subnet{
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
// host changes nothing but which NICs are known.
func (m *model) refresh(subnets []source.Subnet) {
	m.Helper()
	listed := map[netip.Addr]*nicPool{}
	for _, sub := range subnets {
		nic, ok := m.NIC(sub)
		if !ok {
			continue
		}
		p := m.poolOn(nic, sub.Prefix)
		for _, a := range sub.Addresses {
			if listed[a] == nil { // an address in two subnets of the answer belongs to the first
				listed[a] = p
			}
		}
	}
	m.space.Refresh(subnets, m)
	if len(listed) == 0 {
		return
	}
	for a := range m.free { // what left its pool, and comes back, is as if it had never been given
		if !m.listed[a] || listed[a] != m.home[a] {
			delete(m.free, a)
		}
	}
	clear(m.listed)
	for a, p := range listed {
		m.listed[a], m.home[a] = true, p
	}
	m.pools = slices.DeleteFunc(m.pools, func(p *nicPool) bool { return !m.lives(p) && !m.HasMAC(p.MAC) })
}

// poolOn is the pool of a subnet on a NIC. A NIC that is new takes the place of one that is gone, with all that was
// bound to that, and never of one that is there: two NICs may be in one subnet.
func (m *model) poolOn(nic NIC, subnet netip.Prefix) *nicPool {
	id := PoolID{nic.MAC, subnet}
	at := slices.IndexFunc(m.pools, func(p *nicPool) bool { return p.PoolID == id })
	if at < 0 {
		at = slices.IndexFunc(m.pools, func(p *nicPool) bool { return p.Prefix == subnet && !m.HasMAC(p.MAC) })
	}
	if at < 0 {
		at, m.pools = len(m.pools), append(m.pools, &nicPool{PoolID: id})
	}
	p := m.pools[at]
	for key, bound := range m.bound {
		if bound == p.PoolID {
			m.bound[key] = id
		}
	}
	p.PoolID, p.name = id, nic.Name
	return p
}
