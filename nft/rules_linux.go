package nft

import (
	"net"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Rules are the parameters of a network's rule set.
type Rules struct {
	Scope
	Master    string
	MAC       net.HardwareAddr // the master's, hence the bridge's
	Host      []netip.Prefix   // the host's addresses, with their subnets
	Tunnel    bool             // everything that pods send goes to the fabric
	AntiSpoof bool             // pods may send only from what they were given
	HostAgent bool             // pods may reach the host agent's control ports

	Pods          []netip.Prefix // the subnets of the pods' addresses
	Local         []netip.Prefix // the host's addresses on other interfaces; what pods send there is for its own stack
	ViaHost       []netip.Prefix // likewise what it serves without having the address
	Other         string         // another NIC, by which answers to what came from there leave; "" if there is none
	Masquerade    bool           // what pods send out of VNET leaves behind the host's address
	VNET          []netip.Prefix // never translated; the pods' own subnets at least
	AcceptForward bool           // the host's firewall forwards what pods send and get

	// Classic are MACs of pods, and of the host, that the classic plugin has rules for; they are deleted. nil leaves
	// those.
	Classic []net.HardwareAddr
}

// chain is a chain with its rules; hook is nil for one that is only jumped to.
type chain struct {
	nftables.Chain
	rules []rule
}

// chainName is the name of a chain of the scope.
func (s Scope) chainName(name string) string { return s.Name + "-" + name }

func (s Scope) plain(name string, rules ...rule) chain {
	return chain{nftables.Chain{Table: s.table(), Name: s.chainName(name)}, rules}
}

func (s Scope) base(name string, hook *nftables.ChainHook, priority nftables.ChainPriority, rules ...rule) chain {
	c := s.plain(name, rules...)
	accept := nftables.ChainPolicyAccept
	c.Type, c.Hooknum, c.Priority, c.Policy = nftables.ChainTypeFilter, hook, &priority, &accept
	return c
}

// chains is the rule set of docs/network.md. Its size does not depend on the number of pods: they are elements of
// the sets.
func (r Rules) chains() []chain {
	chains := []chain{r.plain("from-pod", r.fromPod()...)}
	if !r.Routed() {
		chains = append(chains, r.plain("from-fabric", r.fromFabric()...), r.plain("to-fabric", r.toFabric()...))
	}
	hooks := r.hooks
	if r.Family == FamilyNetdev {
		hooks = r.netdevHooks
	}
	others := r.hostChains()
	return slices.Concat(chains, hooks(r.further(others)), others)
}

// behindEbtables is the priority after that of ebtables' nat table in prerouting (NF_BR_PRI_NAT_DST_BRIDGED,
// include/uapi/linux/netfilter_bridge.h). The classic plugin's rules may be in the legacy one, which nftables does not
// show: whatever they write into a frame, ours have the last word.
const behindEbtables = -299

// hooks are where the rules begin. The first of them has in its text what else there is, so that a chain too many
// shows as a difference, too.
func (r Rules) hooks(others string) []chain {
	fromPod := newRule("from a pod of "+r.Name+others, portOf(r.ports()), jump(r.chainName("from-pod")))
	if r.Routed() {
		return []chain{r.base("pre", nftables.ChainHookPrerouting, -300, fromPod)}
	}
	return []chain{
		r.base("prerouting", nftables.ChainHookPrerouting, behindEbtables,
			newRule("from the fabric: arrives by "+r.Master, ifName(expr.MetaKeyIIFNAME, r.Master),
				jump(r.chainName("from-fabric"))), fromPod),
		r.base("post", nftables.ChainHookPostrouting, 300,
			newRule("to the fabric: leaves by "+r.Master, ifName(expr.MetaKeyOIFNAME, r.Master),
				jump(r.chainName("to-fabric")))),
	}
}

// fromFabric: the fabric sends every frame to the NIC's MAC; the address in it says which pod it is for.
func (r Rules) fromFabric() []rule {
	s, accept := r.Scope, verdict(expr.VerdictAccept)
	return []rule{
		newRule("IPv4 to its pod", ip4.match(), setDstFromMap(ip4.dst, 4, s.pods(false)), accept),
		newRule("neighbour solicitation to its pod", icmp6(ndSolicitation),
			setDstFromMapAt(th, ndTarget, 16, s.pods(true)), accept),
		newRule("IPv6 to its pod", ip6.match(), setDstFromMap(ip6.dst, 16, s.pods(true)), accept),
		newRule("ARP reply to its pod", arp(arpReply), setDstFromMap(arpTPA, 4, s.pods(false)), accept),
		newRule("ARP request to its pod", arp(arpRequest), setDstFromMap(arpTPA, 4, s.pods(false)), accept),
		// The classic plugin's legacy rules let everybody hear it, the fabric too.
		newRule("ARP reply to the host at "+r.MAC.String(), arp(arpReply),
			inSet(arpTPA, 4, s.host(false), false), toHost(r.MAC)),
	}
}

func (r Rules) fromPod() []rule {
	var rules []rule
	if !r.Routed() {
		rules = append(rules, newRule("a bridge's own group address, of which the host would hear",
			[]expr.Any{load(ll, ethDst, 6, 1),
				&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 6,
					Mask: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}, Xor: make([]byte, 6)},
				equal("\x01\x80\xc2\x00\x00\x00")}, countedDrop()))
	}
	if r.AntiSpoof {
		rules = append(rules, r.antiSpoof4()...)
	} else {
		rules = append(rules, newRule("no pod sends from "+loopback.String(), ip4.match(),
			inPrefix(ip4.src, loopback), countedDrop()))
	}
	rules = append(rules, r.toNeighbour(ip4)...)
	if r.AntiSpoof {
		rules = append(rules, r.antiSpoof()...)
	}
	rules = append(rules, r.toNeighbour(ip6)...)
	rules = append(rules, r.closed(newRule)...)
	s, accept := r.Scope, verdict(expr.VerdictAccept)
	if s.Routed() {
		return rules
	}
	rules = append(append(append(rules, r.answersMayTurn()...), r.toHostRules()...),
		newRule("ARP request for the host at "+r.MAC.String(), arp(arpRequest),
			inSet(arpTPA, 4, s.host(false), false), toHost(r.MAC)),
		// The pod answers for itself; a redirected request also spares the others the broadcast.
		newRule("ARP request to its pod", arp(arpRequest), setDstFromMap(arpTPA, 4, s.pods(false)), accept),
		newRule("neighbour solicitation for the host at "+r.MAC.String(), icmp6(ndSolicitation),
			inSetAt(th, ndTarget, 16, s.host(true), false), toHost(r.MAC)),
		newRule("neighbour solicitation to its pod", icmp6(ndSolicitation),
			setDstFromMapAt(th, ndTarget, 16, s.pods(true)), accept))
	for _, f := range []ipFamily{ip4, ip6} {
		// Addressed to the fabric a frame is not for the host, unless it turns out to be a service's (turn), and then it is
		// too late to say so.
		rules = append(rules, newRule(f.name()+" for the host may be turned round", f.match(),
			inSet(f.dst, f.length, s.host(f.v6), false), packetForHost()))
	}
	if r.Tunnel {
		rules = append(rules,
			newRule("tunnel mode: IPv4 to the fabric", ip4.match(), setMAC(ethDst, azure.FabricMAC), accept),
			// The classic plugin's legacy rules send ARP among pods to the fabric, too, which does not bring it back.
			newRule("tunnel mode: ARP reply to its pod", arp(arpReply), setDstFromMap(arpTPA, 4, s.pods(false)), accept),
			newRule("tunnel mode: ARP reply to the host at "+r.MAC.String(), arp(arpReply),
				inSet(arpTPA, 4, s.host(false), false), toHost(r.MAC)),
			// An advertisement answers a solicitation that was redirected: the fabric would not bring it back.
			newRule("tunnel mode: neighbour advertisements stay here", icmp6(ndAdvertisement), accept),
			newRule("tunnel mode: unicast IPv6 to the fabric", ip6.match(), unicast(), setMAC(ethDst, azure.FabricMAC), accept))
	}
	return rules
}

