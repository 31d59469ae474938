package ipam

import (
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/ipam/source"
)

// This file lets an address space follow what the source lists.

// Host is what a source's answer is compared with: the interfaces of this host.
type Host interface {
	// NIC finds the interface that carries a subnet.
	NIC(source.Subnet) (NIC, bool)
	// HasMAC says whether an interface with that MAC is there.
	HasMAC(mac string) bool
}

// NIC is a network interface of this host as far as pools care.
type NIC struct {
	Name string
	MAC  string
}

// Refresh makes the space follow what the source lists now. Subnets that no interface of the host carries are
// left out. Addresses that vanished are not given out any more but
// stay with their owners. Nothing that is reserved is ever dropped here, whatever the answer says, and an
// answer in which this host does not appear at all changes nothing but Unmatched.
func (s *AddressSpace) Refresh(subnets []source.Subnet, host Host) {
	listed := map[*Pool][]netip.Addr{}
	once := map[netip.Addr]bool{} // an address in two subnets of the answer belongs to the first
	s.Unmatched = nil
	for _, sub := range subnets {
		n, ok := host.NIC(sub)
		if !ok {
			s.Unmatched = append(s.Unmatched, sub.MAC)
			continue
		}
		p := s.poolFor(PoolID{n.MAC, sub.Prefix.Masked()}, host)
		p.Interface, p.Primary = n.Name, sub.Primary
		for _, a := range sub.Addresses {
			if !once[a] {
				once[a] = true
				listed[p] = append(listed[p], a)
			}
		}
	}
	if len(listed) == 0 {
		return
	}
	for _, p := range s.Pools {
		p.Listed = newAddrSet(listed[p])
		p.Released = slices.DeleteFunc(p.Released, func(a netip.Addr) bool { return !p.Listed.contains(a) })
	}
	s.follow()
	// A pool that is gone from the answer stays as long as somebody holds an address of it, or its NIC is there.
	s.Pools = slices.DeleteFunc(s.Pools, func(p *Pool) bool {
		return len(p.Listed) == 0 && len(p.Reservations) == 0 && !host.HasMAC(p.MAC)
	})
}

// lacks says whether Refresh with the same arguments would bring addresses that are not listed now.
func (s *AddressSpace) lacks(subnets []source.Subnet, host Host) bool {
	known := func(a netip.Addr) bool {
		return slices.ContainsFunc(s.Pools, func(p *Pool) bool { return p.Listed.contains(a) })
	}
	for _, sub := range subnets {
		if _, ok := host.NIC(sub); ok && slices.ContainsFunc(sub.Addresses, func(a netip.Addr) bool { return !known(a) }) {
			return true
		}
	}
	return false
}

// follow moves reservations of addresses that another pool lists now: Azure lets an address move to another NIC.
func (s *AddressSpace) follow() {
	for _, from := range s.Pools {
		from.Reservations = slices.DeleteFunc(from.Reservations, func(r Reservation) bool {
			if from.Listed.contains(r.Address) {
				return false
			}
			for _, to := range s.Pools {
				if to.Listed.contains(r.Address) {
					to.Reservations = append(to.Reservations, r)
					return true
				}
			}
			return false
		})
	}
}

// poolFor finds the pool, or the one whose NIC it replaces (same subnet, and its NIC is not there any more),
// or makes it.
func (s *AddressSpace) poolFor(id PoolID, host Host) *Pool {
	for _, p := range s.Pools {
		if p.id() == id {
			return p
		}
	}
	for _, p := range s.Pools {
		if p.Prefix == id.Prefix && !host.HasMAC(p.MAC) {
			s.rebind(p.id(), id)
			p.MAC = id.MAC
			return p
		}
	}
	p := &Pool{Prefix: id.Prefix, MAC: id.MAC}
	s.Pools = append(s.Pools, p)
	return p
}

func (s *AddressSpace) rebind(from, to PoolID) {
	for network, b := range s.Bindings {
		if b.IPv4 == from {
			b.IPv4 = to
		}
		if b.IPv6 == from {
			b.IPv6 = to
		}
		s.Bindings[network] = b
	}
}
