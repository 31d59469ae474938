package ipam

import (
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/azure"
)

// Pool is one subnet of one NIC: the addresses that Azure assigned there, and who holds them.
type Pool struct {
	Prefix       netip.Prefix  `json:"prefix"`
	MAC          string        `json:"mac"`
	Interface    string        `json:"interface"`          // the NIC's name on this host
	Primary      bool          `json:"primary"`            // the NIC is the VM's primary one
	Listed       addrSet       `json:"listed"`             // what the source lists now
	Reservations []Reservation `json:"-"`                  // they are the state's records (records.go)
	Released     []netip.Addr  `json:"released,omitempty"` // free again, the oldest first

	// Absent says that no interface of the host has the pool's MAC now: its addresses lead nowhere.
	Absent bool `json:"-"`
}

// lives says whether there is anything that a network could be bound to.
func (p *Pool) lives() bool { return len(p.Listed) > 0 || len(p.Reservations) > 0 }

// Gateway is where the subnet's default route goes: the first host address for IPv4, the fabric's link-local
// address for IPv6.
func (p *Pool) Gateway() netip.Addr {
	if p.ipv6() {
		return azure.Router6
	}
	return p.Prefix.Masked().Addr().Next()
}

// Capacity is how many addresses the source lists.
func (p *Pool) Capacity() int { return p.Listed.count() }

// Available is how many of them are free.
func (p *Pool) Available() int {
	n := p.Capacity()
	for _, r := range p.Reservations {
		if p.Listed.contains(r.Address) {
			n--
		}
	}
	return n
}

func (p *Pool) ipv6() bool { return p.Prefix.Addr().Is6() }

// byOwner finds the owner's own reservation. One of which only the container is known may be of another interface
// that the container uses: its address is not for giving.
func (p *Pool) byOwner(o Owner) *Reservation {
	for i := range p.Reservations {
		if p.Reservations[i].Owner == o {
			return &p.Reservations[i]
		}
	}
	return nil
}

func (p *Pool) byAddress(a netip.Addr) *Reservation {
	for i := range p.Reservations {
		if p.Reservations[i].Address == a {
			return &p.Reservations[i]
		}
	}
	return nil
}

// next picks the free address that was released longest ago; one that was never given counts as the oldest. taken are
// the addresses in use anywhere: a replaced NIC can leave an address in two pools; onHost are the host's.
func (p *Pool) next(taken, onHost iter.Seq[netip.Addr]) (netip.Addr, bool) {
	// What is false is free, but was given before. The host has few addresses; more make it grow.
	const ofTheHost = 8
	used := make(map[netip.Addr]bool, len(p.Released)+len(p.Reservations)+ofTheHost)
	for _, a := range p.Released {
		used[a] = false
	}
	for _, list := range []iter.Seq[netip.Addr]{taken, onHost} {
		for a := range list {
			used[a] = true
		}
	}
	for a := range p.Listed.all {
		if _, known := used[a]; !known {
			return a, true
		}
	}
	for _, a := range p.Released {
		if !used[a] && p.Listed.contains(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func (p *Pool) reserve(a netip.Addr, o Owner, now time.Time) *Reservation {
	p.Released = slices.DeleteFunc(p.Released, func(r netip.Addr) bool { return r == a })
	p.Reservations = append(p.Reservations, Reservation{Address: a, Owner: o, Created: now.UTC().Truncate(time.Second)})
	return &p.Reservations[len(p.Reservations)-1]
}

// release frees what drop selects, and returns the addresses.
func (p *Pool) release(drop func(Reservation) bool) []netip.Addr {
	var freed []netip.Addr
	p.Reservations = slices.DeleteFunc(p.Reservations, func(r Reservation) bool {
		if !drop(r) {
			return false
		}
		freed = append(freed, r.Address)
		return true
	})
	return freed
}

func (p *Pool) assigned(a netip.Addr) Assigned {
	return Assigned{Address: a, Prefix: p.Prefix, Gateway: p.Gateway(), Interface: p.Interface}
}

// Lists says whether the source lists the address for containers.
func (p *Pool) Lists(a netip.Addr) bool { return p.Listed.contains(a) }
