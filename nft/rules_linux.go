package nft

import (
	"net"
	"net/netip"
	"slices"
	"strings"

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
	chains := []chain{r.plain("from-pod", r.fromPod()...), r.plain(ip4.fromPod(), r.fromPod4()...),
		r.plain(ip6.fromPod(), r.fromPod6()...)}
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

// chainsOfPods are for what pods send: ARP and what is dropped, IPv4, IPv6.
var chainsOfPods = []string{"from-pod", ip4.fromPod(), ip6.fromPod()}

func (f ipFamily) fromPod() string { return "from-pod" + strings.TrimPrefix(f.name(), "IPv") }

// behindEbtables is the priority after that of ebtables' nat table in prerouting (NF_BR_PRI_NAT_DST_BRIDGED,
// include/uapi/linux/netfilter_bridge.h). The classic plugin's rules may be in the legacy one, which nftables does not
// show: whatever they write into a frame, ours have the last word.
const behindEbtables = -299

// hooks are where the rules begin. The one for all that is a pod's has in its text what else there is, so that a chain
// too many shows as a difference, too.
func (r Rules) hooks(others string) []chain {
	fabric := ifName(expr.MetaKeyIIFNAME, r.Master)
	var fromPod []rule
	if r.knowsByPort() {
		fromPod = r.own()
	}
	fromPod = append(fromPod, newRule("from a pod of "+r.Name+others, portOf(r.ports()), jump(r.chainName("from-pod"))))
	arrives := "from the fabric: arrives by " + r.Master
	if r.Routed() {
		first := newRule(arrives, fabric, verdict(expr.VerdictAccept))
		return []chain{r.base("pre", nftables.ChainHookPrerouting, -300, append([]rule{first}, fromPod...)...)}
	}
	first := newRule(arrives, fabric, jump(r.chainName("from-fabric")))
	return []chain{
		r.base("prerouting", nftables.ChainHookPrerouting, behindEbtables, append([]rule{first}, fromPod...)...),
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

// knowsByPort says that a pod's own address, by its own port, is what tells it from others. It is asked before the
// port is: one question for most of what there is, instead of two.
func (r Rules) knowsByPort() bool { return r.AntiSpoof && r.Family != FamilyNetdev }

// own leads what a pod may send by IP to the rules about that, past those about all else.
func (r Rules) own() (rules []rule) {
	for _, f := range []ipFamily{ip4, ip6} {
		text, match := f.name()+" of a pod", f.match()
		var owned []expr.Any
		if r.AntiSpoof {
			text, owned = text+", from its own MAC and address", inOwned(r.owned(f.v6), ll, ethSrc, nh, f.src, f.length, false)
			if !r.Routed() {
				match = etherType(f.protocol()) // a frame with a VLAN tag has the same protocol, and another type
			}
		}
		rules = append(rules, newRule(text, match, owned,
			[]expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: r.chainName(f.fromPod())}}))
	}
	return rules
}

// fromPod is about what is not a pod's own by IP: ARP, and what is dropped.
func (r Rules) fromPod() (rules []rule) {
	if !r.knowsByPort() {
		rules = r.own()
	}
	if r.AntiSpoof {
		rules = append(rules, r.antiSpoof()...)
	}
	if r.Routed() { // ARP does not leave the veth
		return rules
	}
	accept, toPod := verdict(expr.VerdictAccept), setDstFromMap(arpTPA, 4, r.pods(false))
	forHost := append(inSet(arpTPA, 4, r.host(false), false), toHost(r.MAC)...)
	rules = append(rules, groupAddress("a"),
		newRule("ARP request for the host at "+r.MAC.String(), arp(arpRequest), forHost),
		// The pod answers for itself; a redirected request also spares the others the broadcast.
		newRule("ARP request to its pod", arp(arpRequest), toPod, accept))
	if r.Tunnel {
		rules = append(rules,
			// The classic plugin's legacy rules send ARP among pods to the fabric, too, which does not bring it back.
			newRule("tunnel mode: ARP reply to its pod", arp(arpReply), toPod, accept),
			newRule("tunnel mode: ARP reply to the host at "+r.MAC.String(), arp(arpReply), forHost))
	}
	return rules
}

// groupAddress drops what a bridge would not forward, but hand to the host past all rules.
func groupAddress(of string) rule {
	return newRule(of+" bridge's own group address, of which the host would hear",
		[]expr.Any{load(ll, ethDst, 6, 1),
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 6,
				Mask: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}, Xor: make([]byte, 6)},
			equal("\x01\x80\xc2\x00\x00\x00")}, countedDrop())
}

