package fabric

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// rules builds the nftables table that makes the kernel's router behave like
// the SDN. Everything is filtered before the kernel's stack sees it.
type rules struct {
	conn  *nftables.Conn
	table *nftables.Table
	dual  bool
	can   abilities
	// sets counts the sets made, as their IDs within a batch. The library's
	// own numbers come from a variable without a lock.
	sets uint32
	// known4 and known6 hold every address that packets may be sent to.
	known4, known6 *nftables.Set
}

// maxElements keeps a message of set elements below the 64 KiB that a netlink
// attribute can hold.
const maxElements = 1000

func newRules(conn *nftables.Conn, known []netip.Addr, dual bool, can abilities) (*rules, error) {
	r := &rules{conn: conn, dual: dual, can: can}
	r.table = conn.AddTable(&nftables.Table{Name: "azure-fabric", Family: nftables.TableFamilyNetdev})
	var err error
	if r.known4, err = r.addSet("known4", nftables.TypeIPAddr, known, netip.Addr.Is4); err != nil {
		return nil, err
	}
	if dual {
		r.known6, err = r.addSet("known6", nftables.TypeIP6Addr, known, netip.Addr.Is6)
	}
	return r, err
}

func (r *rules) addSet(name string, kind nftables.SetDatatype, addrs []netip.Addr, in func(netip.Addr) bool) (*nftables.Set, error) {
	var elements []nftables.SetElement
	for _, a := range addrs {
		if in(a) {
			elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
		}
	}
	r.sets++
	set := &nftables.Set{Table: r.table, ID: r.sets, Name: name, KeyType: kind}
	if err := r.conn.AddSet(set, nil); err != nil {
		return nil, fmt.Errorf("add set %s: %w", name, err)
	}
	for len(elements) > 0 {
		n := min(len(elements), maxElements)
		if err := r.conn.SetAddElements(set, elements[:n]); err != nil {
			return nil, fmt.Errorf("add elements of set %s: %w", name, err)
		}
		elements = elements[n:]
	}
	return set, nil
}

// addPort adds the rules of one NIC's port; frontends are those of the load
// balancers that it is a backend of.
func (r *rules) addPort(p *port, frontends []netip.Addr) error {
	for _, k := range counterKinds {
		r.conn.AddObj(&nftables.CounterObj{Table: r.table, Name: p.counter(k.name)})
	}
	mine := append(p.nic.Addresses(), frontends...)
	owned4, err := r.addSet(p.name+"_owned4", nftables.TypeIPAddr, mine, netip.Addr.Is4)
	if err != nil {
		return err
	}
	var owned6 *nftables.Set
	if r.dual {
		owned6, err = r.addSet(p.name+"_owned6", nftables.TypeIP6Addr, mine, netip.Addr.Is6)
		if err != nil {
			return err
		}
	}
	in := r.chain(p, "in", nftables.ChainHookIngress)
	r.add(in, etherSrc.isNot(p.nic.MAC...), count(p.counter(foreignSource)), drop())
	r.addARP(in, p, owned4)
	r.addMisdirected(in, p)
	for _, a := range frontends {
		dst, proto := ipv4Dst, isIPv4
		if a.Is6() {
			dst, proto = ipv6Dst, isIPv6
		}
		r.add(in, proto, dst.is(a.AsSlice()...), count(p.counter(unknownDestination)), drop())
	}
	r.addIPv4(in, p, owned4)
	if r.dual {
		r.addIPv6(in, p, owned6)
	}
	r.add(in, drop()) // of no protocol that the fabric speaks

	if !r.can.egress {
		return nil // FabricQuery stays zero
	}
	// Every neighbour is permanent, so these would be defects of the fabric.
	out := r.chain(p, "out", nftables.ChainHookEgress)
	r.add(out, isARP, arpOperation.is(0, ARPRequest), count(p.counter(fabricQuery)), drop())
	r.add(out, isIPv6, ipv6Next.is(protocolICMP6), icmp6Type.is(neighborSolicitation), count(p.counter(fabricQuery)), drop())
	return nil
}

func (r *rules) chain(p *port, direction string, hook *nftables.ChainHook) *nftables.Chain {
	return r.conn.AddChain(&nftables.Chain{
		Table:    r.table,
		Name:     p.name + "_" + direction,
		Type:     nftables.ChainTypeFilter,
		Hooknum:  hook,
		Priority: nftables.ChainPriorityFilter,
		Device:   p.name,
	})
}

func (r *rules) add(c *nftables.Chain, parts ...match) {
	r.conn.AddRule(&nftables.Rule{Table: r.table, Chain: c, Exprs: all(parts...)})
}

const (
	protocolICMP6         = 58
	neighborSolicitation  = 135
	neighborAdvertisement = 136
)

