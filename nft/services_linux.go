package nft

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// hostChains are the chains in the path of the host's own stack, which sees what it routes and, with br_netfilter, what
// the bridge forwards, too. There kube-proxy, portmap and others have translated addresses.
func (r Rules) hostChains() []chain {
	host := Scope{r.Name, FamilyInet}
	translated, forward := *nftables.ChainPriorityNATDest+1, *nftables.ChainPriorityFilter
	chains := []chain{
		host.base("translated", nftables.ChainHookPrerouting, translated, r.translated()...),
		host.base("forward", nftables.ChainHookForward, forward, r.notBack()...),
		host.plain("service", r.service()...),
	}
	if r.Masquerade {
		nat := host.base("masquerade", nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource, r.masquerade()...)
		nat.Type = nftables.ChainTypeNAT
		chains = append(chains, nat)
	}
	return chains
}

// optionalChains are the names of all that hostChains could return, and of what it returned once.
var optionalChains = []string{"translated", "forward", "service", "turn", "answers", "back", "masquerade"}

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

// translated is about what a service, a host port or a node port has translated. Most packets are not, and are asked
// this one thing.
func (r Rules) translated() []rule {
	rules := r.byOtherNIC()
	for _, from := range r.arrivals() {
		rules = append(rules, newRule("of a service", ctStatus(statusDNAT), from, jump(r.chainName("service"))))
	}
	return rules
}

// service looks once more at where packets go that pods, here or elsewhere, have sent: a service may lead to what is
// closed to them. On a bridge what is left may stay here.
func (r Rules) service() []rule {
	// Answers may be for loopback addresses: the host itself asked from one, at a host port.
	asked := []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, equal("\x00")}
	rules := r.closed(func(text string, parts ...[]expr.Any) rule {
		return newRule(text+", by a service, too", append([][]expr.Any{asked}, parts...)...)
	})
	if r.Routed() {
		return rules
	}
	return append(rules, r.turn()...)
}

// arrivals match what the host's stack gets from pods and from the fabric: by host veths and master, or by the bridge,
// which shows both as itself.
func (r Rules) arrivals() [][]expr.Any {
	if r.Routed() {
		return [][]expr.Any{portOf(r.ports()), ifName(expr.MetaKeyIIFNAME, r.Master)}
	}
	return [][]expr.Any{ifName(expr.MetaKeyIIFNAME, r.Name)}
}

// closed are the rules for what no pod reaches: the host's loopback addresses, which portmap opens to the network
// (route_localnet), and the host agent's control ports.
func (r Rules) closed(add func(text string, parts ...[]expr.Any) rule) []rule {
	rules := []rule{add("the host's "+loopback.String()+" is closed to pods", ip4.match(),
		inPrefix(ip4.dst, loopback), countedDrop())}
	if r.HostAgent {
		return rules
	}
	for _, port := range azure.HostAgentPorts {
		rules = append(rules, add(fmt.Sprintf("host agent port %d is closed to pods", port), ip4.match(),
			[]expr.Any{load(nh, ip4.dst, 4, 1), equal(string(azure.HostAgent.AsSlice()))},
			l4(unix.IPPROTO_TCP), []expr.Any{load(th, 2, 2, 1), equal(be16(port))}, countedDrop()))
	}
	return rules
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// notBack drops what the host would send back to the fabric, which would bring it again: packets for an address of the
// subnet that no pod has. Only here is known what the host makes of a packet: it may have translated it to another
// node's pod, or serve the address itself.
func (r Rules) notBack() []rule {
	device, back := r.Master, []expr.Any(nil)
	if !r.Routed() {
		// What is only bridged passes here, too, with br_netfilter. It is not addressed to the host's MAC.
		device, back = r.Name, []expr.Any{load(ll, ethDst, 12, 1), equal(string(r.MAC) + string(azure.FabricMAC))}
	}
	rules := []rule{newRule("what was translated goes on", ctStatus(statusSNAT|statusDNAT), verdict(expr.VerdictAccept))}
	for _, p := range r.subnets() {
		f := familyOf(p.Addr())
		rules = append(rules, newRule("address of "+p.String()+" without a pod: the host does not send it back",
			back, ifName(expr.MetaKeyIIFNAME, device), ifName(expr.MetaKeyOIFNAME, device), f.inHost(),
			inPrefix(f.dst, p), countedDrop()))
	}
	return rules
}

// subnets are those of the host and of its pods.
func (r Rules) subnets() (list []netip.Prefix) {
	seen := map[netip.Prefix]bool{}
	for _, p := range append(append([]netip.Prefix{}, r.Host...), r.Pods...) {
		if p = p.Masked(); !p.IsSingleIP() && !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	return list
}

// turn keeps what belongs to a service from the fabric if it is for a pod of this host, or for the host. kube-proxy's
// DNAT works on bridged packets, too, if br_netfilter is on: it turns a service's address into a pod's on the way
// there, and back on the way of the answer. Such an answer would be on its way to the fabric, in tunnel mode and from
// pods of other subnets, from an address that the fabric does not know; and what was translated to another port of the
// host would come back from the fabric as a connection of its own. This is before br_netfilter lets the bridge decide
// where the frame goes.
func (r Rules) turn() []rule {
	var rules []rule
	for _, f := range []ipFamily{ip4, ip6} {
		for _, a := range r.hosts(f.v6) {
			rules = append(rules, newRule("to the host's "+a.String()+" at "+r.MAC.String(), f.inHost(),
				[]expr.Any{load(nh, f.dst, f.length, 1), equal(string(a.AsSlice()))}, setMAC(ethDst, r.MAC)))
		}
		rules = append(rules, newRule(f.name()+" to its pod", f.inHost(), setDstFromMap(f.dst, f.length, r.known(f.v6))))
	}
	return rules
}

// The status of a connection (include/uapi/linux/netfilter/nf_conntrack_common.h): IPS_SRC_NAT, IPS_DST_NAT.
const statusSNAT, statusDNAT = 1 << 4, 1 << 5

// ctStatus matches packets of connections with one of these bits. Those of no connection do not match.
func ctStatus(of uint32) []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeySTATUS, Register: 1},
		bits(of, 0), differs(u32n(0))}
}

