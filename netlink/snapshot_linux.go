package netlink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A snapshot is what an interface carries as a list of netlink requests that would give it that again, as "ip route
// save" has them; the first message says which interface it was. It is for the time after somebody deleted the
// interface, in the same boot: interface indexes in it are this boot's.

// Snapshot reads what the host has on the bridge. It returns known itself if that says the same, lifetimes that pass
// aside. Left out is what others bring back: neighbours that are learnt, those of pods, and policy rules, which
// outlive their interface.
func (h *Handle) Snapshot(b Bridge, known []byte) ([]byte, error) {
	c, err := h.readCarried(device{b.Link.Index, b.Link.Name})
	if err != nil {
		return known, fmt.Errorf("read the configuration of %s: %w", b.Link.Name, err)
	}
	c.neighs = slices.DeleteFunc(c.neighs, func(m kernelMessage) bool {
		return !m.stays() || bytes.HasPrefix(m.get(unix.NDA_LLADDR), podMACPrefix)
	})
	now, err := centiseconds()
	if err != nil {
		return known, err
	}
	for _, m := range c.addrs {
		m.wholeLifetimes(now)
	}
	seen := c.encode(false)
	old := decodeSnapshot(known)
	if bytes.Equal(decodeSnapshot(seen).encode(true), old.encode(true)) {
		return known, nil
	}
	return seen, nil
}

// podMACPrefix begins the MAC of every pod, and of nobody else in the fabric (network.MACOf).
var podMACPrefix = []byte{0x0a, 0x58}

// centiseconds is the kernel's time as addresses have it: since boot, in hundredths of a second.
func centiseconds() (uint32, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return uint32(t.Sec*100 + t.Nsec/1e7), nil
}

// wholeLifetimes makes the rest of an address's lifetimes the whole again. A lost address comes back with a whole
// lease: the host had better have it a little too long than not until its DHCP client asks again.
func (m kernelMessage) wholeLifetimes(now uint32) {
	d := m.get(unix.IFA_CACHEINFO) // struct ifa_cacheinfo: preferred and valid in seconds, created and updated
	if len(d) < 16 {
		return
	}
	age := uint32(max(0, int32(now-binary.NativeEndian.Uint32(d[12:])))) / 100
	for _, at := range []int{0, 4} {
		if rest := binary.NativeEndian.Uint32(d[at:]); rest != forever {
			binary.NativeEndian.PutUint32(d[at:], min(rest+age, forever-1))
		}
	}
}

const forever = 0xffffffff

// encode writes the snapshot. With timeless, what changes by the mere passing of time is the same always.
func (c hostConf) encode(timeless bool) []byte {
	var out []byte
	add := func(req *nl.NetlinkRequest) {
		req.Seq = 0
		out = append(out, req.Serialize()...)
		out = append(out, make([]byte, (unix.NLMSG_ALIGNTO-len(out)%unix.NLMSG_ALIGNTO)%unix.NLMSG_ALIGNTO)...)
	}
	add(linkMessage(unix.RTM_NEWLINK, 0, c.dev.index, false, str(unix.IFLA_IFNAME, c.dev.name)))
	for _, m := range c.addrs {
		add(m.timeless(timeless).newAddr(0, 0, c.dev, c.dev))
	}
	for _, list := range c.routes.all() {
		for _, m := range *list {
			if m.typ == unix.RTM_NEWNEXTHOP {
				add(m.newNexthop(c.dev, c.dev))
				continue
			}
			add(m.timeless(timeless).newRoute(unix.RTM_NEWROUTE, m.addFlags(), c.dev, c.dev))
		}
	}
	for _, m := range c.neighs {
		add(m.newNeigh(c.dev))
	}
	return out
}

func (m kernelMessage) timeless(really bool) kernelMessage {
	if !really {
		return m
	}
	m.attrs = slices.Clone(m.attrs)
	for i, a := range m.attrs {
		switch {
		case m.typ == unix.RTM_NEWADDR && a.typ == unix.IFA_CACHEINFO && len(a.data) >= 16:
			a.data = bytes.Clone(a.data)
			for _, at := range []int{0, 4} {
				if binary.NativeEndian.Uint32(a.data[at:]) != forever {
					binary.NativeEndian.PutUint32(a.data[at:], 0)
				}
			}
		case m.typ == unix.RTM_NEWROUTE && a.typ == unix.RTA_EXPIRES:
			a.data = make([]byte, len(a.data))
		}
		m.attrs[i] = a
	}
	return m
}

// decodeSnapshot reads what encode wrote, as something lost. It ends at what it does not understand: half of the
// host's configuration is better than none.
func decodeSnapshot(data []byte) (c hostConf) {
	for len(data) >= unix.NLMSG_HDRLEN {
		n := int(binary.NativeEndian.Uint32(data))
		if n < unix.NLMSG_HDRLEN || n > len(data) {
			break
		}
		m, err := parseMessage(binary.NativeEndian.Uint16(data[4:]), data[unix.NLMSG_HDRLEN:n], nil)
		if err != nil {
			break
		}
		m.lost = true
		m.first = m.typ == unix.RTM_NEWROUTE && m.family() == unix.AF_INET && binary.NativeEndian.Uint16(data[6:])&unix.NLM_F_APPEND == 0
		c.place(m)
		data = data[min((n+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(data)):]
	}
	return c
}

func (c *hostConf) place(m kernelMessage) {
	at := &c.neighs
	switch {
	case m.typ == unix.RTM_NEWLINK:
		c.dev = device{m.index(), text(m.get(unix.IFLA_IFNAME))}
		return
	case m.typ == unix.RTM_NEWADDR:
		at = &c.addrs
	case m.typ == unix.RTM_NEWNEXTHOP && m.get(nhaGroup) != nil:
		at = &c.routes.groups
	case m.typ == unix.RTM_NEWNEXTHOP:
		at = &c.routes.nexthops
	case m.typ == unix.RTM_NEWROUTE && m.get(rtaNHID) != nil:
		at = &c.routes.byObject
	case m.typ == unix.RTM_NEWROUTE && m.viaGateway():
		at = &c.routes.gateways
	case m.typ == unix.RTM_NEWROUTE:
		at = &c.routes.direct
	}
	*at = append(*at, m)
}

// SnapshotAddresses are the addresses in a snapshot, without link-local ones of IPv6.
func SnapshotAddresses(data []byte) []netip.Prefix { return prefixesOf(decodeSnapshot(data).addrs) }
