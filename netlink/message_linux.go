package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// kernelMessage is one RTM_NEW… message: its type, the body's fixed header, then attributes.
type kernelMessage struct {
	typ    uint16
	header []byte
	attrs  []attr

	lost  bool // it is remembered, not read: who carried it is gone
	first bool // a route before others of its prefix and metric, which go over other interfaces
}

type attr struct {
	typ  uint16
	data []byte
}

// headerLen are the lengths of the fixed headers: struct ifinfomsg, ifaddrmsg, rtmsg, ndmsg, fib_rule_hdr, nhmsg
// (include/uapi/linux/{rtnetlink,if_addr,neighbour,fib_rules,nexthop}.h).
var headerLen = map[uint16]int{
	unix.RTM_NEWLINK: 16, unix.RTM_NEWADDR: 8, unix.RTM_NEWROUTE: 12, unix.RTM_NEWNEIGH: 12, unix.RTM_NEWRULE: 12, unix.RTM_NEWNEXTHOP: 8,
}

// parseMessage keeps the body; the attributes go where the given ones were.
func parseMessage(typ uint16, body []byte, over []attr) (kernelMessage, error) {
	n := headerLen[typ]
	if n == 0 || len(body) < n {
		return kernelMessage{}, fmt.Errorf("netlink message of type %d with %d bytes", typ, len(body))
	}
	attrs, err := appendAttrs(over[:0], body[n:])
	return kernelMessage{typ: typ, header: body[:n], attrs: attrs}, err
}

// parseAttrs reads attributes: length with the four bytes before the value, type, value, up to three bytes of padding.
func parseAttrs(rest []byte) ([]attr, error) { return appendAttrs(make([]attr, 0, 8), rest) }

func appendAttrs(list []attr, rest []byte) ([]attr, error) {
	for len(rest) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(rest))
		if n < unix.SizeofRtAttr || n > len(rest) {
			return nil, fmt.Errorf("netlink attribute of %d bytes in %d", n, len(rest))
		}
		list = append(list, attr{binary.NativeEndian.Uint16(rest[2:]), rest[unix.SizeofRtAttr:n]})
		rest = rest[min((n+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(rest)):]
	}
	return list, nil
}

// family is the first byte of every header.
func (m kernelMessage) family() byte { return m.header[0] }

// index is the interface's in the header of addresses and neighbours.
func (m kernelMessage) index() int { return int(binary.NativeEndian.Uint32(m.header[4:])) }

func (m kernelMessage) get(typ uint16) []byte {
	for _, a := range m.attrs {
		if a.typ&^unix.NLA_F_NESTED == typ {
			return a.data
		}
	}
	return nil
}

func (m kernelMessage) u32(typ uint16) uint32 { return number(m.get(typ)) }

// number is the value of an attribute, 0 for one that is too short: a snapshot on disk may be anything.
func number(data []byte) uint32 {
	if len(data) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(data)
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

// ownAddress is the interface's own address in an RTM_NEWADDR: IFA_ADDRESS is the peer's on a point-to-point link, but all
// that there is for IPv6 without a peer.
func (m kernelMessage) ownAddress() netip.Addr {
	if a := m.addr(unix.IFA_LOCAL); a.IsValid() {
		return a
	}
	return m.addr(unix.IFA_ADDRESS)
}

// get asks for one object.
func (h *Handle) get(req *nl.NetlinkRequest, answer uint16) (kernelMessage, error) {
	req.Sockets = h.same
	bodies, err := req.Execute(unix.NETLINK_ROUTE, answer)
	if err != nil {
		return kernelMessage{}, err
	}
	if len(bodies) != 1 {
		return kernelMessage{}, fmt.Errorf("netlink answers with %d messages of type %d instead of one", len(bodies), answer)
	}
	return parseMessage(answer, bodies[0], nil)
}

// listing narrows a dump down.
type listing struct {
	family byte   // 0 for all
	index  int    // the interface's, of addresses and neighbours; 0 for all
	flags  byte   // of neighbours
	table  uint32 // of routes; 0 for all
}

func everything(kernelMessage) bool { return true }

// dump asks for objects of a kind, and returns those that keep wants.
func (h *Handle) dump(typ int, answer uint16, l listing, keep func(kernelMessage) bool) ([]kernelMessage, error) {
	ask := make([]byte, headerLen[answer])
	ask[0] = l.family
	switch typ {
	case unix.RTM_GETADDR:
		binary.NativeEndian.PutUint32(ask[4:], uint32(l.index))
	case unix.RTM_GETNEIGH:
		ask[10] = l.flags
		if l.index != 0 {
			ask = append(ask, u32(unix.NDA_IFINDEX, uint32(l.index)).Serialize()...)
		}
	case unix.RTM_GETROUTE:
		if l.table != 0 {
			ask = append(ask, u32(unix.RTA_TABLE, l.table).Serialize()...)
		}
	case unix.RTM_GETLINK:
		ask = append(ask, brief().Serialize()...)
	}
	bodies, err := retryDump(func() ([][]byte, error) {
		req := nl.NewNetlinkRequest(typ, unix.NLM_F_DUMP)
		req.Sockets = h.same
		req.AddRawData(ask)
		return req.Execute(unix.NETLINK_ROUTE, answer)
	})
	if l.index != 0 && errors.Is(err, unix.ENODEV) || l.table != 0 && errors.Is(err, unix.ENOENT) {
		return nil, nil // the interface, or the table, is gone, and everything that it had
	}
	if err != nil {
		return nil, err
	}
	var out []kernelMessage
	var attrs []attr // of one message after the other: most are not kept, and there may be a thousand
	for _, b := range bodies {
		m, err := parseMessage(answer, b, attrs)
		if err != nil {
			return nil, err
		}
		attrs = m.attrs
		if l.index != 0 && m.index() != l.index || l.table != 0 && m.u32(unix.RTA_TABLE) != l.table {
			continue // an older kernel lists all
		}
		if keep(m) {
			m.attrs = slices.Clone(m.attrs)
			out = append(out, m)
		}
	}
	return out, nil
}
