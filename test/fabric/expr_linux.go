package fabric

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A match is a part of a rule. The functions below spell the few parts that
// the fabric needs; each works in registers 1 to 3 and leaves nothing there
// for the next.
type match []expr.Any

func all(parts ...match) match {
	var rule match
	for _, p := range parts {
		rule = append(rule, p...)
	}
	return rule
}

// A field of a packet.
type field struct {
	base        expr.PayloadBase
	offset, len uint32
}

var (
	etherDst  = field{expr.PayloadBaseLLHeader, 0, 6}
	etherSrc  = field{expr.PayloadBaseLLHeader, 6, 6}
	etherType = field{expr.PayloadBaseLLHeader, 12, 2}

	arpOperation = field{expr.PayloadBaseNetworkHeader, 6, 2}
	arpSenderMAC = field{expr.PayloadBaseNetworkHeader, 8, 6}
	arpSenderIP  = field{expr.PayloadBaseNetworkHeader, 14, 4}
	arpTargetMAC = field{expr.PayloadBaseNetworkHeader, 18, 6}
	arpTargetIP  = field{expr.PayloadBaseNetworkHeader, 24, 4}

	ipv4Src = field{expr.PayloadBaseNetworkHeader, 12, 4}
	ipv4Dst = field{expr.PayloadBaseNetworkHeader, 16, 4}

	ipv6Next = field{expr.PayloadBaseNetworkHeader, 6, 1}
	ipv6Src  = field{expr.PayloadBaseNetworkHeader, 8, 16}
	ipv6Dst  = field{expr.PayloadBaseNetworkHeader, 24, 16}

	// Neighbour discovery without extension headers (RFC 4861, 4.3 and
	// 4.4): the first option follows the target address. A packet without
	// options has no such field and does not match.
	icmp6Type    = field{expr.PayloadBaseNetworkHeader, 40, 1}
	ndOptionType = field{expr.PayloadBaseNetworkHeader, 64, 1}
	ndOptionMAC  = field{expr.PayloadBaseNetworkHeader, 66, 6}
)

func (f field) load(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: f.base, Offset: f.offset, Len: f.len}
}

func (f field) store(register uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: register,
		Base: f.base, Offset: f.offset, Len: f.len}
}

func (f field) is(value ...byte) match {
	return match{f.load(1), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value}}
}

func (f field) isNot(value ...byte) match {
	return match{f.load(1), &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: value}}
}

// masked compares the bits of the mask.
func (f field) masked(op expr.CmpOp, mask, value []byte) match {
	return match{f.load(1),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: f.len, Mask: mask, Xor: make([]byte, f.len)},
		&expr.Cmp{Op: op, Register: 1, Data: value}}
}

func (f field) notIn(set *nftables.Set) match {
	return match{f.load(1), &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID, Invert: true}}
}

// write puts a constant into the field.
func (f field) write(value ...byte) match {
	return match{&expr.Immediate{Register: 1, Data: value}, f.store(1)}
}

// copyTo copies the field to another of the same length.
func (f field) copyTo(to field) match { return match{f.load(1), to.store(1)} }

func count(counter string) match {
	return match{&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: counter}}
}

func drop() match { return match{&expr.Verdict{Kind: expr.VerdictDrop}} }

func accept() match { return match{&expr.Verdict{Kind: expr.VerdictAccept}} }