// toNeighbour ends the way of what goes from one pod of a bridge to another, which nothing of what follows is about. It
// spares such frames a dozen rules, and gives them the pod's MAC, whatever the sender believes.
func (r Rules) toNeighbour(f ipFamily) []rule {
	if r.Routed() || slices.ContainsFunc(r.ViaHost,
		func(v netip.Prefix) bool { return slices.ContainsFunc(r.Pods, v.Overlaps) }) {
		return nil
	}
	if r.Tunnel && !f.v6 {
		return []rule{newRule("tunnel mode: IPv4 to another pod by the fabric", f.match(),
			isKey(f.dst, f.length, r.pods(f.v6)), setMAC(ethDst, azure.FabricMAC), verdict(expr.VerdictAccept))}
	}
	if r.Tunnel {
		return nil // neighbour discovery is an exception there
	}
	return []rule{newRule(f.name()+" to another pod", f.match(), setDstFromMap(f.dst, f.length, r.pods(f.v6)),
		verdict(expr.VerdictAccept))}
}

// antiSpoof4 drops what a pod sends by IPv4 from a MAC or an address that is not its own, and what only a DHCP server
// may say.
func (r Rules) antiSpoof4() []rule {
	return []rule{
		newRule("IPv4 from an address or MAC that is not the pod's", ip4.match(),
			notOwned(r.owned(false), ll, ethSrc, nh, ip4.src, 4), countedDrop()),
		newRule("DHCP server in a pod", ip4.match(), l4(unix.IPPROTO_UDP),
			[]expr.Any{load(th, 0, 2, 1), equal(be16(67))}, countedDrop()),
	}
}