func u32n(v uint32) string { return string(binaryutil.NativeEndian.PutUint32(v)) }

// linkLocal4 never leaves a link (RFC 3927), and a pod's is the host: a DNS cache of the node listens there
// (169.254.20.10). The one exception is Azure's metadata service, which the fabric answers.
var (
	linkLocal4      = netip.MustParsePrefix("169.254.0.0/16")
	metadataAddress = netip.MustParseAddr("169.254.169.254")
)

// toHostRules give the host's own stack what it has to route: addresses that it serves itself, and what has to leave
// behind its address.
func (r Rules) toHostRules(f ipFamily) []rule {
	at := " at " + r.MAC.String()
	rules := r.answersMayTurn(f)
	if !f.v6 {
		rules = append(rules, newRule("the host handles "+linkLocal4.String()+at, f.match(), inPrefix(f.dst, linkLocal4),
			[]expr.Any{load(nh, f.dst, f.length, 1), differs(string(metadataAddress.AsSlice()))}, toHost(r.MAC)))
	}
	rules = append(rules, newRule("the host handles the "+f.name()+" addresses of its other interfaces"+at, f.match(),
		inSet(f.dst, f.length, r.local(f.v6), false), toHost(r.MAC)))
	for _, p := range r.ViaHost {
		if p.Addr().Is6() == f.v6 {
			rules = append(rules, newRule("the host handles "+p.String()+at, f.match(), inPrefix(f.dst, p), toHost(r.MAC)))
		}
	}
	if r.Masquerade {
		rules = append(rules, newRule(f.name()+" that leaves the VNET: the host"+at+" translates it", f.match(), unicast(),
			r.outside(f), toHost(r.MAC)))
	}
	// Addressed to the fabric a frame is not for the host, unless it turns out to be a service's (turn), and then it is
	// too late to say so.
	return append(rules, newRule(f.name()+" for the host may be turned round", f.match(),
		inSet(f.dst, f.length, r.host(f.v6), false), packetForHost()))
}

// masquerade puts the host's address into what pods send out of the VNET. A service's address is translated to that of
// its backend before this is asked.
func (r Rules) masquerade() []rule {
	masq := []expr.Any{&expr.Masq{FullyRandom: true}} // pods that choose the same port at the same time do not collide
	var rules []rule
	for _, f := range []ipFamily{ip4, ip6} {
		rules = append(rules, newRule(f.name()+" of a pod leaves the VNET", f.inHost(),
			isKey(f.src, f.length, r.known(f.v6)), r.outside(f), masq))
	}
	return rules
}

// outside matches destinations that are not in the VNET, nor the host agent, which sees who asks, nor on the link.
func (r Rules) outside(f ipFamily) []expr.Any {
	var parts []expr.Any
	except := []netip.Prefix{netip.PrefixFrom(azure.HostAgent, 32), netip.MustParsePrefix("fe80::/10")}
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
