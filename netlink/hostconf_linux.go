package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// hostConf is what a host interface carries: its addresses, routes and neighbours, as the kernel's own
// messages. To move it, the messages are sent back with the index of another interface, so labels,
// lifetimes, metrics, tables, source addresses and whatever the kernel adds in future come along.
type hostConf struct {
	addrs, routes, neighs []kernelMessage
}

// kernelMessage is the body of one RTM_NEW… message: a fixed header, then attributes.
type kernelMessage struct {
	header []byte
	attrs  []attr
}

type attr struct {
	typ  uint16
	data []byte
}

// Lengths of the fixed headers: struct ifaddrmsg, rtmsg, ndmsg (include/uapi/linux/{if_addr,rtnetlink,neighbour}.h).
const (
	ifaddrmsgLen = 8
	rtmsgLen     = 12
	ndmsgLen     = 12
)

func parseMessage(body []byte, headerLen int) (kernelMessage, error) {
	if len(body) < headerLen {
		return kernelMessage{}, fmt.Errorf("netlink message of %d bytes is too short", len(body))
	}
	list, err := nl.ParseRouteAttr(body[headerLen:])
	if err != nil {
		return kernelMessage{}, fmt.Errorf("parse a netlink message: %w", err)
	}
	m := kernelMessage{header: append([]byte(nil), body[:headerLen]...)}
	for _, a := range list {
		m.attrs = append(m.attrs, attr{a.Attr.Type, append([]byte(nil), a.Value...)})
	}
	return m, nil
}

func (m kernelMessage) get(typ uint16) []byte {
	for _, a := range m.attrs {
		if a.typ&^unix.NLA_F_NESTED == typ {
			return a.data
		}
	}
	return nil
}

func (m kernelMessage) u32(typ uint16) uint32 {
	if d := m.get(typ); len(d) >= 4 {
		return binary.NativeEndian.Uint32(d)
	}
	return 0
}

func (m kernelMessage) addr(typ uint16) netip.Addr {
	a, _ := netip.AddrFromSlice(m.get(typ))
	return a
}

// request is the message as a request. edit may change the attributes on the way, or drop one (nil, false).
func (m kernelMessage) request(typ, flags int, header []byte, edit func(typ uint16, data []byte) ([]byte, bool)) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(typ, flags)
	req.AddRawData(header)
	for _, a := range m.attrs {
		data, keep := edit(a.typ&^unix.NLA_F_NESTED, a.data)
		if keep {
			req.AddRawData(nl.NewRtAttr(int(a.typ), data).Serialize())
		}
	}
	return req
}

func dump(typ int, answer uint16, family, headerLen int, keep func(kernelMessage) bool) ([]kernelMessage, error) {
	bodies, err := retryDump(func() ([][]byte, error) {
		req := nl.NewNetlinkRequest(typ, unix.NLM_F_DUMP)
		switch typ { // the strict form of the request's header differs by what is asked
		case unix.RTM_GETNEIGH:
			req.AddData(&vnl.Ndmsg{Family: uint8(family)})
		default:
			req.AddData(nl.NewIfInfomsg(family))
		}
		return req.Execute(unix.NETLINK_ROUTE, answer)
	})
	if err != nil {
		return nil, err
	}
	var out []kernelMessage
	for _, b := range bodies {
		m, err := parseMessage(b, headerLen)
		if err != nil {
			return nil, err
		}
		if keep(m) {
			out = append(out, m)
		}
	}
	return out, nil
}

// readHostConf reads what the interface carries. What the kernel makes by itself is left out: link-local
// IPv6 addresses, connected and local routes, neighbours that are not resolved.
func readHostConf(index int) (hostConf, error) {
	var c hostConf
	var errs error
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		addrs, err := dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, family, ifaddrmsgLen, func(m kernelMessage) bool {
			return m.header[0] == byte(family) && binary.NativeEndian.Uint32(m.header[4:]) == uint32(index) &&
				(family == unix.AF_INET || m.header[3] != unix.RT_SCOPE_LINK)
		})
		errs = errors.Join(errs, err)
		c.addrs = append(c.addrs, addrs...)
		direct, gateways, err := readRoutes(family, index)
		errs = errors.Join(errs, err)
		c.routes = append(append(c.routes, direct...), gateways...)
		neighs, err := dump(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, family, ndmsgLen, func(m kernelMessage) bool {
			state := binary.NativeEndian.Uint16(m.header[8:])
			return m.header[0] == byte(family) && binary.NativeEndian.Uint32(m.header[4:]) == uint32(index) &&
				len(m.get(unix.NDA_LLADDR)) == 6 && state&(unix.NUD_NOARP|unix.NUD_INCOMPLETE|unix.NUD_FAILED|unix.NUD_NONE) == 0
		})
		errs = errors.Join(errs, err)
		c.neighs = append(c.neighs, neighs...)
	}
	if errs != nil {
		return hostConf{}, fmt.Errorf("read the configuration of interface %d: %w", index, errs)
	}
	return c, nil
}

// readRoutes returns the routes over the interface, those that reach neighbours before those by gateways,
// which need them.
func readRoutes(family, index int) (direct, gateways []kernelMessage, err error) {
	all, err := dump(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, family, rtmsgLen, func(m kernelMessage) bool {
		typ, proto := m.header[7], m.header[5]
		return m.header[0] == byte(family) && m.u32(unix.RTA_OIF) == uint32(index) &&
			typ == unix.RTN_UNICAST && proto != unix.RTPROT_KERNEL && binary.NativeEndian.Uint32(m.header[8:])&unix.RTM_F_CLONED == 0
	})
	for _, m := range all {
		if m.get(unix.RTA_GATEWAY) == nil && m.get(unix.RTA_VIA) == nil {
			direct = append(direct, m)
		} else {
			gateways = append(gateways, m)
		}
	}
	return direct, gateways, err
}

