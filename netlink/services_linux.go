package netlink

import (
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// serviceMark is the bit of a packet's mark that says: answer of a service. It is set and taken off again within one
// passage through the bridge; kube-proxy uses 0x4000 and 0x8000.
const serviceMark = 0x20000

// answers says whether answers of services have to be kept from the fabric. kube-proxy's DNAT works on bridged packets,
// too, if br_netfilter is on: it turns a service's address into a pod's on the way there, and back on the way of the
// answer. In tunnel mode that answer would be on its way to the fabric, though it comes from an address that the fabric
// does not know, and is for a pod of this host.
func (r Rules) answers() bool { return r.Tunnel && r.Services && !r.Routed() }

// hostChains are the chains in the path of the host's own stack.
func (r Rules) hostChains() []chain {
	var chains []chain
	host := Scope{r.Name, FamilyInet}
	if r.answers() {
		chains = append(chains, host.base("answers", nftables.ChainHookPrerouting, *nftables.ChainPriorityMangle,
			newRule("answer of a service", ifName(expr.MetaKeyIIFNAME, r.Name),
				[]expr.Any{&expr.Ct{Key: expr.CtKeySTATUS, Register: 1}, and(statusDNAT), differs(u32n(0))},
				[]expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, equal("\x01")},
				[]expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, or(serviceMark), &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1}})))
		if r.Family == FamilyBridge {
			chains = append(chains, r.answersBack())
		}
	}
	if r.Masquerade {
		nat := host.base("masquerade", nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource, r.masquerade()...)
		nat.Type = nftables.ChainTypeNAT
		chains = append(chains, nat)
	}
	return chains
}

// optionalChains are the names of all that hostChains could return.
var optionalChains = []string{"answers", "back", "masquerade"}

// further says what belongs to the rules beside the chains that are always there.
func (r Rules) further(chains []chain) string {
	var b strings.Builder
	for _, c := range chains {
		b.WriteString("; " + c.Name)
	}
	if r.AcceptForward {
		b.WriteString("; rules at the forward hook")
	}
	return b.String()
}

// answersBack turns marked frames to their pod. It comes after br_netfilter (priority 0), whose NAT sets the mark.
func (r Rules) answersBack() chain {
	return r.base("back", nftables.ChainHookPrerouting, 10,
		newRule("answer of a service: IPv4 to its pod", marked(), ip4.match(), setDstFromMap(ip4.dst, 4, r.pods(false))),
		newRule("answer of a service: IPv6 to its pod", marked(), ip6.match(), setDstFromMap(ip6.dst, 16, r.pods(true))),
		newRule("the mark has done its work", marked(),
			[]expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, and(^uint32(serviceMark)), &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1}}))
}

const statusDNAT = 1 << 5 // IPS_DST_NAT, include/uapi/linux/netfilter/nf_conntrack_common.h

// marked matches answers of services.
func marked() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, and(serviceMark), differs(u32n(0))}
}

func u32n(v uint32) string { return string(binaryutil.NativeEndian.PutUint32(v)) }

func and(mask uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte(u32n(mask)), Xor: []byte(u32n(0))}
}

func or(bits uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte(u32n(^bits)), Xor: []byte(u32n(bits))}
}

// toHostRules give the host's own stack what it has to route: addresses that it serves itself, and what has to leave
// behind its address.
func (r Rules) toHostRules() []rule {
	var rules []rule
	for _, p := range r.ViaHost {
		f := familyOf(p.Addr())
		rules = append(rules, newRule("the host handles "+p.String()+" at "+r.MAC.String(), f.match(), inPrefix(f.dst, p), toHost(r.MAC)))
	}
	if !r.Masquerade {
		return rules
	}
	for _, f := range []ipFamily{ip4, ip6} {
		rules = append(rules, newRule(f.name()+" that leaves the VNET: the host at "+r.MAC.String()+" translates it", f.match(), unicast(), r.outside(f), toHost(r.MAC)))
	}
	return rules
}

// masquerade puts the host's address into what pods send out of the VNET. A service's address is translated to that of
// its backend before this is asked.
func (r Rules) masquerade() []rule {
	masq := []expr.Any{&expr.Masq{FullyRandom: true}} // pods that choose the same port at the same time do not collide
	var rules []rule
	if r.Routed() {
		for _, f := range []ipFamily{ip4, ip6} {
			rules = append(rules, newRule(f.name()+" of a pod leaves the VNET", f.match(), inSet(f.src, f.length, r.pods(f.v6), false), r.outside(f), masq))
		}
		return rules
	}
	seen := map[netip.Prefix]bool{}
	for _, p := range r.Host {
		if seen[p.Masked()] || p.IsSingleIP() {
			continue
		}
		seen[p.Masked()] = true
		f := familyOf(p.Addr())
		rules = append(rules, newRule("from "+p.Masked().String()+" out of the VNET", f.match(), inPrefix(f.src, p), r.notFromHost(f), r.outside(f), masq))
	}
	return rules
}

// notFromHost matches what does not come from one of the host's addresses, which need no translation.
func (r Rules) notFromHost(f ipFamily) []expr.Any {
	var parts []expr.Any
	for _, a := range r.hosts(f.v6) {
		parts = append(parts, load(nh, f.src, f.length, 1), differs(string(a.AsSlice())))
	}
	return parts
}

// outside matches destinations that are not in the VNET, nor the host agent, which sees who asks, nor on the link.
func (r Rules) outside(f ipFamily) []expr.Any {
	var parts []expr.Any
	except := []netip.Prefix{netip.PrefixFrom(HostAgentAddress, 32), netip.MustParsePrefix("fe80::/10")}
	for _, p := range append(except, r.VNET...) {
		if p.Addr().Is6() == f.v6 {
			parts = append(parts, notInPrefix(f.dst, p)...)
		}
	}
	return parts
}

// notInPrefix matches an address at the offset that is not in the prefix.
func notInPrefix(offset uint32, p netip.Prefix) []expr.Any {
	return append(maskedAddress(offset, p), differs(string(p.Masked().Addr().AsSlice())))
}

func (f ipFamily) name() string {
	if f.v6 {
		return "IPv6"
	}
	return "IPv4"
}
