package hostconf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Routes are the routes over an interface, in the order in which the kernel accepts them: what a gateway is
// reached by has to be there when the gateway is named.
type Routes struct {
	direct   []rtnl.Message
	nexthops []rtnl.Message // nexthop objects ("ip nexthop")
	groups   []rtnl.Message // groups with one of these
	byObject []rtnl.Message // routes that name one of these, or such a group
	gateways []rtnl.Message

	// onLink are the kernel's own routes to the subnets of IPv6 addresses. It makes them with an address, but if that
	// has an end, it does not take them away with it (net/ipv6/addrconf.c, ipv6_del_addr). Routes that say to be the
	// kernel's, but do not come with an address, are among the others: NetworkManager makes such.
	onLink []rtnl.Message
}

// all are the lists that a person or a program made.
func (r *Routes) all() []*[]rtnl.Message {
	return []*[]rtnl.Message{&r.direct, &r.nexthops, &r.groups, &r.byObject, &r.gateways}
}

// PodRoute is the protocol (struct rtmsg, rtm_protocol) of the host's routes to its pods, which are no part of its own
// configuration.
const PodRoute = 0x7a

// readRoutes reads the routes over an interface that has these addresses.
func readRoutes(s *wire.Socket, index int, addrs []rtnl.Message) (r Routes, err error) {
	objects, err := rtnl.Dump(s, unix.RTM_GETNEXTHOP, unix.RTM_NEWNEXTHOP, rtnl.Listing{}, rtnl.Everything)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) { // Linux before 5.3 has none
		return r, err
	}
	ids := map[uint32]bool{}
	for _, m := range objects {
		if m.U32(rtnl.NexthopOIF) == uint32(index) {
			ids[m.U32(rtnl.NexthopID)] = true
			r.nexthops = append(r.nexthops, m)
		}
	}
	for _, m := range objects {
		if m.HasMember(ids) {
			r.groups = append(r.groups, m)
		}
	}
	for _, m := range r.groups {
		ids[m.U32(rtnl.NexthopID)] = true
	}
	routes, err := rtnl.Dump(s, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, rtnl.Listing{}, func(m rtnl.Message) bool {
		return m.IsIP() && m.RouteFlags()&unix.RTM_F_CLONED == 0 && m.Header[5] != PodRoute &&
			(m.Header[5] != unix.RTPROT_KERNEL || m.Header[7] == unix.RTN_UNICAST)
	})
	others := map[string]bool{} // keys of routes over other interfaces
	for i, m := range routes {
		if m.Over(index) {
			routes[i].First = !others[m.RouteKey()]
		} else {
			others[m.RouteKey()] = true
		}
	}
	for _, m := range routes {
		m.First = m.First && m.Family() == unix.AF_INET && others[m.RouteKey()]
		made := slices.ContainsFunc(addrs, m.ComesWith) || m.IsLinkLocals()
		switch {
		case made && m.Over(index):
			if m.Family() == unix.AF_INET6 && !m.Addr(unix.RTA_DST).IsLinkLocalUnicast() {
				r.onLink = append(r.onLink, m)
			}
		case ids[m.U32(rtnl.RouteNexthop)]:
			r.byObject = append(r.byObject, m)
		case m.Over(index) && m.ViaGateway():
			r.gateways = append(r.gateways, m)
		case m.Over(index):
			r.direct = append(r.direct, m)
		}
	}
	return r, err
}

