package ipam

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"sort"
	"strings"
)

// addrRange is a run of consecutive addresses, both ends included. Azure assigns addresses in runs, so a
// pool of thousands is a few ranges: the state file stays small and an ADD does not decode them one by one.
type addrRange struct{ first, last netip.Addr }

func (r addrRange) contains(a netip.Addr) bool {
	return a.BitLen() == r.first.BitLen() && r.first.Compare(a) <= 0 && a.Compare(r.last) <= 0
}

// count is how many addresses the range has, at most maxCount.
func (r addrRange) count() int { return min(distance(r.first, r.last), maxCount-1) + 1 }

// distance is how many times from.Next() leads to the address to, of the same family, at most maxCount. The last
// address is followed by the first: what comes before a range is further from its start than its end is.
func distance(from, to netip.Addr) int {
	if from.Is4() {
		a, b := from.As4(), to.As4()
		return int(min(binary.BigEndian.Uint32(b[:])-binary.BigEndian.Uint32(a[:]), maxCount))
	}
	a, b := from.As16(), to.As16()
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(a[8:]), 0)
	high, _ := bits.Sub64(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(a[:8]), borrow)
	if high > 0 || low > maxCount {
		return maxCount
	}
	return int(low)
}

// AppendTo appends "10.240.0.5-10.240.0.9", or one address.
func (r addrRange) AppendTo(b []byte) []byte {
	if b = r.first.AppendTo(b); r.first != r.last {
		b = r.last.AppendTo(append(b, '-'))
	}
	return b
}

// parseRange reads what AppendTo wrote.
func parseRange(text string) (r addrRange, err error) {
	first, last, isRange := strings.Cut(text, "-")
	if r.first, err = netip.ParseAddr(first); err != nil {
		return r, err
	}
	r.last = r.first
	if isRange {
		if r.last, err = netip.ParseAddr(last); err != nil {
			return r, err
		}
	}
	if r.last.Less(r.first) || r.first.BitLen() != r.last.BitLen() || r.first.Zone()+r.last.Zone() != "" {
		return r, fmt.Errorf("%q is no address range", text)
	}
	return r, nil
}

// addrSet is a set of addresses as sorted, disjoint ranges.
type addrSet []addrRange

func newAddrSet(addrs []netip.Addr) addrSet {
	sorted := slices.Clone(addrs)
	sortAddrs(sorted)
	var set addrSet
	for _, a := range sorted {
		if n := len(set); n > 0 {
			if last := &set[n-1].last; a == *last {
				continue
			} else if last.Next() == a {
				*last = a
				continue
			}
		}
		set = append(set, addrRange{a, a})
	}
	return set
}

// setOf takes ranges in any order, overlapping or not: somebody may have edited the file.
func setOf(ranges []addrRange) (s addrSet) {
	sort.Slice(ranges, func(i, j int) bool {
		return ranges[i].first.Less(ranges[j].first)
	}) // slices.SortFunc takes 10 KB for this
	for _, r := range ranges {
		if n := len(s); n > 0 && s[n-1].contains(r.first) {
			if last := &s[n-1].last; last.Less(r.last) {
				*last = r.last
			}
			continue
		}
		s = append(s, r)
	}
	return s
}

func (s addrSet) contains(a netip.Addr) bool { return s.find(a) >= 0 }

// find returns the range that has the address, by its number, or -1.
func (s addrSet) find(a netip.Addr) int {
	from, to := 0, len(s)
	for from < to {
		if middle := (from + to) / 2; s[middle].last.Less(a) {
			from = middle + 1
		} else {
			to = middle
		}
	}
	if from == len(s) || a.Less(s[from].first) {
		return -1
	}
	return from
}

// maxCount bounds counting and walking: a damaged file may claim a range that holds half of IPv6.
const maxCount = 1 << 20

func (s addrSet) all(yield func(netip.Addr) bool) {
	n := 0
	for _, r := range s {
		for a := r.first; ; a = a.Next() {
			if n++; n > maxCount || !yield(a) {
				return
			}
			if a == r.last {
				break
			}
		}
	}
}

func (s addrSet) count() int {
	n := 0
	for _, r := range s {
		n = min(n+r.count(), maxCount)
	}
	return n
}

// sortAddrs sorts in place; slices.SortFunc takes 16 KB for this.
func sortAddrs(addrs []netip.Addr) {
	sort.Slice(addrs, func(i, j int) bool { return addrs[i].Less(addrs[j]) })
}
