package netlink

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

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

// Attributes of nexthop objects (include/uapi/linux/nexthop.h), and of a route that names one (rtnetlink.h).
const (
	nhaID       = 1
	nhaGroup    = 2
	nhaOIF      = 5
	nhaGateway  = 6
	nhaFDB      = 11 // the last one that makes an object; what follows is statistics and state
	nhaResGroup = 12
	rtaNHID     = 30
)

// readRoutes reads the routes over an interface that has these addresses.
func (h *Handle) readRoutes(index int, addrs []kernelMessage) (r hostRoutes, err error) {
	objects, err := h.dump(unix.RTM_GETNEXTHOP, unix.RTM_NEWNEXTHOP, listing{}, everything)
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
	routes, err := h.dump(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, listing{}, func(m kernelMessage) bool {
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
			if attrs, err := wire.ParseAttrs(l[rtnexthopLen:]); err == nil && l.index() == from.index {
				add(kernelMessage{Message: wire.Message{Attrs: attrs}}.gateway())
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

// addFlags say how a route is added: never in place of one over another interface. But IPv6 has only one route of
// several paths for a prefix and metric, and this is it.
func (m kernelMessage) addFlags() int {
	switch {
	case m.first:
		return unix.NLM_F_CREATE
	case m.Family() == unix.AF_INET6 && m.Get(unix.RTA_MULTIPATH) != nil:
		return unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	return unix.NLM_F_CREATE | unix.NLM_F_APPEND
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

// routeFlags are struct rtmsg's: RTM_F_… and RTNH_F_….
func (m kernelMessage) routeFlags() uint32 { return binary.NativeEndian.Uint32(m.Header[8:]) }

// routeKey is what routes have in common among which the kernel takes the first one: family, prefix, TOS, table,
// metric.
func (m kernelMessage) routeKey() string {
	return fmt.Sprintf("%x %x %x %d %d", m.Header[:4], m.Get(unix.RTA_DST), m.Get(unix.RTA_SRC), m.U32(unix.RTA_TABLE), m.U32(unix.RTA_PRIORITY))
}

// over says whether the route, or a leg of it, goes over the interface.
func (m kernelMessage) over(index int) bool {
	return m.U32(unix.RTA_OIF) == uint32(index) || slices.ContainsFunc(m.legs(), func(l leg) bool { return l.index() == index })
}

func (m kernelMessage) viaGateway() bool {
	return m.Get(unix.RTA_GATEWAY) != nil || m.Get(unix.RTA_VIA) != nil || m.Get(unix.RTA_MULTIPATH) != nil
}

// addrMetric is the metric of the kernel's IPv6 routes to the subnets of addresses (include/uapi/linux/ipv6_route.h,
// IP6_RT_PRIO_ADDRCONF).
const addrMetric = 256

// comesWith says whether the route is the one that the kernel makes with an address of the same interface: not if the
// address has IFA_F_NOPREFIXROUTE, as NetworkManager's have, and not one with another metric, table or source than the
// address gives it (net/ipv4/fib_frontend.c, fib_add_ifaddr; net/ipv6/addrconf.c, addrconf_prefix_route).
func (m kernelMessage) comesWith(addr kernelMessage) bool {
	const ifaPriority = 9 // IFA_RT_PRIORITY, include/uapi/linux/if_addr.h
	if m.Header[5] != unix.RTPROT_KERNEL || m.Family() != addr.Family() || m.viaGateway() || m.U32(unix.RTA_TABLE) != unix.RT_TABLE_MAIN || addr.U32(unix.IFA_FLAGS)&unix.IFA_F_NOPREFIXROUTE != 0 {
		return false
	}
	metric, dst := addr.U32(ifaPriority), netip.PrefixFrom(m.Addr(unix.RTA_DST), int(m.Header[1]))
	within := func(typ uint16) bool {
		return dst.IsValid() && netip.PrefixFrom(addr.Addr(typ), int(addr.Header[1])).Masked() == dst
	}
	if m.Family() == unix.AF_INET6 {
		return m.U32(unix.RTA_PRIORITY) == cmp.Or(metric, addrMetric) && (within(unix.IFA_ADDRESS) || within(unix.IFA_LOCAL))
	}
	return addr.U32(unix.IFA_FLAGS)&unix.IFA_F_SECONDARY == 0 && m.U32(unix.RTA_PRIORITY) == metric && within(unix.IFA_ADDRESS) &&
		m.Addr(unix.RTA_PREFSRC) == addr.Addr(unix.IFA_LOCAL) && m.Header[6] == unix.RT_SCOPE_LINK
}

// isLinkLocals says whether the route is the one that the kernel gives every interface with IPv6.
func (m kernelMessage) isLinkLocals() bool {
	return m.Header[5] == unix.RTPROT_KERNEL && m.Addr(unix.RTA_DST).IsLinkLocalUnicast() && m.Family() == unix.AF_INET6 && m.U32(unix.RTA_PRIORITY) == addrMetric
}

// gateway is the route's, or the leg's. RTA_VIA is one of another family: struct rtvia has the family before it.
func (m kernelMessage) gateway() netip.Addr {
	if via := m.Get(unix.RTA_VIA); len(via) > 2 {
		a, _ := netip.AddrFromSlice(via[2:])
		return a
	}
	return m.Addr(unix.RTA_GATEWAY)
}

// leg is one path of a route: struct rtnexthop (length, flags, hops, index), then attributes.
type leg []byte

const rtnexthopLen = 8

func (l leg) index() int { return int(binary.NativeEndian.Uint32(l[4:])) }

func (m kernelMessage) legs() (list []leg) {
	for rest := m.Get(unix.RTA_MULTIPATH); len(rest) >= rtnexthopLen; {
		n := int(binary.NativeEndian.Uint16(rest))
		if n < rtnexthopLen || n > len(rest) {
			break
		}
		list = append(list, leg(rest[:n]))
		rest = rest[min((n+3)&^3, len(rest)):]
	}
	return list
}

// keptFlags are what a route is told; the other flags are how it is doing.
const keptFlags = unix.RTNH_F_ONLINK | unix.RTNH_F_PERVASIVE

// moveLegs is the attribute with the legs over one device going over another. Legs that become equal are one.
func (m kernelMessage) moveLegs(from, to device) []byte {
	var out []leg
	for _, l := range m.legs() {
		l = bytes.Clone(l)
		l[2] &= keptFlags
		if l.index() == from.index {
			binary.NativeEndian.PutUint32(l[4:], uint32(to.index))
		}
		if !slices.ContainsFunc(out, func(o leg) bool { return bytes.Equal(o, l) }) {
			out = append(out, l)
		}
	}
	var data []byte
	for _, l := range out {
		data = append(append(data, l...), make([]byte, (4-len(l)%4)%4)...)
	}
	return data
}

func (m kernelMessage) newRoute(typ, flags int, from, to device) *nl.NetlinkRequest {
	header := bytes.Clone(m.Header)
	binary.NativeEndian.PutUint32(header[8:], m.routeFlags()&keptFlags)
	named := m.Get(rtaNHID) != nil
	req := m.request(typ, flags, header, func(typ uint16, data []byte) ([]byte, bool) {
		switch typ {
		case unix.RTA_OIF:
			return binary.NativeEndian.AppendUint32(nil, uint32(to.index)), !named
		case unix.RTA_MULTIPATH:
			return m.moveLegs(from, to), !named
		case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE: // the object's
			return data, !named
		}
		return data, typ != unix.RTA_CACHEINFO && typ != unix.RTA_EXPIRES
	})
	if left := m.expires(); left > 0 && typ == unix.RTM_NEWROUTE {
		req.AddRawData(u32(unix.RTA_EXPIRES, left).Serialize())
	}
	return req
}

func (m kernelMessage) newNexthop(from, to device) *nl.NetlinkRequest {
	header := bytes.Clone(m.Header)
	header[1], header[3] = 0, 0 // scope and reserved are answers
	binary.NativeEndian.PutUint32(header[4:], binary.NativeEndian.Uint32(header[4:])&unix.RTNH_F_ONLINK)
	return m.request(unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, header, func(typ uint16, data []byte) ([]byte, bool) {
		if typ == nhaOIF && wire.U32(data) == uint32(from.index) {
			return binary.NativeEndian.AppendUint32(nil, uint32(to.index)), true
		}
		if typ == nhaResGroup {
			return settingsOf(data), true
		}
		return data, typ <= nhaFDB
	})
}

// settingsOf are the attributes of a resilient group but for NHA_RES_GROUP_UNBALANCED_TIME, which is an answer.
func settingsOf(data []byte) (out []byte) {
	const unbalancedTime = 4
	list, _ := wire.ParseAttrs(data)
	for _, a := range list {
		if a.Type != 0 && a.Type < unbalancedTime {
			out = append(out, nl.NewRtAttr(int(a.Type), a.Value).Serialize()...)
		}
	}
	return out
}

// hasMember says whether the object is a group with one of these: struct nexthop_grp is the ID and four bytes.
func (m kernelMessage) hasMember(ids map[uint32]bool) bool {
	for rest := m.Get(nhaGroup); len(rest) >= 8; rest = rest[8:] {
		if ids[binary.NativeEndian.Uint32(rest)] {
			return true
		}
	}
	return false
}

// route names a route for messages.
func (m kernelMessage) route() string {
	dst := "default"
	if a := m.Addr(unix.RTA_DST); a.IsValid() {
		dst = fmt.Sprintf("%s/%d", a, m.Header[1])
	}
	if gw := m.Addr(unix.RTA_GATEWAY); gw.IsValid() {
		dst += " by " + gw.String()
	}
	return dst
}

// ignore lists the errors that are none: of what was lost, anything, since it may not fit the host any more.
func (m kernelMessage) ignore(errs ...syscall.Errno) []syscall.Errno {
	if m.lost {
		return []syscall.Errno{anything}
	}
	return errs
}
