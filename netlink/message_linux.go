package netlink

import (
	"encoding/binary"
	"errors"
	"slices"

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
func (h *Handle) get(req *nl.NetlinkRequest, answer uint16) (kernelMessage, error) {
	body, err := h.socket.Get(req.Serialize(), answer)
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
func (h *Handle) dump(typ int, answer uint16, l listing, keep func(kernelMessage) bool) ([]kernelMessage, error) {
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
	bodies, err := h.socket.Dump(wire.Request(uint16(typ), unix.NLM_F_DUMP, ask), answer)
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
