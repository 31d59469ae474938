package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrNotFound: there is no such link. ErrExists: there is one already. ErrMasterTaken: the master is a port of
// another bridge. ErrNoPort: the kernel does not take the master as a port of a bridge.
var (
	ErrNotFound    = errors.New("link not found")
	ErrExists      = errors.New("link exists already")
	ErrMasterTaken = errors.New("the master belongs to another bridge")
	ErrNoPort      = errors.New("the master cannot be a port of a bridge")
)

// ErrSlow means that the kernel's work queues did not get to do within seconds what was asked for; what was made is to
// be taken away.
var ErrSlow = errors.New("the kernel is too busy")

// ErrNetNS: there is no such network namespace. ErrRoute: the kernel does not take a route of the pod, beside its
// addresses and other routes.
var (
	ErrNetNS = errors.New("network namespace not found")
	ErrRoute = errors.New("route not possible")
)

// Handle holds the socket of one command.
type Handle struct {
	socket *wire.Socket
}

// Open opens the socket in the calling thread's network namespace, or takes the one that is shared.
func Open(sockets *wire.Shared) (*Handle, error) {
	s, err := sockets.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	return &Handle{s}, nil
}

// openAt opens the socket in another namespace.
func openAt(ns wire.Namespace) (h *Handle, err error) {
	err = ns.Do(func() (err error) {
		h, err = Open(nil)
		return err
	})
	return h, err
}

// Close closes the socket, or gives it back.
func (h *Handle) Close() { h.socket.Close() }

// Link is what the plugins look at in a link.
type Link struct {
	Index  int
	Name   string
	Kind   string // rtnl kind; "" or "device" for hardware
	Master int    // index of the bridge it is a port of
	MTU    int
	MAC    net.HardwareAddr
	Up     bool
	Alias  string

	state  byte // IF_OPER_…
	parent int  // index of the link that it is on, in the same network namespace; 0 if there is none
	peer   int  // index of a veth's other end, in whatever namespace
	peerNS int  // the identifier of that namespace and 1; 0: this one
}

func (l Link) device() rtnl.Device { return rtnl.Device{Index: l.Index, Name: l.Name} }

// LeadsAway says whether the link is a veth with its other end in another namespace, which lives then.
func (l Link) LeadsAway() bool { return l.Kind == "veth" && l.peerNS > 0 }

// linkOf reads an RTM_NEWLINK. Of a struct ifinfomsg the index is at 4, the flags are at 8.
func linkOf(m rtnl.Message) Link {
	l := Link{
		Index: m.Index(), Kind: m.Nested(unix.IFLA_LINKINFO).Text(nl.IFLA_INFO_KIND), Name: m.Text(unix.IFLA_IFNAME),
		Master: int(m.U32(unix.IFLA_MASTER)), MTU: int(m.U32(unix.IFLA_MTU)),
		MAC: m.Get(unix.IFLA_ADDRESS), Up: binary.NativeEndian.Uint32(m.Header[8:])&unix.IFF_UP != 0,
		Alias: m.Text(unix.IFLA_IFALIAS),
	}
	l.peer = int(m.U32(unix.IFLA_LINK))
	if m.Get(unix.IFLA_LINK_NETNSID) == nil {
		l.parent = l.peer
	} else {
		l.peerNS = int(int32(m.U32(unix.IFLA_LINK_NETNSID))) + 1
	}
	if state := m.Get(unix.IFLA_OPERSTATE); len(state) == 1 {
		l.state = state[0]
	}
	return l
}

// Link finds a link by name.
// Error: ErrNotFound.
func (h *Handle) Link(name string) (Link, error) {
	l, err := h.link(rtnl.LinkMessage(unix.RTM_GETLINK, 0, 0, false,
		rtnl.Text(unix.IFLA_IFNAME, name), rtnl.WithoutStats()))
	if err != nil {
		return Link{}, linkError(name, err)
	}
	return l, nil
}

func (h *Handle) link(req *nl.NetlinkRequest) (Link, error) {
	m, err := rtnl.Get(h.socket, req, unix.RTM_NEWLINK)
	if err != nil {
		return Link{}, err
	}
	return linkOf(m), nil
}

func linkError(name string, err error) error {
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return fmt.Errorf("look up link %s: %w", name, err)
}

// Index finds a link's index by its name. Unlike looking it up by netlink this needs no lock of the kernel's for which
// hundreds of processes may wait.
// Error: ErrNotFound.
func (h *Handle) Index(name string) (int, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("look up link %s: %w", name, err)
	}
	if err := unix.IoctlIfreq(h.socket.FD(), unix.SIOCGIFINDEX, request); err != nil {
		return 0, linkError(name, err)
	}
	return int(request.Uint32()), nil
}

// Links lists all links.
func (h *Handle) Links() ([]Link, error) {
	all, err := rtnl.Dump(h.socket, unix.RTM_GETLINK, unix.RTM_NEWLINK, rtnl.Listing{}, rtnl.Everything)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	links := make([]Link, 0, len(all))
	for _, m := range all {
		links = append(links, linkOf(m))
	}
	return links, nil
}

// Addresses lists the addresses of a link, link-local IPv6 ones left out.
func (h *Handle) Addresses(l Link) ([]netip.Prefix, error) {
	list, err := rtnl.Dump(h.socket, unix.RTM_GETADDR, unix.RTM_NEWADDR, rtnl.Listing{Index: l.Index}, rtnl.Everything)
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", l.Name, err)
	}
	return rtnl.Prefixes(list), nil
}