// fromPod4 is about what pods may send by IPv4.
func (r Rules) fromPod4() (rules []rule) {
	if r.AntiSpoof {
		rules = append(rules, newRule("DHCP server in a pod", ip4.match(), l4(unix.IPPROTO_UDP),
			[]expr.Any{load(th, 0, 2, 1), equal(be16(67))}, countedDrop()))
	} else {
		rules = append(rules, newRule("no pod sends from "+loopback.String(), ip4.match(),
			inPrefix(ip4.src, loopback), countedDrop()))
	}
	rules = append(rules, r.toNeighbour(ip4)...)
	rules = append(rules, r.closed(newRule)...)
	if r.Routed() {
		return rules
	}
	rules = append(append(rules, groupAddress("IPv4 to a")), r.toHostRules(ip4)...)
	if r.Tunnel {
		rules = append(rules, newRule("tunnel mode: IPv4 to the fabric", ip4.match(), setMAC(ethDst, azure.FabricMAC),
			verdict(expr.VerdictAccept)))
	}
	return rules
}

// fromPod6 is about what pods may send by IPv6.
func (r Rules) fromPod6() (rules []rule) {
	if r.AntiSpoof {
		rules = append(rules, newRule("neighbour advertisement of an address that is not the pod's", icmp6(ndAdvertisement),
			inOwned(r.owned(true), ll, ethSrc, th, ndTarget, 16, true), countedDrop()),
			newRule("router advertisement from a pod", icmp6(ndRouterAdvertisement), countedDrop()),
			newRule("redirect from a pod", icmp6(ndRedirect), countedDrop()),
			newRule("DHCPv6 server in a pod", ip6.match(), l4(unix.IPPROTO_UDP),
				[]expr.Any{load(th, 0, 2, 1), equal(be16(547))}, countedDrop()))
	}
	rules = append(rules, r.toNeighbour(ip6)...)
	if r.Routed() {
		return rules
	}
	accept := verdict(expr.VerdictAccept)
	rules = append(append(rules, groupAddress("IPv6 to a"),
		newRule("neighbour solicitation for the host at "+r.MAC.String(), icmp6(ndSolicitation),
			inSetAt(th, ndTarget, 16, r.host(true), false), toHost(r.MAC)),
		newRule("neighbour solicitation to its pod", icmp6(ndSolicitation),
			setDstFromMapAt(th, ndTarget, 16, r.pods(true)), accept)), r.toHostRules(ip6)...)
	if r.Tunnel {
		rules = append(rules,
			// An advertisement answers a solicitation that was redirected: the fabric would not bring it back.
			newRule("tunnel mode: neighbour advertisements stay here", icmp6(ndAdvertisement), accept),
			newRule("tunnel mode: unicast IPv6 to the fabric", ip6.match(), unicast(), setMAC(ethDst, azure.FabricMAC), accept))
	}
	return rules
}

// toNeighbour ends the way of what goes from one pod of a bridge to another, which nothing of what follows is about: it
// has the pod's MAC from here on, whatever the sender believes.
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

// antiSpoof drops what a pod sends from a MAC or an address that is not its own, and by other protocols.
func (r Rules) antiSpoof() []rule {
	ip := func(f ipFamily) rule {
		return newRule(f.name()+" from an address or MAC that is not the pod's", f.match(), countedDrop())
	}
	rules := []rule{ip(ip4),
		// What an honest kernel says before it has an address: duplicate address detection and multicast reports. It
		// would count as spoofing otherwise.
		newRule("IPv6 from no address yet", ip6.match(),
			[]expr.Any{load(nh, ip6.src, 16, 1), equal(string(netip.IPv6Unspecified().AsSlice()))}, verdict(expr.VerdictDrop)),
		ip(ip6)}
	if r.Routed() { // the host's stack has no use for other protocols
		return rules
	}
	others := newRule("anything but IPv4, IPv6 and ARP, VLANs among it",
		[]expr.Any{load(ll, 12, 2, 1), differs(etherIP4), differs(etherIP6), differs(etherARP)}, countedDrop())
	return append(append([]rule{others}, rules...), newRule("ARP from an address or MAC that is not the pod's",
		etherType(etherARP), inOwned(r.owned(false), nh, arpSHA, nh, arpSPA, 4, true), countedDrop()))
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
