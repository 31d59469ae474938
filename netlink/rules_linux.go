package netlink

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// Rules are the parameters of a bridge's rule set.
type Rules struct {
	Bridge    string
	Master    string
	MAC       net.HardwareAddr // the master's, hence the bridge's
	Host      []netip.Prefix   // the host's addresses on the bridge, with their subnets
	Tunnel    bool             // everything that pods send goes to the fabric
	AntiSpoof bool             // pods may send only from what they were given
	HostAgent bool             // pods may reach the host agent's control ports
}

// TableName is the one table that holds everything of ours: "nft delete table bridge azure-vnet" removes it.
const TableName = "azure-vnet"

// HostAgentAddress answers on every VM: the host agent on TCP 80 and 32526, DNS on 53 (datapath.md, fabric
// rule 5; field-notes.md row 15).
var HostAgentAddress = netip.AddrFrom4([4]byte{168, 63, 129, 16})

var hostAgentPorts = []uint16{80, 32526}

func table() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyBridge, Name: TableName}
}

// The names of a bridge's own objects start with its name: bridges do not touch each other's. The IDs only
// have to differ within one transaction; without them google/nftables counts in a variable of the package
// that nothing guards.
func pods4(bridge string) *nftables.Set {
	return &nftables.Set{Table: table(), ID: 1, Name: bridge + "-pods4", IsMap: true, KeyType: nftables.TypeIPAddr, DataType: nftables.TypeEtherAddr}
}

func host4(bridge string) *nftables.Set {
	return &nftables.Set{Table: table(), ID: 2, Name: bridge + "-host4", KeyType: nftables.TypeIPAddr}
}

// ports holds the host veths of the bridge. Matching the bridge itself (meta ibrname) would need a kernel
// option that not every kernel has (CONFIG_NFT_BRIDGE_META).
func ports(bridge string) *nftables.Set {
	return &nftables.Set{Table: table(), ID: 3, Name: bridge + "-ports", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian}
}

// owned4 holds what pods may send: (port, MAC, IPv4 address).
func owned4(bridge string) *nftables.Set {
	// The types are constants, so their concatenation cannot fail.
	key, _ := nftables.ConcatSetType(nftables.TypeIFName, nftables.TypeEtherAddr, nftables.TypeIPAddr)
	return &nftables.Set{Table: table(), ID: 4, Name: bridge + "-owned4", KeyType: key, Concatenation: true}
}

// chain is a chain with its rules; hook is nil for one that is only jumped to.
type chain struct {
	nftables.Chain
	rules []rule
}

// chains is the rule set of datapath.md, "Bridge family". Its size does not depend on the number of pods:
// they are elements of the maps.
func (r Rules) chains() []chain {
	own := func(name string) string { return r.Bridge + "-" + name }
	base := func(name string, hook *nftables.ChainHook, priority nftables.ChainPriority, rules ...rule) chain {
		accept := nftables.ChainPolicyAccept
		return chain{nftables.Chain{Table: table(), Name: own(name), Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: &priority, Policy: &accept}, rules}
	}
	plain := func(name string, rules ...rule) chain {
		return chain{nftables.Chain{Table: table(), Name: own(name)}, rules}
	}
	return []chain{
		plain("from-fabric", r.fromFabric()...),
		plain("from-pod", r.fromPod()...),
		plain("to-fabric", r.toFabric()...),
		base("pre", nftables.ChainHookPrerouting, -300,
			newRule("from the fabric: arrives by "+r.Master, ifName(expr.MetaKeyIIFNAME, r.Master), jump(own("from-fabric"))),
			newRule("from a pod of "+r.Bridge, portOf(ports(r.Bridge)), jump(own("from-pod")))),
		base("post", nftables.ChainHookPostrouting, 300,
			newRule("to the fabric: leaves by "+r.Master, ifName(expr.MetaKeyOIFNAME, r.Master), jump(own("to-fabric")))),
	}
}

