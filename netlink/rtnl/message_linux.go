package rtnl

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

// Message is one RTM_NEW… message.
type Message struct {
	wire.Message

	Lost  bool // it is remembered, not read: who carried it is gone
	First bool // a route before others of its prefix and metric, which go over other interfaces
}

// Parse keeps the body; the attributes go where the given ones were.
func Parse(typ uint16, body []byte, over wire.Attrs) (Message, error) {
	m, err := wire.Parse(typ, body, over)
	return Message{Message: m}, err
}

// Request is the message as a request. edit may change the attributes on the way, or drop one (nil, false).
func (m Message) Request(typ, flags int, header []byte,
	edit func(typ uint16, data []byte) ([]byte, bool)) *nl.NetlinkRequest {
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

// Get asks for one object.
func Get(s *wire.Socket, req *nl.NetlinkRequest, answer uint16) (Message, error) {
	body, err := s.Get(req.Serialize(), answer)
	if err != nil {
		return Message{}, err
	}
	return Parse(answer, body, nil)
}

// Listing narrows a dump down.
type Listing struct {
	Family byte   // 0 for all
	Index  int    // the interface's, of addresses and neighbours; 0 for all
	Flags  byte   // of neighbours
	Table  uint32 // of routes; 0 for all
}

// Everything keeps whatever the kernel lists.
func Everything(Message) bool { return true }

// Dump asks for objects of a kind, and returns those that keep wants.
func Dump(s *wire.Socket, typ int, answer uint16, l Listing, keep func(Message) bool) ([]Message, error) {
	ask := make([]byte, wire.HeaderLen(answer))
	ask[0] = l.Family
	switch typ {
	case unix.RTM_GETADDR:
		binary.NativeEndian.PutUint32(ask[4:], uint32(l.Index))
	case unix.RTM_GETNEIGH:
		ask[10] = l.Flags
		if l.Index != 0 {
			ask = wire.AppendU32(ask, unix.NDA_IFINDEX, uint32(l.Index))
		}
	case unix.RTM_GETROUTE:
		if l.Table != 0 {
			ask = wire.AppendU32(ask, unix.RTA_TABLE, l.Table)
		}
	case unix.RTM_GETLINK:
		ask = append(ask, WithoutStats().Serialize()...)
	}
	bodies, err := s.Dump(wire.Request(uint16(typ), unix.NLM_F_DUMP, ask), answer)
	if l.Index != 0 && errors.Is(err, unix.ENODEV) || l.Table != 0 && errors.Is(err, unix.ENOENT) {
		return nil, nil // the interface, or the table, is gone, and everything that it had
	}
	if err != nil {
		return nil, err
	}
	var out []Message
	var attrs wire.Attrs // of one message after the other: most are not kept, and there may be a thousand
	for _, b := range bodies {
		m, err := Parse(answer, b, attrs)
		if err != nil {
			return nil, err
		}
		attrs = m.Attrs
		if l.Index != 0 && m.Index() != l.Index || l.Table != 0 && m.U32(unix.RTA_TABLE) != l.Table {
			continue // an older kernel lists all
		}
		if keep(m) {
			m.Attrs = slices.Clone(m.Attrs)
			out = append(out, m)
		}
	}
	return out, nil
}

// WithoutStats leaves a link's statistics out of an answer, a third of it (RTEXT_FILTER_SKIP_STATS).
func WithoutStats() *nl.RtAttr { return U32(unix.IFLA_EXT_MASK, 1<<3) }

// IsIP says whether the message is about IPv4 or IPv6.
func (m Message) IsIP() bool { return m.Family() == unix.AF_INET || m.Family() == unix.AF_INET6 }

// Family is AF_INET or AF_INET6.
func Family(a netip.Addr) int {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// Keys are what an address, a route or a nexthop object is known by on its interface. A route of several paths is known
// by each, too: IPv6 has only one route for a prefix and metric.
func (m Message) Keys() []string {
	switch m.Type {
	case unix.RTM_NEWADDR:
		return []string{"address " + m.AddrKey()}
	case unix.RTM_NEWROUTE:
		list := []string{"route " + m.PathKey()}
		for _, l := range m.Legs() {
			one := m
			one.Attrs = slices.Concat(l.attrs(), m.Attrs)
			list = append(list, "route "+one.PathKey())
		}
		return list
	}
	return []string{fmt.Sprintf("nexthop %d", m.U32(NexthopID))}
}

// Name names them for messages.
func (m Message) Name() string {
	switch m.Type {
	case unix.RTM_NEWADDR:
		return fmt.Sprintf("address %s/%d", m.Prefix().Addr(), m.Header[1])
	case unix.RTM_NEWROUTE:
		return "route " + m.Route()
	}
	return m.Keys()[0]
}

// Ignore lists the errors that are none: of what was lost, anything, since it may not fit the host any more.
func (m Message) Ignore(errs ...syscall.Errno) []syscall.Errno {
	if m.Lost {
		return []syscall.Errno{Anything}
	}
	return errs
}

// With is the message with another value of an attribute, or with that besides.
func (m Message) With(typ uint16, data []byte) Message {
	m.Attrs = slices.Clone(m.Attrs)
	if i := slices.IndexFunc(m.Attrs, func(a wire.Attr) bool { return a.Type == typ }); i >= 0 {
		m.Attrs[i].Value = data
	} else {
		m.Attrs = append(m.Attrs, wire.Attr{Type: typ, Value: data})
	}
	return m
}

// Timeless is the message, really or not, without what changes by the mere passing of time.
func (m Message) Timeless(really bool) Message {
	switch {
	case !really:
	case m.Type == unix.RTM_NEWADDR && m.Cacheinfo() != nil:
		info := bytes.Clone(m.Cacheinfo())
		for _, at := range []int{0, 4} {
			if binary.NativeEndian.Uint32(info[at:]) != Forever {
				binary.NativeEndian.PutUint32(info[at:], 0)
			}
		}
		return m.With(unix.IFA_CACHEINFO, info)
	case m.Type == unix.RTM_NEWROUTE && m.Expires() > 0:
		return m.With(unix.RTA_EXPIRES, binary.NativeEndian.AppendUint32(nil, 1))
	}
	return m
}

// Centiseconds is the kernel's time as addresses have it: since boot, in hundredths of a second.
func Centiseconds() (uint32, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return uint32(t.Sec*100 + t.Nsec/1e7), nil
}

// Device is an interface, as messages and the kernel name it.
type Device struct {
	Index int
	Name  string
}
