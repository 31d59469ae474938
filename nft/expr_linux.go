package nft

import (
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// rule is one nftables rule: its meaning, in words that an operator reads in "nft list", and its parts.
type rule struct {
	text  string
	exprs []expr.Any
}

func newRule(text string, parts ...[]expr.Any) rule {
	r := rule{text: text}
	for _, p := range parts {
		r.exprs = append(r.exprs, p...)
	}
	return r
}

// comment is what is stored with the rule: a hash of all that it is, which tells an old rule from the one that is
// wanted, then the text; cut to what nft can show (128 bytes).
func (r rule) comment() string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(r.text))
	for _, e := range r.exprs {
		b, _ := expr.Marshal(unix.NFPROTO_BRIDGE, e) // fails when the rule is installed, too
		_, _ = h.Write(b)
	}
	c := fmt.Sprintf("%08x %s", h.Sum32(), r.text)
	return c[:min(len(c), 120)]
}

// Offsets in headers (RFC 894, 826, 4861).
const (
	ll = expr.PayloadBaseLLHeader
	nh = expr.PayloadBaseNetworkHeader
	th = expr.PayloadBaseTransportHeader

	ethDst, ethSrc        = 0, 6
	arpOp, arpSHA, arpSPA = 6, 8, 14
	arpTPA                = 24
	ndTarget, ndOption    = 8, 24
)

const (
	etherIP4 = "\x08\x00"
	etherIP6 = "\x86\xdd"
	etherARP = "\x08\x06"
)

// Types of ICMPv6 (RFC 4861).
const (
	ndRouterAdvertisement = 134
	ndSolicitation        = 135
	ndAdvertisement       = 136
	ndRedirect            = 137
)

// ipFamily is what differs between IPv4 and IPv6 in a rule (RFC 791, 8200).
type ipFamily struct {
	v6               bool
	src, dst, length uint32 // of an address in the header, in bytes
}

var (
	ip4 = ipFamily{false, 12, 16, 4}
	ip6 = ipFamily{true, 8, 24, 16}
)

func familyOf(a netip.Addr) ipFamily {
	if a.Is6() {
		return ip6
	}
	return ip4
}

// match matches packets of the family, in a bridge's rules and in those of the host's stack. (meta protocol, not the
// frame's type: a packet that is routed may have lost its frame.)
func (f ipFamily) match() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1}, equal(f.protocol())}
}

func (f ipFamily) protocol() string {
	if f.v6 {
		return etherIP6
	}
	return etherIP4
}

// inHost matches packets of the family in the path of the host's own stack, so that nft shows what follows by its
// names.
func (f ipFamily) inHost() []expr.Any {
	proto := byte(unix.NFPROTO_IPV4)
	if f.v6 {
		proto = unix.NFPROTO_IPV6
	}
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(string([]byte{proto}))}
}

// l4 matches the transport protocol, behind extension headers too.
func l4(proto byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(string([]byte{proto}))}
}

// icmp6 matches a type of ICMPv6. The transport header is found behind extension headers, with which a pod could
// hide what it sends if offsets were counted from the network header.
func icmp6(typ byte) []expr.Any {
	return append(append(ip6.match(), l4(unix.IPPROTO_ICMPV6)...), load(th, 0, 1, 1), equal(string([]byte{typ})))
}

// unicast matches frames to one station: the group bit of the destination is not set.
func unicast() []expr.Any {
	return []expr.Any{load(ll, ethDst, 1, 1),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{1}, Xor: []byte{0}}, equal("\x00")}
}

func be16(v uint16) string { return string([]byte{byte(v >> 8), byte(v)}) }

func load(base expr.PayloadBase, offset, length, register uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, Base: base, Offset: offset, Len: length, DestRegister: register}
}

func equal(data string) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte(data)}
}

func differs(data string) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte(data)}
}

// etherType matches the frame's protocol.
func etherType(proto string) []expr.Any { return []expr.Any{load(ll, 12, 2, 1), equal(proto)} }

func arp(op byte) []expr.Any {
	return append(etherType(etherARP), load(nh, arpOp, 2, 1), equal("\x00"+string([]byte{op})))
}