// fromFabric: the fabric sends every frame to the NIC's MAC; the address in it says which pod it is for.
func (r Rules) fromFabric() []rule {
	pods, accept := pods4(r.Bridge), verdict(expr.VerdictAccept)
	rules := []rule{
		newRule("IPv4 to its pod", etherType(etherIP4), setDstFromMap(ip4Dst, 4, pods), accept),
		newRule("ARP reply to its pod", arp(arpReply), setDstFromMap(arpTPA, 4, pods), accept),
		newRule("ARP request to its pod", arp(arpRequest), setDstFromMap(arpTPA, 4, pods), accept),
	}
	seen := map[netip.Prefix]bool{}
	for _, p := range r.Host {
		if p.Addr().Is4() && p.Bits() < 32 && !seen[p.Masked()] {
			seen[p.Masked()] = true
			rules = append(rules, newRule(fmt.Sprintf("address of %s without a pod: do not let the host send it back", p.Masked()),
				etherType(etherIP4), inPrefix(ip4Dst, p), inSet(ip4Dst, 4, host4(r.Bridge), true), countedDrop()))
		}
	}
	return rules
}

func (r Rules) fromPod() []rule {
	var rules []rule
	if r.AntiSpoof {
		rules = append(rules, r.antiSpoof()...)
	}
	if !r.HostAgent {
		for _, port := range hostAgentPorts {
			rules = append(rules, newRule(fmt.Sprintf("host agent port %d is closed to pods", port), etherType(etherIP4),
				[]expr.Any{load(nh, ip4Dst, 4, 1), equal(string(HostAgentAddress.AsSlice())), load(nh, ip4Proto, 1, 1), equal("\x06"),
					load(th, 2, 2, 1), equal(string([]byte{byte(port >> 8), byte(port)}))}, countedDrop()))
		}
	}
	accept := verdict(expr.VerdictAccept)
	rules = append(rules,
		newRule("ARP request for the host at "+r.MAC.String(), arp(arpRequest), inSet(arpTPA, 4, host4(r.Bridge), false), toHost(r.MAC)),
		// The pod answers for itself; a redirected request also spares the others the broadcast.
		newRule("ARP request to its pod", arp(arpRequest), setDstFromMap(arpTPA, 4, pods4(r.Bridge)), accept))
	if r.Tunnel {
		rules = append(rules, newRule("tunnel mode: IPv4 to the fabric", etherType(etherIP4), setMAC(ethDst, VirtualMAC), accept))
	}
	return rules
}

// antiSpoof drops what a pod sends from a MAC or an address that is not its own. The key is the
// concatenation (port, MAC, address); register 14 is where its last part has to lie (16 bytes of name from
// register 1, 8 of MAC from 2, in the kernel's 32-bit numbering).
func (r Rules) antiSpoof() []rule {
	owned := owned4(r.Bridge)
	foreign := func(mac, macBase, addr uint32) []expr.Any {
		base := expr.PayloadBase(macBase)
		return []expr.Any{
			&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, load(base, mac, 6, 2), load(nh, addr, 4, 14),
			&expr.Lookup{SourceRegister: 1, SetName: owned.Name, SetID: owned.ID, Invert: true},
		}
	}
	return []rule{
		newRule("IPv4 from an address or MAC that is not the pod's", etherType(etherIP4), foreign(ethSrc, uint32(ll), ip4Src), countedDrop()),
		newRule("ARP from an address or MAC that is not the pod's", etherType(etherARP), foreign(arpSHA, uint32(nh), arpSPA), countedDrop()),
		// No pod has an IPv6 address yet, and the host would believe a pod's router advertisement.
		newRule("anything else, IPv6 and VLANs among it", []expr.Any{load(ll, 12, 2, 1), differs(etherIP4), differs(etherARP)}, countedDrop()),
	}
}

// toFabric: the fabric accepts only frames, and ARP senders, with the NIC's own MAC.
func (r Rules) toFabric() []rule {
	arpSender := &expr.Payload{OperationType: expr.PayloadWrite, Base: nh, Offset: arpSHA, Len: 6, SourceRegister: 1}
	return []rule{
		newRule("frames leave with "+r.MAC.String(), setMAC(ethSrc, r.MAC)),
		newRule("ARP leaves with "+r.MAC.String(), etherType(etherARP), []expr.Any{&expr.Immediate{Register: 1, Data: r.MAC}, arpSender}),
	}
}
