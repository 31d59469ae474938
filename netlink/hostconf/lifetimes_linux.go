package hostconf

import (
	"bytes"
	"encoding/binary"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// What the host has on the bridge has no end. Whoever renews a lease, or listens to a router, does that on the master,
// which neither has the address nor hears the router while it is a port; and the fabric does not take an address from a
// VM that runs, nor does its router go away. The terms under which the master had it are kept in the snapshot, and come
// back with the configuration.

// WithoutEnd is the configuration as the bridge gets it.
func (c Conf) WithoutEnd() Conf {
	c.Addrs = each(c.Addrs, rtnl.Message.AddrWithoutEnd)
	c.Routes = c.Routes.each(rtnl.Message.RouteWithoutEnd)
	return c
}

// Extend makes what has an end on the bridge endless: an earlier version, or a client, gave it one. The kernel renews
// its own.
func (c Conf) Extend(s *wire.Socket) error {
	do := &rtnl.Batch{}
	for _, m := range c.Addrs {
		if m.Ends() && !m.AddrWithoutEnd().Ends() && m.U32(unix.IFA_FLAGS)&unix.IFA_F_MANAGETEMPADDR == 0 &&
			m.Get(rtnl.AddressProto) == nil {
			do.Add("extend address "+m.Prefix().Addr().String(),
				m.AddrWithoutEnd().NewAddr(unix.NLM_F_REPLACE, 0, c.Dev, c.Dev), unix.ENOENT)
		}
	}
	return do.Send(s)
}

// OnTerms is the configuration with the lifetimes that it has in one of the others, where it has none itself. The first
// that knows counts.
func (c Conf) OnTerms(others ...Conf) Conf {
	lifetimes, expiries := map[string][]byte{}, map[string]uint32{}
	for _, o := range others {
		for _, m := range o.Addrs {
			if info := m.Cacheinfo(); info != nil && lifetimes[m.AddrKey()] == nil {
				lifetimes[m.AddrKey()] = info
			}
		}
		for _, list := range o.Routes.all() {
			for _, m := range *list {
				if _, known := expiries[m.PathKey()]; !known && m.Type == unix.RTM_NEWROUTE {
					expiries[m.PathKey()] = m.Expires()
				}
			}
		}
	}
	c.Addrs = each(c.Addrs, func(m rtnl.Message) rtnl.Message {
		if then := lifetimes[m.AddrKey()]; then != nil && !m.Ends() {
			m = m.With(unix.IFA_CACHEINFO, bytes.Clone(then))
		}
		return m
	})
	c.Routes = c.Routes.each(func(m rtnl.Message) rtnl.Message {
		if m.Type == unix.RTM_NEWROUTE && m.Expires() == 0 && expiries[m.PathKey()] > 0 {
			m = m.With(unix.RTA_EXPIRES, binary.NativeEndian.AppendUint32(nil, expiries[m.PathKey()]))
		}
		return m
	})
	return c
}

func each(list []rtnl.Message, change func(rtnl.Message) rtnl.Message) []rtnl.Message {
	out := make([]rtnl.Message, 0, len(list))
	for _, m := range list {
		out = append(out, change(m))
	}
	return out
}

func (r Routes) each(change func(rtnl.Message) rtnl.Message) Routes {
	for _, list := range r.all() {
		*list = each(*list, change)
	}
	return r
}
