package platform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// dumpAttempts bounds how often a dump that was interrupted is repeated.
const dumpAttempts = 5

// Host is asked about the calling thread's network namespace. The zero Host opens a socket for each question.
type Host struct {
	Sockets *wire.Shared // for one question after the other; nil: a new one for each
}

// NewHost is a Host whose questions share sockets, which stay open: it is for one command. All of them are to be about
// one network namespace.
func NewHost() Host { return Host{&wire.Shared{}} }

// Interfaces returns the network interfaces of the calling thread's network namespace, ordered by index.
//
// It asks rtnetlink rather than sysfs, because a sysfs mount shows the namespace that it was mounted in, whoever reads
// it.
//
// On a node where pods start all the time, a listing may be interrupted by changes again and again. What the last
// attempts saw is then merged: an interface that exists throughout can be missed by one listing, when another in the
// same hash bucket is removed (Linux before 6.9), but not plausibly by all.
func (h Host) Interfaces() ([]Interface, error) {
	s, err := h.Sockets.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	defer s.Close()
	links := map[int]Interface{}
	err = collect(s, unix.RTM_GETLINK, linkRequest(0, ""), func() { clear(links) }, func(m wire.Message) {
		if i := interfaceOf(m); i.Index > 0 && i.Name != "" {
			links[i.Index] = i
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	prefixes := map[int][]netip.Prefix{}
	err = collect(s, unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg),
		func() { clear(prefixes) }, func(m wire.Message) {
			if p := m.Prefix(); p.IsValid() && !slices.Contains(prefixes[m.Index()], p) {
				prefixes[m.Index()] = append(prefixes[m.Index()], p)
			}
		})
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return assemble(links, prefixes), nil
}

// InterfaceByName returns one interface, without its addresses. On a node with hundreds of pods that takes a hundredth
// of the time of listing all. It says false if there is none of that name.
func (h Host) InterfaceByName(name string) (Interface, bool, error) {
	s, err := h.Sockets.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return Interface{}, false, err
	}
	defer s.Close()
	i, ok, err := oneLink(s, linkRequest(0, name))
	if err != nil || !ok || i.Master == 0 || i.Slave {
		return i, ok, err
	}
	master, known, err := oneLink(s, linkRequest(i.Master, ""))
	if err != nil {
		return Interface{}, false, err
	}
	i.Slave = known && master.Kind != "bridge"
	return i, true, nil
}

func oneLink(s *wire.Socket, request []byte) (i Interface, ok bool, err error) {
	body, err := s.Get(wire.Request(unix.RTM_GETLINK, 0, request), unix.RTM_NEWLINK)
	if errors.Is(err, unix.ENODEV) {
		return i, false, nil
	}
	if err != nil {
		return i, false, fmt.Errorf("look up an interface: %w", err)
	}
	m, err := wire.Parse(unix.RTM_NEWLINK, body, nil)
	return interfaceOf(m), err == nil, err
}

// dumper is a socket.
type dumper interface {
	DumpOnce(request []byte, answer uint16) ([][]byte, error)
}

// collect feeds the messages of a dump to add. After an uninterrupted dump only its messages count: reset forgets those
// of earlier attempts.
func collect(s dumper, request uint16, body []byte, reset func(), add func(wire.Message)) error {
	answer := request - 2 // RTM_GET… is RTM_NEW… and 2
	answered := false
	for range dumpAttempts {
		bodies, err := s.DumpOnce(wire.Request(request, unix.NLM_F_DUMP, body), answer)
		whole := !errors.Is(err, wire.ErrInterrupted)
		if whole && err != nil {
			return err
		}
		if whole {
			reset()
		}
		var over wire.Attrs // of one message after the other
		for _, b := range bodies {
			m, err := wire.Parse(answer, b, over)
			if err != nil {
				return err
			}
			over = m.Attrs
			add(m)
		}
		if whole {
			return nil
		}
		answered = answered || len(bodies) > 0
	}
	if !answered {
		return wire.ErrInterrupted
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
	sort.Slice(out, func(i, j int) bool {
		return out[i].Index < out[j].Index
	}) // slices.SortFunc of such a large struct is 33 KB of program
	return out
}

// linkRequest is a struct ifinfomsg and attributes: for all links, or for one by its index or by its name. It asks for
// no statistics (RTEXT_FILTER_SKIP_STATS), which are a third of a link's message.
func linkRequest(index int, name string) []byte {
	const skipStats = 1 << 3
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	b = wire.AppendU32(b, unix.IFLA_EXT_MASK, skipStats)
	if name != "" {
		b = wire.AppendText(b, unix.IFLA_IFNAME, name)
	}
	return b
}

// interfaceOf reads an RTM_NEWLINK: of a struct ifinfomsg the index is at 4, the flags are at 8.
func interfaceOf(m wire.Message) Interface {
	flags := wire.U32(m.Header[8:])
	const kind = 1 // IFLA_INFO_KIND, include/uapi/linux/if_link.h
	return Interface{
		Index: m.Index(), Name: m.Text(unix.IFLA_IFNAME), MAC: macOf(m.Get(unix.IFLA_ADDRESS)),
		MTU: int(m.U32(unix.IFLA_MTU)),
		Up:  flags&unix.IFF_UP != 0, Loopback: flags&unix.IFF_LOOPBACK != 0, Slave: flags&unix.IFF_SLAVE != 0,
		Kind: m.Nested(unix.IFLA_LINKINFO).Text(kind), Master: int(m.U32(unix.IFLA_MASTER)), Alias: m.Text(unix.IFLA_IFALIAS),
	}
}

// macOf drops what is no MAC: a tunnel's four-byte address, and the zeros of the loopback device.
func macOf(b []byte) net.HardwareAddr {
	if len(b) < 6 || !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
		return nil
	}
	return net.HardwareAddr(slices.Clone(b))
}
