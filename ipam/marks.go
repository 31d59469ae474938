package ipam

import (
	"net/netip"
	"slices"
)

// addrMarks marks addresses of a set: of ten thousand in a tenth of the time that a map takes. As for walking, what is
// beyond maxCount in a set does not count.
type addrMarks struct {
	set    addrSet
	before []int  // how many addresses the ranges before this one have
	marked []bool // by place in the set
}

func newAddrMarks(set addrSet) addrMarks {
	m := addrMarks{set: set}
	n := 0
	for _, r := range set {
		m.before = append(m.before, n)
		n = min(n+r.count(), maxCount)
	}
	m.marked = make([]bool, n)
	return m
}

func (m addrMarks) clone() addrMarks {
	m.marked = slices.Clone(m.marked)
	return m
}

// place is the address's place in the set, or -1.
func (m addrMarks) place(a netip.Addr) int {
	r := m.set.find(a)
	if r < 0 {
		return -1
	}
	if at := m.before[r] + distance(m.set[r].first, a); at < len(m.marked) {
		return at
	}
	return -1
}

// mark marks the address if it is in the set.
func (m addrMarks) mark(a netip.Addr) {
	if at := m.place(a); at >= 0 {
		m.marked[at] = true
	}
}

// unmarked says that the address is in the set and not marked.
func (m addrMarks) unmarked(a netip.Addr) bool {
	at := m.place(a)
	return at >= 0 && !m.marked[at]
}

// firstUnmarked is the lowest address that is not marked.
func (m addrMarks) firstUnmarked() (netip.Addr, bool) {
	at := 0
	for a := range m.set.all {
		if !m.marked[at] {
			return a, true
		}
		at++
	}
	return netip.Addr{}, false
}
