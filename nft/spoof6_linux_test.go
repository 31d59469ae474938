package nft

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/Azure/azure-container-networking/test/lab"
)

// ipv6 is a packet with the next header's number.
func ipv6(src netip.Addr, next byte, payload ...byte) []byte {
	h := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(payload)))
	h = append(h, next, 255)
	h = append(h, src.AsSlice()...)
	h = append(h, netip.MustParseAddr("ff02::1").AsSlice()...)
	return append(h, payload...)
}

// nd is a message of neighbour discovery about an address.
func nd(typ byte, target netip.Addr) []byte {
	return append([]byte{typ, 0, 0, 0, 0x60, 0, 0, 0}, target.AsSlice()...)
}

func TestAPodSaysOnlyWhatItMayByIPv6(t *testing.T) {
	t.Parallel()
	own, other := lab.PodMAC(lab.PodPrefixes[0]), lab.PodMAC(lab.PodPrefixes[1])
	ownIP, otherIP, host := netip.MustParseAddr("fd00::1:1"), netip.MustParseAddr("fd00::1:2"), netip.MustParseAddr("fd00::4")
	const icmp, udp, options = 58, 17, 60
	// A header of destination options that says nothing: what follows is 8 bytes further.
	behind := func(payload []byte) []byte { return append([]byte{icmp, 0, 1, 4, 0, 0, 0, 0}, payload...) }
	const from, advertisement = "IPv6 from", "neighbour advertisement of"
	for name, test := range map[string]struct {
		frame []byte
		rule  string // that counts it
	}{
		"not from a neighbour's address":            {frame(own, 0x86dd, ipv6(otherIP, udp, make([]byte, 8)...)...), from},
		"not from the host's address":               {frame(own, 0x86dd, ipv6(host, udp, make([]byte, 8)...)...), from},
		"not from another MAC":                      {frame(other, 0x86dd, ipv6(ownIP, udp, make([]byte, 8)...)...), from},
		"not from a neighbour's link-local address": {frame(own, 0x86dd, ipv6(linkLocal(other), udp, make([]byte, 8)...)...), from},
		"not an advertisement for a neighbour":      {frame(own, 0x86dd, ipv6(ownIP, icmp, nd(136, otherIP)...)...), advertisement},
		"not an advertisement for the host":         {frame(own, 0x86dd, ipv6(linkLocal(own), icmp, nd(136, host)...)...), advertisement},
		"not one that hides behind an extension header": {frame(own, 0x86dd, ipv6(ownIP, options, behind(nd(136, otherIP))...)...),
			advertisement},
		"not a router's advertisement": {frame(own, 0x86dd, ipv6(linkLocal(own), icmp, nd(134, ownIP)...)...),
			"router advertisement"},
		"not a router's advertisement behind a header": {frame(own, 0x86dd, ipv6(linkLocal(own), options, behind(nd(134, ownIP))...)...),
			"router advertisement"},
		"not a redirect":               {frame(own, 0x86dd, ipv6(linkLocal(own), icmp, nd(137, ownIP)...)...), "redirect"},
		"not a DHCPv6 server's answer": {frame(own, 0x86dd, ipv6(ownIP, udp, 2, 35, 2, 34, 0, 8, 0, 0)...), "DHCPv6 server"},
		"not a DHCP server's answer": {frame(own, 0x0800, append(ipv4(lab.PodPrefixes[0].Addr(), lab.Gateway), 0, 67, 0, 68, 0, 26, 0, 0)...),
			"DHCP server"},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, 2)
			p.kernel(func(nft *Conn) {
				for i, a := range []netip.Addr{ownIP, otherIP} {
					e := p.element(i)
					e.Address = a
					p.Must(nft.AddElements(e))
				}
			})
			p.refuses(test.frame, test.rule)
		})
	}
}