var (
	isARP  = etherType.is(0x08, 0x06)
	isIPv4 = etherType.is(0x08, 0x00)
	isIPv6 = etherType.is(0x86, 0xdd)
)

// addARP answers requests without the kernel's ARP: its proxy neither answers
// probes and announcements nor everything that has no route, and it would
// learn from what it hears.
func (r *rules) addARP(c *nftables.Chain, p *port, owned *nftables.Set) {
	r.add(c, isARP, arpSenderMAC.isNot(p.nic.MAC...), count(p.counter(foreignARPSender)), drop())
	r.add(c, isARP, arpSenderIP.isNot(0, 0, 0, 0), arpSenderIP.notIn(owned), count(p.counter(foreignAddress)), drop())
	isRequest := all(isARP, arpOperation.is(0, ARPRequest))
	r.add(c, isRequest, arpTargetIP.is(p.nic.Address.AsSlice()...), count(p.counter(ownAddressARP)), drop())
	if r.can.dup {
		r.addARPAnswer(c, p, isRequest)
	}
	r.add(c, isARP, drop()) // the fabric learns nothing
}

func (r *rules) addARPAnswer(c *nftables.Chain, p *port, isRequest match) {
	virtual, _ := net.ParseMAC(VirtualMAC)
	r.add(c, isRequest,
		etherSrc.copyTo(etherDst), etherSrc.write(virtual...),
		match{arpTargetIP.load(2)}, arpSenderIP.copyTo(arpTargetIP), match{arpSenderIP.store(2)},
		arpSenderMAC.copyTo(arpTargetMAC), arpSenderMAC.write(virtual...),
		arpOperation.write(0, ARPReply),
		match{
			&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint32(uint32(p.index))},
			&expr.Dup{RegDev: 1, IsRegDevSet: true},
		},
		drop())
}

// addMisdirected drops unicast frames to any other MAC than the virtual one.
// Multicast and broadcast frames go no further than the fabric, whoever they
// are for, once their sources have been checked.
func (r *rules) addMisdirected(c *nftables.Chain, p *port) {
	virtual, _ := net.ParseMAC(VirtualMAC)
	group := []byte{1, 0, 0, 0, 0, 0}
	unicast := etherDst.masked(expr.CmpOpEq, group, make([]byte, 6))
	r.add(c, unicast, etherDst.isNot(virtual...), count(p.counter(misdirected)), drop())
}

func (r *rules) addIPv4(c *nftables.Chain, p *port, owned *nftables.Set) {
	r.add(c, isIPv4, ipv4Src.is(0, 0, 0, 0), drop()) // DHCP: its server sees whole frames
	r.add(c, isIPv4, ipv4Src.notIn(owned), count(p.counter(foreignAddress)), drop())
	r.add(c, isIPv4, multicastFrame(), drop())
	r.add(c, isIPv4, ipv4Dst.notIn(r.known4), count(p.counter(unknownDestination)), drop())
	r.add(c, isIPv4, accept())
}

func (r *rules) addIPv6(c *nftables.Chain, p *port, owned *nftables.Set) {
	isND := all(isIPv6, ipv6Next.is(protocolICMP6))
	for _, m := range []struct{ kind, option byte }{{neighborSolicitation, 1}, {neighborAdvertisement, 2}} {
		r.add(c, isND, icmp6Type.is(m.kind), ndOptionType.is(m.option), ndOptionMAC.isNot(p.nic.MAC...),
			count(p.counter(foreignNDPSender)), drop())
	}
	// Link-local sources are not the VNET's business, and neighbour
	// discovery cannot do without them and the unspecified address.
	prefix := make([]byte, 16)
	binary.BigEndian.PutUint16(prefix, 0xfe80)
	mask := make([]byte, 16)
	binary.BigEndian.PutUint16(mask, 0xffc0)
	r.add(c, isIPv6, ipv6Src.masked(expr.CmpOpNeq, mask, prefix), ipv6Src.isNot(make([]byte, 16)...),
		ipv6Src.notIn(owned), count(p.counter(foreignAddress)), drop())
	// The fabric knows the NIC's link-local address, but not those of what is behind it: it could not answer
	// without asking who they are.
	r.add(c, isIPv6, ipv6Src.masked(expr.CmpOpEq, mask, prefix), ipv6Src.isNot(linkLocal(p.nic.MAC).AsSlice()...), drop())
	r.add(c, isIPv6, multicastFrame(), accept()) // neighbour discovery
	r.add(c, isIPv6, ipv6Dst.notIn(r.known6), count(p.counter(unknownDestination)), drop())
	r.add(c, isIPv6, accept())
}

func multicastFrame() match {
	group := []byte{1, 0, 0, 0, 0, 0}
	return etherDst.masked(expr.CmpOpEq, group, group)
}
