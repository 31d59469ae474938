package platform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"
	"syscall"
)

// Attribute types that the syscall package does not name. include/uapi/linux/if_link.h
const (
	attrLinkAlias   = 20 // IFLA_IFALIAS
	attrLinkExtMask = 29 // IFLA_EXT_MASK
	attrInfoKind    = 1  // IFLA_INFO_KIND

	extMaskSkipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS: a third of a link's message, and nobody asks for it
)

// dumpAttempts bounds how often a dump that was interrupted is repeated.
const dumpAttempts = 5

// Interfaces returns the network interfaces of the calling thread's network namespace, ordered by index.
//
// It asks rtnetlink rather than sysfs, because a sysfs mount shows the namespace that it was mounted in, whoever reads it.
//
// On a node where pods start all the time, a listing may be interrupted by changes again and again. What the last attempts
// saw is then merged: an interface that exists throughout can be missed by one listing, when another in the same hash
// bucket is removed (Linux before 6.9), but not plausibly by all.
func Interfaces() ([]Interface, error) {
	links := map[int]Interface{}
	err := collect(dump, syscall.RTM_GETLINK, linkRequest(0, ""), func() { clear(links) }, func(m syscall.NetlinkMessage) {
		if i, ok := parseLink(m); ok {
			links[i.Index] = i
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	prefixes := map[int][]netip.Prefix{}
	addrRequest := make([]byte, syscall.SizeofIfAddrmsg)
	err = collect(dump, syscall.RTM_GETADDR, addrRequest, func() { clear(prefixes) }, func(m syscall.NetlinkMessage) {
		if i, p, ok := parseAddr(m); ok && !slices.Contains(prefixes[i], p) {
			prefixes[i] = append(prefixes[i], p)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return assemble(links, prefixes), nil
}

// InterfaceByName returns one interface, without its addresses. On a node with hundreds of pods that takes a hundredth of the
// time of listing all. It says false if there is none of that name.
func InterfaceByName(name string) (Interface, bool, error) {
	i, ok, err := oneLink(linkRequest(0, name))
	if err != nil || !ok || i.Master == 0 || i.Slave {
		return i, ok, err
	}
	master, known, err := oneLink(linkRequest(i.Master, ""))
	if err != nil {
		return Interface{}, false, err
	}
	i.Slave = known && master.Kind != "bridge"
	return i, true, nil
}

func oneLink(body []byte) (i Interface, ok bool, err error) {
	msgs, _, err := ask(syscall.RTM_GETLINK, 0, body)
	if errors.Is(err, syscall.ENODEV) {
		return i, false, nil
	}
	if err != nil {
		return i, false, fmt.Errorf("look up an interface: %w", err)
	}
	for _, m := range msgs {
		if found, is := parseLink(m); is {
			i, ok = found, true
		}
	}
	return i, ok, nil
}

// dumper is the signature of dump.
type dumper func(request uint16, body []byte) (msgs []syscall.NetlinkMessage, interrupted bool, err error)

// collect feeds the messages of a dump to add. After an uninterrupted dump only its messages count: reset forgets those of
// earlier attempts.
func collect(ask dumper, request uint16, body []byte, reset func(), add func(syscall.NetlinkMessage)) error {
	var err error
	answered := false
	for range dumpAttempts {
		var msgs []syscall.NetlinkMessage
		var interrupted bool
		msgs, interrupted, err = ask(request, body)
		if errors.Is(err, syscall.EINTR) { // the kernel may end a changed dump with an error
			continue
		}
		if err != nil {
			return err
		}
		answered = true
		if !interrupted {
			reset()
		}
		for _, m := range msgs {
			add(m)
		}
		if !interrupted {
			return nil
		}
	}
	if !answered {
		return err
	}
	return nil
}

// assemble joins links and addresses and finds the slaves, for which the master must be known.
func assemble(links map[int]Interface, prefixes map[int][]netip.Prefix) []Interface {
	out := make([]Interface, 0, len(links))
	for index, i := range links {
		if i.Master != 0 && links[i.Master].Kind != "bridge" {
			i.Slave = true
		}
		i.Prefixes = prefixes[index]
		out = append(out, i)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Index < out[j].Index }) // slices.SortFunc of such a large struct is 33 KB of program
	return out
}

// linkRequest is a struct ifinfomsg and attributes: for all links, or for one by its index or by its name.
func linkRequest(index int, name string) []byte {
	ne := binary.NativeEndian
	b := make([]byte, syscall.SizeofIfInfomsg)
	ne.PutUint32(b[4:], uint32(index))
	b = ne.AppendUint16(b, syscall.SizeofRtAttr+4)
	b = ne.AppendUint16(b, attrLinkExtMask)
	b = ne.AppendUint32(b, extMaskSkipStats)
	if name == "" {
		return b
	}
	b = ne.AppendUint16(b, uint16(syscall.SizeofRtAttr+len(name)+1))
	b = ne.AppendUint16(b, syscall.IFLA_IFNAME)
	b = append(append(b, name...), 0)
	return append(b, make([]byte, -len(b)&3)...) // the kernel wants the message's length aligned no less than the rest
}

// parseLink decodes RTM_NEWLINK: a struct ifinfomsg (family, pad, type uint16, index int32, flags uint32, change uint32)
// and attributes.
func parseLink(m syscall.NetlinkMessage) (Interface, bool) {
	if m.Header.Type != syscall.RTM_NEWLINK || len(m.Data) < syscall.SizeofIfInfomsg {
		return Interface{}, false
	}
	flags := binary.NativeEndian.Uint32(m.Data[8:])
	i := Interface{
		Index:    int(int32(binary.NativeEndian.Uint32(m.Data[4:]))),
		Up:       flags&syscall.IFF_UP != 0,
		Loopback: flags&syscall.IFF_LOOPBACK != 0,
		Slave:    flags&syscall.IFF_SLAVE != 0,
	}
	for _, a := range parseAttrs(m.Data[syscall.SizeofIfInfomsg:]) {
		switch a.kind {
		case syscall.IFLA_IFNAME:
			i.Name = a.text()
		case syscall.IFLA_ADDRESS:
			i.MAC = parseMAC(a.value)
		case syscall.IFLA_MTU:
			i.MTU = a.number()
		case syscall.IFLA_MASTER:
			i.Master = a.number()
		case attrLinkAlias:
			i.Alias = a.text()
		case syscall.IFLA_LINKINFO:
			for _, info := range parseAttrs(a.value) {
				if info.kind == attrInfoKind {
					i.Kind = info.text()
				}
			}
		}
	}
	return i, i.Index > 0 && i.Name != ""
}

// parseMAC drops what is no MAC: a tunnel's four-byte address, and the zeros of the loopback device.
func parseMAC(b []byte) net.HardwareAddr {
	if len(b) < 6 || !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
		return nil
	}
	return net.HardwareAddr(slices.Clone(b))
}

// parseAddr decodes RTM_NEWADDR: a struct ifaddrmsg (family, prefix length, flags, scope uint8, index uint32) and
// attributes. IFA_LOCAL is the interface's own address. IFA_ADDRESS is the same, but the peer's on a point-to-point link; for
// IPv6 without a peer it is all there is.
func parseAddr(m syscall.NetlinkMessage) (index int, p netip.Prefix, ok bool) {
	if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < syscall.SizeofIfAddrmsg {
		return 0, p, false
	}
	var raw []byte
	for _, a := range parseAttrs(m.Data[syscall.SizeofIfAddrmsg:]) {
		if a.kind == syscall.IFA_LOCAL || a.kind == syscall.IFA_ADDRESS && raw == nil {
			raw = a.value
		}
	}
	addr, ok := netip.AddrFromSlice(raw)
	if !ok {
		return 0, p, false
	}
	p = netip.PrefixFrom(addr, int(m.Data[1]))
	return int(binary.NativeEndian.Uint32(m.Data[4:])), p, p.IsValid()
}
