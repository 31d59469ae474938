package netlink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// What the host has on the bridge has no end. Whoever renews a lease, or listens to a router, does that on the master,
// which neither has the address nor hears the router while it is a port; and the fabric does not take an address from a
// VM that runs, nor does its router go away. The terms under which the master had it are kept in the snapshot, and come
// back with the configuration.

const forever = 0xffffffff

// withoutEnd is the configuration as the bridge gets it.
func (c hostConf) withoutEnd() hostConf {
	c.addrs = each(c.addrs, kernelMessage.addrWithoutEnd)
	c.routes = c.routes.each(kernelMessage.routeWithoutEnd)
	return c
}

// extend makes what has an end on the bridge endless: an earlier version, or a client, gave it one. The kernel renews
// its own.
func (h *Handle) extend(c hostConf) error {
	do := &batch{}
	for _, m := range c.addrs {
		if m.ends() && !m.addrWithoutEnd().ends() && m.U32(unix.IFA_FLAGS)&unix.IFA_F_MANAGETEMPADDR == 0 && m.Get(ifaProto) == nil {
			do.add("extend address "+m.Prefix().Addr().String(), m.addrWithoutEnd().newAddr(unix.NLM_F_REPLACE, 0, c.dev, c.dev), unix.ENOENT)
		}
	}
	return do.send(h.socket)
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

// addrKey is what an address is known by on its interface.
func (m kernelMessage) addrKey() string {
	return fmt.Sprintf("%d %d %x %x", m.Family(), m.Header[1], m.Get(unix.IFA_LOCAL), m.Get(unix.IFA_ADDRESS))
}

// pathKey is what a route is known by on its interface.
func (m kernelMessage) pathKey() string {
	return fmt.Sprintf("%s %d %s %d", m.routeKey(), m.Header[7], m.gateway(), m.U32(rtaNHID))
}

// cacheinfo is an address's struct ifa_cacheinfo: preferred and valid time in seconds, when it was made and updated.
func (m kernelMessage) cacheinfo() []byte {
	if d := m.Get(unix.IFA_CACHEINFO); len(d) >= 16 {
		return d
	}
	return nil
}

// ends says whether the address has a lifetime.
func (m kernelMessage) ends() bool {
	d := m.cacheinfo()
	return d != nil && binary.NativeEndian.Uint32(d[4:]) != forever
}

// addrWithoutEnd leaves out temporary addresses of IPv6: the kernel makes new ones when they end. What is not preferred
// stays so.
func (m kernelMessage) addrWithoutEnd() kernelMessage {
	temporary := m.Family() == unix.AF_INET6 && m.U32(unix.IFA_FLAGS)&unix.IFA_F_TEMPORARY != 0
	if temporary || m.cacheinfo() == nil {
		return m
	}
	info := bytes.Clone(m.cacheinfo())
	for _, at := range []int{0, 4} {
		if binary.NativeEndian.Uint32(info[at:]) != 0 {
			binary.NativeEndian.PutUint32(info[at:], forever)
		}
	}
	return m.with(unix.IFA_CACHEINFO, info)
}

// routeWithoutEnd leaves out what a person gave an end.
func (m kernelMessage) routeWithoutEnd() kernelMessage {
	byProgram := m.Header[5] == unix.RTPROT_RA || m.Header[5] == unix.RTPROT_DHCP || m.Header[5] == unix.RTPROT_KERNEL
	if m.Type != unix.RTM_NEWROUTE || !byProgram || m.expires() == 0 {
		return m
	}
	m.Attrs = slices.DeleteFunc(slices.Clone(m.Attrs), func(a wire.Attr) bool { return a.Type == unix.RTA_CACHEINFO || a.Type == unix.RTA_EXPIRES })
	return m
}

// expires is the rest of an IPv6 route's life in seconds; 0 is for ever. The kernel says it in ticks of 10 ms (struct
// rta_cacheinfo, rta_expires), and is told in seconds.
func (m kernelMessage) expires() uint32 {
	if left := m.U32(unix.RTA_EXPIRES); left > 0 {
		return left
	}
	d := m.Get(unix.RTA_CACHEINFO)
	if len(d) < 12 || m.Family() != unix.AF_INET6 {
		return 0
	}
	return uint32(max(0, (int32(binary.NativeEndian.Uint32(d[8:]))+99)/100))
}

// wholeLifetimes makes the rest of an address's lifetimes the whole again: it comes back with a whole lease. The host
// had better have it a little too long than not until its DHCP client asks again.
func (m kernelMessage) wholeLifetimes(now uint32) {
	d := m.cacheinfo()
	if d == nil {
		return
	}
	age := uint32(max(0, int32(now-binary.NativeEndian.Uint32(d[12:])))) / 100
	for _, at := range []int{0, 4} {
		if rest := binary.NativeEndian.Uint32(d[at:]); rest != forever {
			binary.NativeEndian.PutUint32(d[at:], min(rest+age, forever-1))
		}
	}
}

// centiseconds is the kernel's time as addresses have it: since boot, in hundredths of a second.
func centiseconds() (uint32, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return uint32(t.Sec*100 + t.Nsec/1e7), nil
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