// antiSpoof does so for all else, and drops what only a router may say.
func (r Rules) antiSpoof() []rule {
	s := r.Scope
	rules := []rule{
		// What an honest kernel says before it has an address: duplicate address detection and multicast reports. It
		// would count as spoofing otherwise.
		newRule("IPv6 from no address yet", ip6.match(),
			[]expr.Any{load(nh, ip6.src, 16, 1), equal(string(netip.IPv6Unspecified().AsSlice()))}, verdict(expr.VerdictDrop)),
		newRule("IPv6 from an address or MAC that is not the pod's", ip6.match(),
			notOwned(s.owned(true), ll, ethSrc, nh, ip6.src, 16), countedDrop()),
		newRule("neighbour advertisement of an address that is not the pod's", icmp6(ndAdvertisement),
			notOwned(s.owned(true), ll, ethSrc, th, ndTarget, 16), countedDrop()),
		newRule("router advertisement from a pod", icmp6(ndRouterAdvertisement), countedDrop()),
		newRule("redirect from a pod", icmp6(ndRedirect), countedDrop()),
		newRule("DHCPv6 server in a pod", ip6.match(), l4(unix.IPPROTO_UDP),
			[]expr.Any{load(th, 0, 2, 1), equal(be16(547))}, countedDrop()),
	}
	if s.Routed() { // the host's stack has no use for other protocols, and ARP does not leave the veth
		return rules
	}
	return append(rules,
		newRule("ARP from an address or MAC that is not the pod's", etherType(etherARP),
			notOwned(s.owned(false), nh, arpSHA, nh, arpSPA, 4), countedDrop()),
		newRule("anything but IPv4, IPv6 and ARP, VLANs among it",
			[]expr.Any{load(ll, 12, 2, 1), differs(etherIP4), differs(etherIP6), differs(etherARP)}, countedDrop()))
}

// toFabric: the fabric accepts only frames, ARP senders and neighbour discovery with the NIC's own MAC.
func (r Rules) toFabric() []rule {
	mac := []expr.Any{&expr.Immediate{Register: 1, Data: r.MAC}}
	text := " with " + r.MAC.String()
	option := func(typ byte, name string, option byte) rule {
		// The only option of its length that Linux sends here; the checksum is corrected with it.
		return newRule(name+text, icmp6(typ), []expr.Any{load(th, ndOption, 2, 1), equal(string([]byte{option, 1}))}, mac,
			[]expr.Any{&expr.Payload{OperationType: expr.PayloadWrite, Base: th, Offset: ndOption + 2, Len: 6,
				SourceRegister: 1, CsumType: expr.CsumTypeInet, CsumOffset: 2}})
	}
	return []rule{
		// The master sends back what it got (hairpin), so that a service's packets get from the fabric to another node. Those
		// have the fabric's MAC at both ends; an echo of a group address has not.
		newRule("nothing of the fabric's own goes back to it",
			[]expr.Any{load(ll, ethDst, 6, 1), differs(string(azure.FabricMAC))},
			[]expr.Any{load(ll, ethSrc, 6, 1), equal(string(azure.FabricMAC))}, verdict(expr.VerdictDrop)),
		// Peers of a pod that is gone remember its MAC for a while. The address may be elsewhere by now, which only the
		// fabric knows.
		newRule("for a pod that is not here: to the fabric",
			[]expr.Any{load(ll, ethDst, uint32(len(azure.PodMACPrefix)), 1), equal(string(azure.PodMACPrefix))},
			setMAC(ethDst, azure.FabricMAC)),
		newRule("frames leave"+text, setMAC(ethSrc, r.MAC)),
		newRule("ARP leaves"+text, etherType(etherARP), mac,
			[]expr.Any{&expr.Payload{OperationType: expr.PayloadWrite, Base: nh, Offset: arpSHA, Len: 6, SourceRegister: 1}}),
		option(ndSolicitation, "neighbour solicitations leave", 1),
		option(ndAdvertisement, "neighbour advertisements leave", 2),
	}
}
