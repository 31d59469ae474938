package cni

import (
	"net"
	"net/netip"
)

// IPNet and PrefixOf stand at the border to the containernetworking libraries: inside, prefixes are netip's.

// IPNet keeps the address's host part, as results want it.
func IPNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: net.IP(p.Addr().AsSlice()), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// PrefixOf is the invalid prefix for anything that is not an address with a mask of its own family.
func PrefixOf(n net.IPNet) netip.Prefix {
	a, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if a = a.Unmap(); !ok || bits != a.BitLen() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, ones)
}
