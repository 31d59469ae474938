package netlink

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
// The text names every parameter, so that its hash tells an old rule from the one that is wanted.
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

// comment is what is stored with the rule: a hash, then the text, cut to what nft can show (128 bytes).
func (r rule) comment() string {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "v1 %s", r.text)
	c := fmt.Sprintf("%08x %s", h.Sum32(), r.text)
	return c[:min(len(c), 120)]
}

// Offsets in headers (RFC 894, 826, 791, 2460).
const (
	ll = expr.PayloadBaseLLHeader
	nh = expr.PayloadBaseNetworkHeader
	th = expr.PayloadBaseTransportHeader

	ethDst, ethSrc           = 0, 6
	arpOp, arpSHA, arpSPA    = 6, 8, 14
	arpTPA                   = 24
	ip4Proto, ip4Src, ip4Dst = 9, 12, 16
)

const (
	etherIP4 = "\x08\x00"
	etherARP = "\x08\x06"
)

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
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID}}
}

// setDstFromMap rewrites the frame's destination to what the map says about the address at the offset. A
// map without that address ends the rule: the frame goes on to the next one.
func setDstFromMap(offset, length uint32, m *nftables.Set) []expr.Any {
	return []expr.Any{
		load(nh, offset, length, 1),
		&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
		storeLL(ethDst),
	}
}

// inSet matches the address at the offset.
func inSet(offset, length uint32, s *nftables.Set, invert bool) []expr.Any {
	return []expr.Any{load(nh, offset, length, 1), &expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID, Invert: invert}}
}

// inPrefix matches an IPv4 address at the offset.
func inPrefix(offset uint32, p netip.Prefix) []expr.Any {
	mask := net.CIDRMask(p.Bits(), 32)
	return []expr.Any{
		load(nh, offset, 4, 1),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		equal(string(p.Masked().Addr().AsSlice())),
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
	return append(setMAC(ethDst, mac),
		&expr.Immediate{Register: 1, Data: []byte{unix.PACKET_HOST}},
		&expr.Meta{Key: expr.MetaKeyPKTTYPE, SourceRegister: true, Register: 1},
		verdict(expr.VerdictAccept)[0])
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }

func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

func countedDrop() []expr.Any {
	return []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}}
}