// AddTo appends the requests that give the routes to a device. A nexthop object is replaced where it is: groups
// and routes that name it follow, and are only sent if they were lost.
func (r Routes) AddTo(b *rtnl.Batch, from, to rtnl.Device) {
	stones := r.steppingStones(from)
	for _, gw := range stones {
		b.Add(fmt.Sprintf("add route %s to %s", gw, to.Name), stoneMessage(unix.RTM_NEWROUTE, gw, to), rtnl.Anything)
	}
	addRoutes(b, r.direct, from, to)
	for _, m := range append(slices.Clone(r.nexthops), lostOf(r.groups)...) {
		b.Add(fmt.Sprintf("give nexthop %d to %s", m.U32(rtnl.NexthopID), to.Name), m.NewNexthop(from, to), m.Ignore()...)
	}
	addRoutes(b, lostOf(r.byObject), from, to)
	addRoutes(b, r.gateways, from, to)
	for _, gw := range stones {
		b.Add(fmt.Sprintf("delete route %s from %s", gw, to.Name), stoneMessage(unix.RTM_DELROUTE, gw, to), rtnl.Anything)
	}
}

// steppingStones are the gateways that routes over the device name. The kernel accepts a route only while it knows a
// way to the gateway, and keeps it when that way goes. So each gateway gets a route of its own while the routes are
// added: whatever the host has can be given to a device, and back.
func (r Routes) steppingStones(from rtnl.Device) (list []netip.Addr) {
	add := func(gw netip.Addr) {
		if gw.IsValid() && (gw.Is4() || !gw.IsLinkLocalUnicast()) && !slices.Contains(list, gw) {
			list = append(list, gw)
		}
	}
	for _, m := range r.nexthops {
		add(m.Addr(rtnl.NexthopGateway))
	}
	for _, m := range r.gateways {
		if m.U32(unix.RTA_OIF) == uint32(from.Index) {
			add(m.Gateway())
		}
		for _, l := range m.Legs() {
			if l.Index() == from.Index {
				add(l.Gateway())
			}
		}
	}
	return list
}

// stoneMetric keeps a stepping stone behind every route that there may be to the gateway.
const stoneMetric = 0xfffffff0

func stoneMessage(typ int, gw netip.Addr, dev rtnl.Device) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(typ, 0)
	if typ == unix.RTM_NEWROUTE {
		req.Flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{
		Family: uint8(rtnl.Family(gw)), Dst_len: uint8(gw.BitLen()), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC,
		Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST,
	}})
	req.AddData(rtnl.Bytes(unix.RTA_DST, gw.AsSlice()))
	req.AddData(rtnl.U32(unix.RTA_OIF, uint32(dev.Index)))
	req.AddData(rtnl.U32(unix.RTA_PRIORITY, stoneMetric))
	return req
}

func lostOf(list []rtnl.Message) []rtnl.Message {
	return slices.DeleteFunc(slices.Clone(list), func(m rtnl.Message) bool { return !m.Lost })
}

// addRoutes keeps the order among routes of the same prefix and metric: the kernel takes the first one that works. So
// those that come before routes over other interfaces are put before all, the last one first; the others behind.
func addRoutes(b *rtnl.Batch, list []rtnl.Message, from, to rtnl.Device) {
	add := func(m rtnl.Message) {
		b.Add(fmt.Sprintf("add route %s to %s", m.Route(), to.Name),
			m.NewRoute(unix.RTM_NEWROUTE, m.AddFlags(), from, to), m.Ignore(unix.EEXIST)...)
	}
	for _, m := range slices.Backward(list) {
		if m.First {
			add(m)
		}
	}
	for _, m := range list {
		if !m.First {
			add(m)
		}
	}
}

// remove appends the requests that delete the routes over the device that they were read from. Objects, and IPv6
// routes of several paths, were replaced.
func (r Routes) remove(b *rtnl.Batch, from rtnl.Device) {
	for _, m := range slices.Backward(slices.Concat(r.onLink, r.direct, r.gateways)) {
		if m.Family() == unix.AF_INET || m.Get(unix.RTA_MULTIPATH) == nil {
			b.Add(fmt.Sprintf("delete route %s from %s", m.Route(), from.Name),
				m.NewRoute(unix.RTM_DELROUTE, 0, from, from), unix.ESRCH, unix.ENOENT)
		}
	}
}
