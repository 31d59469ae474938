package netlink

import (
	"bytes"
	"encoding/binary"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// What the host has on the bridge has no end. Whoever renews a lease, or listens to a router, does that on the master,
// which neither has the address nor hears the router while it is a port; and the fabric does not take an address from a
// VM that runs, nor does its router go away. The terms under which the master had it are kept in the snapshot, and come
// back with the configuration.

// withoutEnd is the configuration as the bridge gets it.
func (c hostConf) withoutEnd() hostConf {
	c.addrs = each(c.addrs, kernelMessage.addrWithoutEnd)
	c.routes = c.routes.each(kernelMessage.routeWithoutEnd)
	return c
}

// extend makes what has an end on the bridge endless: an earlier version, or a client, gave it one. The kernel renews
// its own.
func (c hostConf) extend(s *wire.Socket) error {
	do := &batch{}
	for _, m := range c.addrs {
		if m.ends() && !m.addrWithoutEnd().ends() && m.U32(unix.IFA_FLAGS)&unix.IFA_F_MANAGETEMPADDR == 0 && m.Get(ifaProto) == nil {
			do.add("extend address "+m.Prefix().Addr().String(), m.addrWithoutEnd().newAddr(unix.NLM_F_REPLACE, 0, c.dev, c.dev), unix.ENOENT)
		}
	}
	return do.send(s)
}

// onTerms is the configuration with the lifetimes that it has in one of the others, where it has none itself. The first
// that knows counts.
func (c hostConf) onTerms(others ...hostConf) hostConf {
	lifetimes, expiries := map[string][]byte{}, map[string]uint32{}
	for _, o := range others {
		for _, m := range o.addrs {
			if info := m.cacheinfo(); info != nil && lifetimes[m.addrKey()] == nil {
				lifetimes[m.addrKey()] = info
			}
		}
		for _, list := range o.routes.all() {
			for _, m := range *list {
				if _, known := expiries[m.pathKey()]; !known && m.Type == unix.RTM_NEWROUTE {
					expiries[m.pathKey()] = m.expires()
				}
			}
		}
	}
	c.addrs = each(c.addrs, func(m kernelMessage) kernelMessage {
		if then := lifetimes[m.addrKey()]; then != nil && !m.ends() {
			m = m.with(unix.IFA_CACHEINFO, bytes.Clone(then))
		}
		return m
	})
	c.routes = c.routes.each(func(m kernelMessage) kernelMessage {
		if m.Type == unix.RTM_NEWROUTE && m.expires() == 0 && expiries[m.pathKey()] > 0 {
			m = m.with(unix.RTA_EXPIRES, binary.NativeEndian.AppendUint32(nil, expiries[m.pathKey()]))
		}
		return m
	})
	return c
}

func each(list []kernelMessage, change func(kernelMessage) kernelMessage) []kernelMessage {
	out := make([]kernelMessage, 0, len(list))
	for _, m := range list {
		out = append(out, change(m))
	}
	return out
}

func (r hostRoutes) each(change func(kernelMessage) kernelMessage) hostRoutes {
	for _, list := range r.all() {
		*list = each(*list, change)
	}
	return r
}
