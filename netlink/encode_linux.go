package netlink

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// encode writes the snapshot. With timeless, what changes by the mere passing of time is the same always.
func (c hostConf) encode(timeless bool) []byte {
	var out []byte
	add := func(req *nl.NetlinkRequest) {
		req.Seq = 0
		out = append(out, req.Serialize()...)
		out = append(out, make([]byte, (unix.NLMSG_ALIGNTO-len(out)%unix.NLMSG_ALIGNTO)%unix.NLMSG_ALIGNTO)...)
	}
	add(rtnl.LinkMessage(unix.RTM_NEWLINK, 0, c.dev.Index, false, rtnl.Text(unix.IFLA_IFNAME, c.dev.Name)))
	for _, m := range c.addrs {
		add(m.Timeless(timeless).NewAddr(0, 0, c.dev, c.dev))
	}
	for _, list := range c.routes.all() {
		for _, m := range *list {
			if m.Type == unix.RTM_NEWNEXTHOP {
				add(m.NewNexthop(c.dev, c.dev))
				continue
			}
			add(m.Timeless(timeless).NewRoute(unix.RTM_NEWROUTE, m.AddFlags(), c.dev, c.dev))
		}
	}
	for _, m := range c.neighs {
		add(m.NewNeigh(c.dev))
	}
	return out
}

// decodeSnapshot reads what encode wrote, as something lost.
func decodeSnapshot(data []byte) (c hostConf) {
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
			m.First = m.Type == unix.RTM_NEWROUTE && m.Family() == unix.AF_INET && binary.NativeEndian.Uint16(data[6:])&unix.NLM_F_APPEND == 0
			if !yield(m) {
				return
			}
			data = data[min((n+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(data)):]
		}
	}
}

func (c *hostConf) place(m rtnl.Message) {
	at := &c.neighs
	switch {
	case m.Type == unix.RTM_NEWLINK:
		c.dev = rtnl.Device{Index: m.Index(), Name: m.Text(unix.IFLA_IFNAME)}
		return
	case m.Type == unix.RTM_NEWADDR:
		at = &c.addrs
	case m.Type == unix.RTM_NEWNEXTHOP && m.Get(rtnl.NexthopGroup) != nil:
		at = &c.routes.groups
	case m.Type == unix.RTM_NEWNEXTHOP:
		at = &c.routes.nexthops
	case m.Type == unix.RTM_NEWROUTE && m.Get(rtnl.RouteNexthop) != nil:
		at = &c.routes.byObject
	case m.Type == unix.RTM_NEWROUTE && m.ViaGateway():
		at = &c.routes.gateways
	case m.Type == unix.RTM_NEWROUTE:
		at = &c.routes.direct
	}
	*at = append(*at, m)
}

// SnapshotAddresses are the addresses in a snapshot, without link-local ones of IPv6. They stand before all else.
func SnapshotAddresses(data []byte) []netip.Prefix {
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
