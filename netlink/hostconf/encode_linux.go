package hostconf

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A snapshot is what an interface carries as a list of netlink requests that would give it that again, as "ip route
// save" has them; the first message says which interface it was. It is for the time after somebody deleted the
// interface, in the same boot: interface indexes in it are this boot's.

// Encode writes the snapshot. With timeless, what changes by the mere passing of time is the same always.
func (c Conf) Encode(timeless bool) []byte {
	var out []byte
	add := func(req *nl.NetlinkRequest) {
		req.Seq = 0
		out = append(out, req.Serialize()...)
		out = append(out, make([]byte, (unix.NLMSG_ALIGNTO-len(out)%unix.NLMSG_ALIGNTO)%unix.NLMSG_ALIGNTO)...)
	}
	add(rtnl.LinkMessage(unix.RTM_NEWLINK, 0, c.Dev.Index, false, rtnl.Text(unix.IFLA_IFNAME, c.Dev.Name)))
	for _, m := range c.Addrs {
		add(m.Timeless(timeless).NewAddr(0, 0, c.Dev, c.Dev))
	}
	for _, list := range c.Routes.all() {
		for _, m := range *list {
			if m.Type == unix.RTM_NEWNEXTHOP {
				add(m.NewNexthop(c.Dev, c.Dev))
				continue
			}
			add(m.Timeless(timeless).NewRoute(unix.RTM_NEWROUTE, m.AddFlags(), c.Dev, c.Dev))
		}
	}
	for _, m := range c.Neighs {
		add(m.NewNeigh(c.Dev))
	}
	return out
}

// Decode reads what Encode wrote, as something lost.
func Decode(data []byte) (c Conf) {
	for m := range lostMessages(data) {
		c.place(m)
	}
	return c
}

// lostMessages ends at what it does not understand: half of the host's configuration is better than none.
func lostMessages(data []byte) iter.Seq[rtnl.Message] {
	return func(yield func(rtnl.Message) bool) {
		for len(data) >= unix.NLMSG_HDRLEN {
			n := int(binary.NativeEndian.Uint32(data))
			if n < unix.NLMSG_HDRLEN || n > len(data) {
				return
			}
			m, err := rtnl.Parse(binary.NativeEndian.Uint16(data[4:]), data[unix.NLMSG_HDRLEN:n], nil)
			if err != nil {
				return
			}
			m.Lost = true
			m.First = m.Type == unix.RTM_NEWROUTE && m.Family() == unix.AF_INET &&
				binary.NativeEndian.Uint16(data[6:])&unix.NLM_F_APPEND == 0
			if !yield(m) {
				return
			}
			data = data[min((n+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(data)):]
		}
	}
}

func (c *Conf) place(m rtnl.Message) {
	at := &c.Neighs
	switch {
	case m.Type == unix.RTM_NEWLINK:
		c.Dev = rtnl.Device{Index: m.Index(), Name: m.Text(unix.IFLA_IFNAME)}
		return
	case m.Type == unix.RTM_NEWADDR:
		at = &c.Addrs
	case m.Type == unix.RTM_NEWNEXTHOP && m.Get(rtnl.NexthopGroup) != nil:
		at = &c.Routes.groups
	case m.Type == unix.RTM_NEWNEXTHOP:
		at = &c.Routes.nexthops
	case m.Type == unix.RTM_NEWROUTE && m.Get(rtnl.RouteNexthop) != nil:
		at = &c.Routes.byObject
	case m.Type == unix.RTM_NEWROUTE && m.ViaGateway():
		at = &c.Routes.gateways
	case m.Type == unix.RTM_NEWROUTE:
		at = &c.Routes.direct
	}
	*at = append(*at, m)
}

// Addresses are the addresses in a snapshot, without link-local ones of IPv6. They stand before all else.
func Addresses(data []byte) []netip.Prefix {
	var list []rtnl.Message
	for m := range lostMessages(data) {
		if m.Type == unix.RTM_NEWADDR {
			list = append(list, m)
		} else if m.Type != unix.RTM_NEWLINK {
			break
		}
	}
	return rtnl.Prefixes(list)
}
