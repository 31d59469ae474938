package netlink

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// hostRoutes are the routes over an interface, in the order in which the kernel accepts them: what a gateway is
// reached by has to be there when the gateway is named.
type hostRoutes struct {
	direct   []kernelMessage
	nexthops []kernelMessage // nexthop objects ("ip nexthop")
	groups   []kernelMessage // groups with one of these
	byObject []kernelMessage // routes that name one of these, or such a group
	gateways []kernelMessage

	// onLink are the kernel's own routes to the subnets of IPv6 addresses. It makes them with an address, but if that
	// has an end, it does not take them away with it (net/ipv6/addrconf.c, ipv6_del_addr). Routes that say to be the
	// kernel's, but do not come with an address, are among the others: NetworkManager makes such.
	onLink []kernelMessage
}

// all are the lists that a person or a program made.
func (r *hostRoutes) all() []*[]kernelMessage {
	return []*[]kernelMessage{&r.direct, &r.nexthops, &r.groups, &r.byObject, &r.gateways}
}

// readRoutes reads the routes over an interface that has these addresses.
func readRoutes(s *wire.Socket, index int, addrs []kernelMessage) (r hostRoutes, err error) {
	objects, err := dump(s, unix.RTM_GETNEXTHOP, unix.RTM_NEWNEXTHOP, listing{}, everything)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) { // Linux before 5.3 has none
		return r, err
	}
	ids := map[uint32]bool{}
	for _, m := range objects {
		if m.U32(nhaOIF) == uint32(index) {
			ids[m.U32(nhaID)] = true
			r.nexthops = append(r.nexthops, m)
		}
	}
	for _, m := range objects {
		if m.hasMember(ids) {
			r.groups = append(r.groups, m)
		}
	}
	for _, m := range r.groups {
		ids[m.U32(nhaID)] = true
	}
	routes, err := dump(s, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, listing{}, func(m kernelMessage) bool {
		return m.isIP() && m.routeFlags()&unix.RTM_F_CLONED == 0 && m.Header[5] != podRoute && (m.Header[5] != unix.RTPROT_KERNEL || m.Header[7] == unix.RTN_UNICAST)
	})
	others := map[string]bool{} // keys of routes over other interfaces
	for i, m := range routes {
		if m.over(index) {
			routes[i].first = !others[m.routeKey()]
		} else {
			others[m.routeKey()] = true
		}
	}
	for _, m := range routes {
		m.first = m.first && m.Family() == unix.AF_INET && others[m.routeKey()]
		made := slices.ContainsFunc(addrs, m.comesWith) || m.isLinkLocals()
		switch {
		case made && m.over(index):
			if m.Family() == unix.AF_INET6 && !m.Addr(unix.RTA_DST).IsLinkLocalUnicast() {
				r.onLink = append(r.onLink, m)
			}
		case ids[m.U32(rtaNHID)]:
			r.byObject = append(r.byObject, m)
		case m.over(index) && m.viaGateway():
			r.gateways = append(r.gateways, m)
		case m.over(index):
			r.direct = append(r.direct, m)
		}
	}
	return r, err
}

// addTo appends the requests that give the routes to a device. A nexthop object is replaced where it is: groups
// and routes that name it follow, and are only sent if they were lost.
func (r hostRoutes) addTo(b *batch, from, to device) {
	stones := r.steppingStones(from)
	for _, gw := range stones {
		b.add(fmt.Sprintf("add route %s to %s", gw, to.name), stoneMessage(unix.RTM_NEWROUTE, gw, to), anything)
	}
	addRoutes(b, r.direct, from, to)
	for _, m := range append(slices.Clone(r.nexthops), lostOf(r.groups)...) {
		b.add(fmt.Sprintf("give nexthop %d to %s", m.U32(nhaID), to.name), m.newNexthop(from, to), m.ignore()...)
	}
	addRoutes(b, lostOf(r.byObject), from, to)
	addRoutes(b, r.gateways, from, to)
	for _, gw := range stones {
		b.add(fmt.Sprintf("delete route %s from %s", gw, to.name), stoneMessage(unix.RTM_DELROUTE, gw, to), anything)
	}
}

// steppingStones are the gateways that routes over the device name. The kernel accepts a route only while it knows a
// way to the gateway, and keeps it when that way goes. So each gateway gets a route of its own while the routes are
// added: whatever the host has can be given to a device, and back.
func (r hostRoutes) steppingStones(from device) (list []netip.Addr) {
	add := func(gw netip.Addr) {
		if gw.IsValid() && (gw.Is4() || !gw.IsLinkLocalUnicast()) && !slices.Contains(list, gw) {
			list = append(list, gw)
		}
	}
	for _, m := range r.nexthops {
		add(m.Addr(nhaGateway))
	}
	for _, m := range r.gateways {
		if m.U32(unix.RTA_OIF) == uint32(from.index) {
			add(m.gateway())
		}
		for _, l := range m.legs() {
			if l.index() == from.index {
				add(l.gateway())
			}
		}
	}
	return list
}

// stoneMetric keeps a stepping stone behind every route that there may be to the gateway.
const stoneMetric = 0xfffffff0

func stoneMessage(typ int, gw netip.Addr, dev device) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(typ, 0)
	if typ == unix.RTM_NEWROUTE {
		req.Flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{
		Family: uint8(family(gw)), Dst_len: uint8(gw.BitLen()), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST,
	}})
	req.AddData(bytesAttr(unix.RTA_DST, gw.AsSlice()))
	req.AddData(u32(unix.RTA_OIF, uint32(dev.index)))
	req.AddData(u32(unix.RTA_PRIORITY, stoneMetric))
	return req
}

func lostOf(list []kernelMessage) []kernelMessage {
	return slices.DeleteFunc(slices.Clone(list), func(m kernelMessage) bool { return !m.lost })
}

// addRoutes keeps the order among routes of the same prefix and metric: the kernel takes the first one that works. So
// those that come before routes over other interfaces are put before all, the last one first; the others behind.
func addRoutes(b *batch, list []kernelMessage, from, to device) {
	add := func(m kernelMessage) {
		b.add(fmt.Sprintf("add route %s to %s", m.route(), to.name), m.newRoute(unix.RTM_NEWROUTE, m.addFlags(), from, to), m.ignore(unix.EEXIST)...)
	}
	for _, m := range slices.Backward(list) {
		if m.first {
			add(m)
		}
	}
	for _, m := range list {
		if !m.first {
			add(m)
		}
	}
}

// remove appends the requests that delete the routes over the device that they were read from. Objects, and IPv6
// routes of several paths, were replaced.
func (r hostRoutes) remove(b *batch, from device) {
	for _, m := range slices.Backward(slices.Concat(r.onLink, r.direct, r.gateways)) {
		if m.Family() == unix.AF_INET || m.Get(unix.RTA_MULTIPATH) == nil {
			b.add(fmt.Sprintf("delete route %s from %s", m.route(), from.name), m.newRoute(unix.RTM_DELROUTE, 0, from, from), unix.ESRCH, unix.ENOENT)
		}
	}
}
