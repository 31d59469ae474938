package rtnl

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Route names a route for messages.
func (m Message) Route() string {
	dst := "default"
	if a := m.Addr(unix.RTA_DST); a.IsValid() {
		dst = fmt.Sprintf("%s/%d", a, m.Header[1])
	}
	if gw := m.Addr(unix.RTA_GATEWAY); gw.IsValid() {
		dst += " by " + gw.String()
	}
	return dst
}

// Destination is what a route is for. The kernel shows none for a default route. Other families than IP's have none.
func (m Message) Destination() netip.Prefix {
	a := m.Addr(unix.RTA_DST)
	switch {
	case a.IsValid():
	case m.Family() == unix.AF_INET:
		a = netip.IPv4Unspecified()
	case m.Family() == unix.AF_INET6:
		a = netip.IPv6Unspecified()
	}
	return netip.PrefixFrom(a, int(m.Header[1])) // struct rtmsg: rtm_dst_len
}

// RouteFlags are struct rtmsg's: RTM_F_… and RTNH_F_….
func (m Message) RouteFlags() uint32 { return binary.NativeEndian.Uint32(m.Header[8:]) }

// RouteKey is what routes have in common among which the kernel takes the first one: family, prefix, TOS, table,
// metric.
func (m Message) RouteKey() string {
	return fmt.Sprintf("%x %x %x %d %d", m.Header[:4], m.Get(unix.RTA_DST), m.Get(unix.RTA_SRC),
		m.U32(unix.RTA_TABLE), m.U32(unix.RTA_PRIORITY))
}

// PathKey is what a route is known by on its interface.
func (m Message) PathKey() string {
	return fmt.Sprintf("%s %d %s %d", m.RouteKey(), m.Header[7], m.Gateway(), m.U32(RouteNexthop))
}

// Over says whether the route, or a leg of it, goes over the interface.
func (m Message) Over(index int) bool {
	return m.U32(unix.RTA_OIF) == uint32(index) ||
		slices.ContainsFunc(m.Legs(), func(l Leg) bool { return l.Index() == index })
}

// ViaGateway says whether the route, or one of its legs, may have a gateway.
func (m Message) ViaGateway() bool {
	return m.Get(unix.RTA_GATEWAY) != nil || m.Get(unix.RTA_VIA) != nil || m.Get(unix.RTA_MULTIPATH) != nil
}

// Gateway is the route's, or the leg's. RTA_VIA is one of another family: struct rtvia has the family before it.
func (m Message) Gateway() netip.Addr {
	if via := m.Get(unix.RTA_VIA); len(via) > 2 {
		a, _ := netip.AddrFromSlice(via[2:])
		return a
	}
	return m.Addr(unix.RTA_GATEWAY)
}

// addrMetric is the metric of the kernel's IPv6 routes to the subnets of addresses (include/uapi/linux/ipv6_route.h,
// IP6_RT_PRIO_ADDRCONF).
const addrMetric = 256

// ComesWith says whether the route is the one that the kernel makes with an address of the same interface: not if the
// address has IFA_F_NOPREFIXROUTE, as NetworkManager's have, and not one with another metric, table or source than the
// address gives it (net/ipv4/fib_frontend.c, fib_add_ifaddr; net/ipv6/addrconf.c, addrconf_prefix_route).
func (m Message) ComesWith(addr Message) bool {
	const ifaPriority = 9 // IFA_RT_PRIORITY, include/uapi/linux/if_addr.h
	if m.Header[5] != unix.RTPROT_KERNEL || m.Family() != addr.Family() || m.ViaGateway() ||
		m.U32(unix.RTA_TABLE) != unix.RT_TABLE_MAIN || addr.U32(unix.IFA_FLAGS)&unix.IFA_F_NOPREFIXROUTE != 0 {
		return false
	}
	metric, dst := addr.U32(ifaPriority), netip.PrefixFrom(m.Addr(unix.RTA_DST), int(m.Header[1]))
	within := func(typ uint16) bool {
		return dst.IsValid() && netip.PrefixFrom(addr.Addr(typ), int(addr.Header[1])).Masked() == dst
	}
	if m.Family() == unix.AF_INET6 {
		return m.U32(unix.RTA_PRIORITY) == cmp.Or(metric, addrMetric) && (within(unix.IFA_ADDRESS) || within(unix.IFA_LOCAL))
	}
	return addr.U32(unix.IFA_FLAGS)&unix.IFA_F_SECONDARY == 0 &&
		m.U32(unix.RTA_PRIORITY) == metric && within(unix.IFA_ADDRESS) &&
		m.Addr(unix.RTA_PREFSRC) == addr.Addr(unix.IFA_LOCAL) && m.Header[6] == unix.RT_SCOPE_LINK
}