// device is an end of a move.
type device struct {
	index int
	name  string
}

// addTo appends the requests that give the configuration to a device.
func (c hostConf) addTo(b *batch, from, to device) {
	for _, m := range c.addrs {
		b.add(fmt.Sprintf("add address %s to %s", m.addr(unix.IFA_ADDRESS), to.name), m.newAddr(from, to), unix.EEXIST)
	}
	for _, m := range c.routes {
		// Append, not replace: a route of the same prefix and metric over another interface stays.
		b.add(fmt.Sprintf("add route %s to %s", m.route(), to.name), m.newRoute(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, to), unix.EEXIST)
	}
	for _, m := range c.neighs {
		b.add(fmt.Sprintf("add neighbour %s to %s", m.addr(unix.NDA_DST), to.name), m.newNeigh(to))
	}
}

// removeFrom appends the requests that take the configuration off a device. Secondary addresses go before
// their primary, and what disappears along with something else is no failure.
func (c hostConf) removeFrom(b *batch, from device) {
	for i := len(c.routes) - 1; i >= 0; i-- {
		m := c.routes[i]
		b.add(fmt.Sprintf("delete route %s from %s", m.route(), from.name), m.newRoute(unix.RTM_DELROUTE, 0, from), unix.ESRCH, unix.ENOENT)
	}
	for i := len(c.addrs) - 1; i >= 0; i-- {
		m := c.addrs[i]
		req := m.request(unix.RTM_DELADDR, 0, m.header, func(typ uint16, data []byte) ([]byte, bool) {
			return data, typ == unix.IFA_LOCAL || typ == unix.IFA_ADDRESS
		})
		b.add(fmt.Sprintf("delete address %s from %s", m.addr(unix.IFA_ADDRESS), from.name), req, unix.EADDRNOTAVAIL)
	}
	for _, m := range c.neighs {
		if binary.NativeEndian.Uint16(m.header[8:])&unix.NUD_PERMANENT == 0 {
			continue // ages out by itself
		}
		req := m.request(unix.RTM_DELNEIGH, 0, m.header, func(typ uint16, data []byte) ([]byte, bool) { return data, typ == unix.NDA_DST })
		b.add(fmt.Sprintf("delete neighbour %s from %s", m.addr(unix.NDA_DST), from.name), req, unix.ENOENT)
	}
}

func (m kernelMessage) newAddr(from, to device) *nl.NetlinkRequest {
	h := append([]byte(nil), m.header...)
	binary.NativeEndian.PutUint32(h[4:], uint32(to.index))
	const noState = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_SECONDARY | unix.IFA_F_DEPRECATED
	h[2] &^= byte(noState & 0xff)
	v6 := h[0] == unix.AF_INET6
	if v6 {
		h[2] |= unix.IFA_F_NODAD // the address is ours already: it must not be tentative for a second
	}
	return m.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, h, func(typ uint16, data []byte) ([]byte, bool) {
		switch typ {
		case unix.IFA_LABEL:
			label := strings.TrimRight(string(data), "\x00")
			if label == from.name || strings.HasPrefix(label, from.name+":") {
				label = to.name + strings.TrimPrefix(label, from.name)
			}
			return nl.ZeroTerminated(label), len(label) < unix.IFNAMSIZ
		case unix.IFA_FLAGS:
			flags := binary.NativeEndian.Uint32(data) &^ noState
			if v6 {
				flags |= unix.IFA_F_NODAD
			}
			return binary.NativeEndian.AppendUint32(nil, flags), true
		}
		return data, true
	})
}

func (m kernelMessage) newRoute(typ, flags int, to device) *nl.NetlinkRequest {
	h := append([]byte(nil), m.header...)
	const state = unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN | unix.RTNH_F_OFFLOAD | unix.RTNH_F_TRAP | unix.RTNH_F_UNRESOLVED
	binary.NativeEndian.PutUint32(h[8:], binary.NativeEndian.Uint32(h[8:])&^state)
	return m.request(typ, flags, h, func(typ uint16, data []byte) ([]byte, bool) {
		if typ == unix.RTA_OIF {
			return binary.NativeEndian.AppendUint32(nil, uint32(to.index)), true
		}
		return data, typ != unix.RTA_CACHEINFO
	})
}

func (m kernelMessage) newNeigh(to device) *nl.NetlinkRequest {
	h := append([]byte(nil), m.header...)
	binary.NativeEndian.PutUint32(h[4:], uint32(to.index))
	if binary.NativeEndian.Uint16(h[8:])&unix.NUD_PERMANENT == 0 {
		binary.NativeEndian.PutUint16(h[8:], unix.NUD_STALE) // used at once, verified soon
	}
	return m.request(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, h, func(typ uint16, data []byte) ([]byte, bool) {
		return data, typ == unix.NDA_DST || typ == unix.NDA_LLADDR
	})
}

// route names a route for messages.
func (m kernelMessage) route() string {
	dst := "default"
	if a := m.addr(unix.RTA_DST); a.IsValid() {
		dst = fmt.Sprintf("%s/%d", a, m.header[1])
	}
	if gw := m.addr(unix.RTA_GATEWAY); gw.IsValid() {
		dst += " by " + gw.String()
	}
	return dst
}
