package netlink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ErrNotFound: there is no such link. ErrExists: there is one already. ErrMasterTaken: the master is a port of
// another bridge.
var (
	ErrNotFound    = errors.New("link not found")
	ErrExists      = errors.New("link exists already")
	ErrMasterTaken = errors.New("the master belongs to another bridge")
)

// ErrSlow means that the kernel's work queues did not get to do within seconds what was asked for; what was made is to be taken away.
var ErrSlow = errors.New("the kernel is too busy")

// Handle holds the sockets of one command: one for single requests, one for batches and raw dumps.
type Handle struct {
	rt    *vnl.Handle
	batch *nl.NetlinkSocket
	dumps map[int]*nl.SocketHandle // the same socket, as the library wants it
}

// Open opens the sockets in the process's network namespace.
func Open() (*Handle, error) { return openAt(netns.None()) }

// openAt opens the sockets in another namespace; the calling thread is back in its own when it returns.
func openAt(ns netns.NsHandle) (*Handle, error) {
	rt, err := vnl.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	s, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		rt.Close()
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	// Acknowledgements without a copy of the request: hundreds of them fit into the receive buffer.
	_ = unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return &Handle{rt, s, map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

// Close closes the sockets.
func (h *Handle) Close() {
	h.rt.Close()
	h.batch.Close()
}

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
}

func linkOf(l vnl.Link) Link {
	a := l.Attrs()
	return Link{Index: a.Index, Name: a.Name, Kind: l.Type(), Master: a.MasterIndex, MTU: a.MTU, MAC: a.HardwareAddr, Up: a.Flags&net.FlagUp != 0, Alias: a.Alias}
}

// Link finds a link by name. Error: ErrNotFound.
func (h *Handle) Link(name string) (Link, error) {
	l, err := h.rt.LinkByName(name)
	if err != nil {
		return Link{}, linkError(name, err)
	}
	return linkOf(l), nil
}

func linkError(name string, err error) error {
	var missing vnl.LinkNotFoundError
	if errors.As(err, &missing) || errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return fmt.Errorf("look up link %s: %w", name, err)
}

// Index finds a link's index by its name. Unlike looking it up by netlink this needs no lock of the kernel's for which hundreds
// of processes may wait. Error: ErrNotFound.
func (h *Handle) Index(name string) (int, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("look up link %s: %w", name, err)
	}
	if err := unix.IoctlIfreq(h.batch.GetFd(), unix.SIOCGIFINDEX, request); err != nil {
		return 0, linkError(name, err)
	}
	return int(request.Uint32()), nil
}

// Links lists all links.
func (h *Handle) Links() ([]Link, error) {
	all, err := retryDump(h.rt.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	links := make([]Link, 0, len(all))
	for _, l := range all {
		links = append(links, linkOf(l))
	}
	return links, nil
}

// Addresses lists the addresses of a link, link-local IPv6 ones left out.
func (h *Handle) Addresses(l Link) ([]netip.Prefix, error) {
	list, err := retryDump(func() ([]vnl.Addr, error) {
		return h.rt.AddrList(&vnl.Device{LinkAttrs: vnl.LinkAttrs{Index: l.Index}}, unix.AF_UNSPEC)
	})
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", l.Name, err)
	}
	var out []netip.Prefix
	for _, a := range list {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok || ip.Is6() && !ip.Is4In6() && ip.IsLinkLocalUnicast() {
			continue
		}
		ones, _ := a.Mask.Size()
		out = append(out, netip.PrefixFrom(ip.Unmap(), ones))
	}
	return out, nil
}

// retryDump repeats a dump that the kernel reports as inconsistent because something changed meanwhile.
func retryDump[T any](dump func() ([]T, error)) ([]T, error) {
	for try := 0; ; try++ {
		list, err := dump()
		if !errors.Is(err, vnl.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) || try == 10 {
			return list, err
		}
	}
}
