package nft

import (
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// A host port, a node port or a load balancer of the host's other NIC may lead to a pod here. The answer has that NIC's
// address when it leaves, so it has to leave there. Connections that came so are marked, and the host routes their
// answers by the mark (netlink.Policy).

// byOtherNIC marks what came by the other NIC and was translated to a pod, and the answers. On a bridge those are given
// to the host, too. What pods send, and what comes for them by their NIC, is marked as theirs; on a bridge only what
// was translated, since the kernel asks the host's routes there (br_netfilter_hooks.c, br_nf_pre_routing_finish).
// Packets that arrive are marked for the check of their way back (rp_filter with src_valid_mark).
func (r Rules) byOtherNIC() (rules []rule) {
	if r.Other == "" {
		return nil
	}
	direction := func(d byte) []expr.Any {
		return []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, equal(string([]byte{d}))}
	}
	marked := []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: 1}, bits(netlink.AnswersMark, 0), differs(u32n(0))}
	remember := []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: 1},
		bits(^uint32(netlink.AnswersMark), netlink.AnswersMark),
		&expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: 1}}
	own, fromPod, which, toHost := r.Name, ifName(expr.MetaKeyIIFNAME, r.Name),
		ctStatus(statusSNAT|statusDNAT), setMAC(ethDst, r.MAC)
	if r.Routed() {
		own, fromPod, which, toHost = r.Master, portOf(r.ports()), nil, nil
	}
	for _, f := range []ipFamily{ip4, ip6} {
		toPod := append(f.inHost(), isKey(f.dst, f.length, r.known(f.v6))...)
		rules = append(rules,
			newRule(f.name()+" by "+r.Other+", translated to a pod: so do its answers go", ifName(expr.MetaKeyIIFNAME,
				r.Other), direction(0), ctStatus(statusDNAT), toPod, remember, mark(netlink.AnswersMark)),
			newRule(f.name()+" to a pod, by its NIC", ifName(expr.MetaKeyIIFNAME, own), which, toPod, mark(netlink.PodsMark)),
			newRule(f.name()+" from a pod: leaves by its NIC", fromPod, which, f.inHost(),
				isKey(f.src, f.length, r.known(f.v6)), mark(netlink.PodsMark)))
	}
	return append(rules, newRule("answers for "+r.Other+": the host sends them there", fromPod, direction(1), marked,
		mark(netlink.AnswersMark), toHost))
}

// mark adds a bit to the packet's mark.
func mark(bit uint32) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, bits(^bit, bit),
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1}}
}

// answersMayTurn: what a bridge is to hand up has to be the host's before it is known what it is (byOtherNIC).
func (r Rules) answersMayTurn(f ipFamily) []rule {
	if r.Other == "" {
		return nil
	}
	return []rule{newRule(f.name()+" may be an answer for "+r.Other, f.match(), packetForHost())}
}

// bits is register 1 with and without some bits.
func bits(mask, xor uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(mask),
		Xor: binaryutil.NativeEndian.PutUint32(xor)}
}