// IsLinkLocals says whether the route is the one that the kernel gives every interface with IPv6.
func (m Message) IsLinkLocals() bool {
	return m.Header[5] == unix.RTPROT_KERNEL && m.Addr(unix.RTA_DST).IsLinkLocalUnicast() &&
		m.Family() == unix.AF_INET6 && m.U32(unix.RTA_PRIORITY) == addrMetric
}

// Expires is the rest of an IPv6 route's life in seconds; 0 is for ever. The kernel says it in ticks of 10 ms (struct
// rta_cacheinfo, rta_expires), and is told in seconds.
func (m Message) Expires() uint32 {
	if left := m.U32(unix.RTA_EXPIRES); left > 0 {
		return left
	}
	d := m.Get(unix.RTA_CACHEINFO)
	if len(d) < 12 || m.Family() != unix.AF_INET6 {
		return 0
	}
	return uint32(max(0, (int32(binary.NativeEndian.Uint32(d[8:]))+99)/100))
}

// RouteWithoutEnd leaves out what a person gave an end.
func (m Message) RouteWithoutEnd() Message {
	byProgram := m.Header[5] == unix.RTPROT_RA || m.Header[5] == unix.RTPROT_DHCP || m.Header[5] == unix.RTPROT_KERNEL
	if m.Type != unix.RTM_NEWROUTE || !byProgram || m.Expires() == 0 {
		return m
	}
	m.Attrs = slices.DeleteFunc(slices.Clone(m.Attrs),
		func(a wire.Attr) bool { return a.Type == unix.RTA_CACHEINFO || a.Type == unix.RTA_EXPIRES })
	return m
}

// AddFlags say how a route is added: never in place of one over another interface. But IPv6 has only one route of
// several paths for a prefix and metric, and this is it.
func (m Message) AddFlags() int {
	switch {
	case m.First:
		return unix.NLM_F_CREATE
	case m.Family() == unix.AF_INET6 && m.Get(unix.RTA_MULTIPATH) != nil:
		return unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	return unix.NLM_F_CREATE | unix.NLM_F_APPEND
}

// keptFlags are what a route is told; the other flags are how it is doing.
const keptFlags = unix.RTNH_F_ONLINK | unix.RTNH_F_PERVASIVE

// NewRoute is the request that makes or deletes the route over a device, in place of the one that it was read from.
func (m Message) NewRoute(typ, flags int, from, to Device) *nl.NetlinkRequest {
	header := bytes.Clone(m.Header)
	binary.NativeEndian.PutUint32(header[8:], m.RouteFlags()&keptFlags)
	named := m.Get(RouteNexthop) != nil
	req := m.Request(typ, flags, header, func(typ uint16, data []byte) ([]byte, bool) {
		switch typ {
		case unix.RTA_OIF:
			return binary.NativeEndian.AppendUint32(nil, uint32(to.Index)), !named
		case unix.RTA_MULTIPATH:
			return m.moveLegs(from, to), !named
		case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE: // the object's
			return data, !named
		}
		return data, typ != unix.RTA_CACHEINFO && typ != unix.RTA_EXPIRES
	})
	if left := m.Expires(); left > 0 && typ == unix.RTM_NEWROUTE {
		req.AddRawData(U32(unix.RTA_EXPIRES, left).Serialize())
	}
	return req
}

// Leg is one path of a route: struct rtnexthop (length, flags, hops, index), then attributes.
type Leg []byte

const rtnexthopLen = 8

// Index is the interface's.
func (l Leg) Index() int { return int(binary.NativeEndian.Uint32(l[4:])) }

// attrs are none where they are damaged.
func (l Leg) attrs() wire.Attrs {
	attrs, _ := wire.ParseAttrs(l[rtnexthopLen:])
	return attrs
}

// Gateway is the leg's.
func (l Leg) Gateway() netip.Addr { return Message{Message: wire.Message{Attrs: l.attrs()}}.Gateway() }

// Legs are the paths of a route that has several.
func (m Message) Legs() (list []Leg) {
	for rest := m.Get(unix.RTA_MULTIPATH); len(rest) >= rtnexthopLen; {
		n := int(binary.NativeEndian.Uint16(rest))
		if n < rtnexthopLen || n > len(rest) {
			break
		}
		list = append(list, Leg(rest[:n]))
		rest = rest[min((n+3)&^3, len(rest)):]
	}
	return list
}

// moveLegs is the attribute with the legs over one device going over another. Legs that become equal are one.
func (m Message) moveLegs(from, to Device) []byte {
	var out []Leg
	for _, l := range m.Legs() {
		l = bytes.Clone(l)
		l[2] &= keptFlags
		if l.Index() == from.Index {
			binary.NativeEndian.PutUint32(l[4:], uint32(to.Index))
		}
		if !slices.ContainsFunc(out, func(o Leg) bool { return bytes.Equal(o, l) }) {
			out = append(out, l)
		}
	}
	var data []byte
	for _, l := range out {
		data = append(append(data, l...), make([]byte, (4-len(l)%4)%4)...)
	}
	return data
}
