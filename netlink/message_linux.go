package netlink

import (
	"bytes"
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

// kernelMessage is one RTM_NEW… message.
type kernelMessage struct {
	wire.Message

	lost  bool // it is remembered, not read: who carried it is gone
	first bool // a route before others of its prefix and metric, which go over other interfaces
}

// parseMessage keeps the body; the attributes go where the given ones were.
func parseMessage(typ uint16, body []byte, over wire.Attrs) (kernelMessage, error) {
	m, err := wire.Parse(typ, body, over)
	return kernelMessage{Message: m}, err
}

// request is the message as a request. edit may change the attributes on the way, or drop one (nil, false).
func (m kernelMessage) request(typ, flags int, header []byte, edit func(typ uint16, data []byte) ([]byte, bool)) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(typ, flags)
	req.AddRawData(header)
	for _, a := range m.Attrs {
		data, keep := edit(a.Type&^unix.NLA_F_NESTED, a.Value)
		if keep {
			req.AddRawData(nl.NewRtAttr(int(a.Type), data).Serialize())
		}
	}
	return req
}

// get asks for one object.
func get(s *wire.Socket, req *nl.NetlinkRequest, answer uint16) (kernelMessage, error) {
	body, err := s.Get(req.Serialize(), answer)
	if err != nil {
		return kernelMessage{}, err
	}
	return parseMessage(answer, body, nil)
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
func dump(s *wire.Socket, typ int, answer uint16, l listing, keep func(kernelMessage) bool) ([]kernelMessage, error) {
	ask := make([]byte, wire.HeaderLen(answer))
	ask[0] = l.family
	switch typ {
	case unix.RTM_GETADDR:
		binary.NativeEndian.PutUint32(ask[4:], uint32(l.index))
	case unix.RTM_GETNEIGH:
		ask[10] = l.flags
		if l.index != 0 {
			ask = wire.AppendU32(ask, unix.NDA_IFINDEX, uint32(l.index))
		}
	case unix.RTM_GETROUTE:
		if l.table != 0 {
			ask = wire.AppendU32(ask, unix.RTA_TABLE, l.table)
		}
	case unix.RTM_GETLINK:
		ask = append(ask, brief().Serialize()...)
	}
	bodies, err := s.Dump(wire.Request(uint16(typ), unix.NLM_F_DUMP, ask), answer)
	if l.index != 0 && errors.Is(err, unix.ENODEV) || l.table != 0 && errors.Is(err, unix.ENOENT) {
		return nil, nil // the interface, or the table, is gone, and everything that it had
	}
	if err != nil {
		return nil, err
	}
	var out []kernelMessage
	var attrs wire.Attrs // of one message after the other: most are not kept, and there may be a thousand
	for _, b := range bodies {
		m, err := parseMessage(answer, b, attrs)
		if err != nil {
			return nil, err
		}
		attrs = m.Attrs
		if l.index != 0 && m.Index() != l.index || l.table != 0 && m.U32(unix.RTA_TABLE) != l.table {
			continue // an older kernel lists all
		}
		if keep(m) {
			m.Attrs = slices.Clone(m.Attrs)
			out = append(out, m)
		}
	}
	return out, nil
}

// brief leaves a link's statistics out of an answer, a third of it (RTEXT_FILTER_SKIP_STATS).
func brief() *nl.RtAttr { return u32(unix.IFLA_EXT_MASK, 1<<3) }

// isIP says whether the message is about IPv4 or IPv6.
func (m kernelMessage) isIP() bool { return m.Family() == unix.AF_INET || m.Family() == unix.AF_INET6 }

func family(a netip.Addr) int {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// keys are what an address, a route or a nexthop object is known by on its interface. A route of several paths is known
// by each, too: IPv6 has only one route for a prefix and metric.
func (m kernelMessage) keys() []string {
	switch m.Type {
	case unix.RTM_NEWADDR:
		return []string{"address " + m.addrKey()}
	case unix.RTM_NEWROUTE:
		list := []string{"route " + m.pathKey()}
		for _, l := range m.legs() {
			one := m
			one.Attrs = slices.Concat(l.attrs(), m.Attrs)
			list = append(list, "route "+one.pathKey())
		}
		return list
	}
	return []string{fmt.Sprintf("nexthop %d", m.U32(nhaID))}
}

// name names them for messages.
func (m kernelMessage) name() string {
	switch m.Type {
	case unix.RTM_NEWADDR:
		return fmt.Sprintf("address %s/%d", m.Prefix().Addr(), m.Header[1])
	case unix.RTM_NEWROUTE:
		return "route " + m.route()
	}
	return m.keys()[0]
}

// ignore lists the errors that are none: of what was lost, anything, since it may not fit the host any more.
func (m kernelMessage) ignore(errs ...syscall.Errno) []syscall.Errno {
	if m.lost {
		return []syscall.Errno{anything}
	}
	return errs
}

// with is the message with another value of an attribute, or with that besides.
func (m kernelMessage) with(typ uint16, data []byte) kernelMessage {
	m.Attrs = slices.Clone(m.Attrs)
	if i := slices.IndexFunc(m.Attrs, func(a wire.Attr) bool { return a.Type == typ }); i >= 0 {
		m.Attrs[i].Value = data
	} else {
		m.Attrs = append(m.Attrs, wire.Attr{Type: typ, Value: data})
	}
	return m
}

// timeless is the message, really or not, without what changes by the mere passing of time.
func (m kernelMessage) timeless(really bool) kernelMessage {
	switch {
	case !really:
	case m.Type == unix.RTM_NEWADDR && m.cacheinfo() != nil:
		info := bytes.Clone(m.cacheinfo())
		for _, at := range []int{0, 4} {
			if binary.NativeEndian.Uint32(info[at:]) != forever {
				binary.NativeEndian.PutUint32(info[at:], 0)
			}
		}
		return m.with(unix.IFA_CACHEINFO, info)
	case m.Type == unix.RTM_NEWROUTE && m.expires() > 0:
		return m.with(unix.RTA_EXPIRES, binary.NativeEndian.AppendUint32(nil, 1))
	}
	return m
}

// centiseconds is the kernel's time as addresses have it: since boot, in hundredths of a second.
func centiseconds() (uint32, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return uint32(t.Sec*100 + t.Nsec/1e7), nil
}

// device is an end of a move.
type device struct {
	index int
	name  string
}
