package netlink

import (
	"fmt"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// A host port, a node port or a load balancer of the host's other NIC may lead to a pod here. The answer has that NIC's address when it leaves,
// so it has to leave there. Connections that came so are marked, and the host routes their answers by the mark (policy_linux.go).

// byOtherNIC marks what came by the other NIC and was translated to a pod, and the answers. On a bridge those are given to the host, too.
func (r Rules) byOtherNIC() (rules []rule) {
	if r.Other == "" {
		return nil
	}
	direction := func(d byte) []expr.Any {
		return []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, equal(string([]byte{d}))}
	}
	marked := []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: 1}, bits(AnswersMark, 0), differs(u32n(0))}
	mark := []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, bits(^uint32(AnswersMark), AnswersMark), &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1}}
	remember := []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: 1}, bits(^uint32(AnswersMark), AnswersMark), &expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: 1}}
	for _, f := range []ipFamily{ip4, ip6} {
		// The packet itself is marked for the kernel's check of its way back (rp_filter with src_valid_mark).
		rules = append(rules, newRule(f.name()+" by "+r.Other+", translated to a pod: so do its answers go", ifName(expr.MetaKeyIIFNAME, r.Other), direction(0), ctStatus(statusDNAT),
			f.inHost(), isKey(f.dst, f.length, r.known(f.v6)), remember, mark))
	}
	from, toHost := r.arrivals()[0], []expr.Any(nil)
	if !r.Routed() {
		toHost = setMAC(ethDst, r.MAC)
	}
	return append(rules, newRule(fmt.Sprintf("answers for %s: the host sends them there, by mark %#x", r.Other, AnswersMark), from, direction(1), marked, mark, toHost))
}

// answersMayTurn: what a bridge is to hand up has to be the host's before it is known what it is (byOtherNIC).
func (r Rules) answersMayTurn() (rules []rule) {
	if r.Other == "" {
		return nil
	}
	for _, f := range []ipFamily{ip4, ip6} {
		rules = append(rules, newRule(f.name()+" may be an answer for "+r.Other, f.match(), packetForHost()))
	}
	return rules
}

// bits is register 1 with and without some bits.
func bits(mask, xor uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(mask), Xor: binaryutil.NativeEndian.PutUint32(xor)}
}
