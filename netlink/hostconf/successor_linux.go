package hostconf

import (
	"slices"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"golang.org/x/sys/unix"
)

// SuccessorOf is the IPv4 address, among what the host had, whose place another one has taken on the master: the first
// one of a subnet of which the master now has an address, with a default route, but not this one. So a DHCP client
// leaves it that got another address; the old one it could not take off the bridge. Azure does not deliver to that any
// more, and the host would go on sending from it. nil: there is none.
func (c Conf) SuccessorOf(had Conf) *rtnl.Message {
	isDefault := func(m rtnl.Message) bool {
		return m.Family() == unix.AF_INET && m.Header[1] == 0 && m.U32(unix.RTA_TABLE) == unix.RT_TABLE_MAIN
	}
	if !slices.ContainsFunc(c.Routes.gateways, isDefault) {
		return nil
	}
	for _, now := range c.Addrs {
		first := slices.IndexFunc(had.Addrs, now.SameSubnet)
		is := func(m rtnl.Message) bool { return m.Prefix().Addr() == had.Addrs[first].Prefix().Addr() }
		if now.Family() == unix.AF_INET && first >= 0 && !slices.ContainsFunc(c.Addrs, is) {
			return &had.Addrs[first]
		}
	}
	return nil
}

// without is the configuration without an address, and without the routes that have it as their source. nil is none.
func (c Conf) without(gone *rtnl.Message) Conf {
	if gone == nil {
		return c
	}
	address := gone.Prefix().Addr()
	return c.Of(func(m rtnl.Message) bool {
		switch m.Type {
		case unix.RTM_NEWADDR:
			return m.Prefix().Addr() != address
		case unix.RTM_NEWROUTE:
			return m.Addr(unix.RTA_PREFSRC) != address
		}
		return true
	})
}

// AsLost is the configuration as something that may not fit any more, nor be needed.
func (c Conf) AsLost() Conf {
	mark := func(m rtnl.Message) rtnl.Message {
		m.Lost = true
		return m
	}
	c.Addrs, c.Routes, c.Neighs = each(c.Addrs, mark), c.Routes.each(mark), each(c.Neighs, mark)
	return c
}
