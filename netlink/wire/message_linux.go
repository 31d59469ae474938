package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Message is one RTM_NEW… message of rtnetlink: its type, the body's fixed header, then attributes.
type Message struct {
	Type   uint16
	Header []byte
	Attrs
}

// HeaderLen is the length of the fixed header of a type of message, 0 for one that is not known: struct ifinfomsg,
// ifaddrmsg, rtmsg, ndmsg, fib_rule_hdr, nhmsg (include/uapi/linux/{rtnetlink,if_addr,neighbour,fib_rules,nexthop}.h).
func HeaderLen(typ uint16) int {
	switch typ {
	case unix.RTM_NEWLINK:
		return 16
	case unix.RTM_NEWROUTE, unix.RTM_NEWNEIGH, unix.RTM_NEWRULE:
		return 12
	case unix.RTM_NEWADDR, unix.RTM_NEWNEXTHOP:
		return 8
	}
	return 0
}

// Parse keeps the body; the attributes go where the given ones were.
func Parse(typ uint16, body []byte, over Attrs) (Message, error) {
	n := HeaderLen(typ)
	if n == 0 || len(body) < n {
		return Message{}, fmt.Errorf("netlink message of type %d with %d bytes", typ, len(body))
	}
	attrs, err := appendAttrs(over[:0], body[n:])
	return Message{typ, body[:n], attrs}, err
}

// Family is the first byte of every header.
func (m Message) Family() byte { return m.Header[0] }

// Index is the interface's in the header of links, addresses and neighbours.
func (m Message) Index() int { return int(int32(binary.NativeEndian.Uint32(m.Header[4:]))) }

// Prefix is the interface's own address in an RTM_NEWADDR, with the length of the subnet's prefix. IFA_ADDRESS is the
// peer's on a point-to-point link, but all that there is for IPv6 without a peer.
func (m Message) Prefix() netip.Prefix {
	a := m.Addr(unix.IFA_LOCAL)
	if !a.IsValid() {
		a = m.Addr(unix.IFA_ADDRESS)
	}
	return netip.PrefixFrom(a, int(m.Header[1])) // struct ifaddrmsg: ifa_prefixlen
}