const arpRequest, arpReply = 1, 2

// ifName matches an interface name.
func ifName(key expr.MetaKey, name string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: ifNameKey(name)}}
}

// ifNameKey is an interface name as the kernel compares it: padded with zeros.
func ifNameKey(name string) []byte {
	key := make([]byte, unix.IFNAMSIZ)
	copy(key, name)
	return key
}

// portOf matches frames that arrive by an interface of the set.
func portOf(s *nftables.Set) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID}}
}

// setDstFromMap rewrites the frame's destination to what the map says about the address at the offset. A
// map without that address ends the rule: the frame goes on to the next one.
func setDstFromMap(offset, length uint32, m *nftables.Set) []expr.Any {
	return setDstFromMapAt(nh, offset, length, m)
}

func setDstFromMapAt(base expr.PayloadBase, offset, length uint32, m *nftables.Set) []expr.Any {
	return []expr.Any{
		load(base, offset, length, 1),
		&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
		storeLL(ethDst),
	}
}

// inSet matches the address at the offset.
func inSet(offset, length uint32, s *nftables.Set, invert bool) []expr.Any {
	return inSetAt(nh, offset, length, s, invert)
}

func inSetAt(base expr.PayloadBase, offset, length uint32, s *nftables.Set, invert bool) []expr.Any {
	return []expr.Any{load(base, offset, length, 1),
		&expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID, Invert: invert}}
}

// isKey matches the address at the offset if a set, or a map to MACs, has it. Of a map the kernel wants the value to be
// asked for.
func isKey(offset, length uint32, s *nftables.Set) []expr.Any {
	if !s.IsMap {
		return inSet(offset, length, s, false)
	}
	return []expr.Any{load(nh, offset, length, 1),
		&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: s.Name, SetID: s.ID},
		differs("\x00\x00\x00\x00\x00\x00")}
}

// inOwned matches what the port is allowed to say, or inverted what it is not: (port, MAC, address) is in the set. The
// name takes 16 bytes from register 1, the MAC 8 from register 2; register 14 is where the address has to lie, in the
// kernel's 32-bit numbering.
func inOwned(s *nftables.Set, macBase expr.PayloadBase, mac uint32, addrBase expr.PayloadBase,
	addr, length uint32, invert bool) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, load(macBase, mac, 6, 2), load(addrBase, addr, length, 14),
		&expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID, Invert: invert},
	}
}

// inPrefix matches an address at the offset.
func inPrefix(offset uint32, p netip.Prefix) []expr.Any {
	return append(maskedAddress(offset, p), equal(string(p.Masked().Addr().AsSlice())))
}

// maskedAddress loads the address at the offset, as far as the prefix reaches.
func maskedAddress(offset uint32, p netip.Prefix) []expr.Any {
	bits := p.Addr().BitLen()
	length := uint32(bits / 8)
	return []expr.Any{
		load(nh, offset, length, 1),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: length,
			Mask: net.CIDRMask(p.Bits(), bits), Xor: make([]byte, length)},
	}
}

// storeLL writes the six bytes of register 1 into the Ethernet header.
func storeLL(offset uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadWrite, Base: ll, Offset: offset, Len: 6, SourceRegister: 1}
}

func setMAC(offset uint32, mac net.HardwareAddr) []expr.Any {
	return []expr.Any{&expr.Immediate{Register: 1, Data: mac}, storeLL(offset)}
}

// toHost sends the frame up the host's own stack. Without the packet type the stack drops it as a frame
// for somebody else (PACKET_OTHERHOST), since that was decided when it arrived.
func toHost(mac net.HardwareAddr) []expr.Any {
	return append(append(setMAC(ethDst, mac), packetForHost()...), verdict(expr.VerdictAccept)...)
}

func packetForHost() []expr.Any {
	return []expr.Any{&expr.Immediate{Register: 1, Data: []byte{unix.PACKET_HOST}},
		&expr.Meta{Key: expr.MetaKeyPKTTYPE, SourceRegister: true, Register: 1}}
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }

func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

func countedDrop() []expr.Any {
	return []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}}
}
