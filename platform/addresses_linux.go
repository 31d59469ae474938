package platform

import (
	"fmt"
	"net/netip"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// Addresses says which addresses the interfaces of the calling thread's network namespace have, and which interface
// each: "eth0". What is only good on one link is left out. It asks for one family if v4 or v6 is false, and never for
// the links: on a node with hundreds of pods those take a hundred times as long.
func (h Host) Addresses(v4, v6 bool) (map[netip.Addr]string, error) {
	request := make([]byte, unix.SizeofIfAddrmsg)
	switch {
	case !v6:
		request[0] = unix.AF_INET
	case !v4:
		request[0] = unix.AF_INET6
	}
	s, err := h.Sockets.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	defer s.Close()
	indexes := map[netip.Addr]int{}
	err = collect(s, unix.RTM_GETADDR, request, func() { clear(indexes) }, func(m wire.Message) {
		if p := m.Prefix(); p.IsValid() && !p.Addr().IsLinkLocalUnicast() {
			indexes[p.Addr()] = m.Index()
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	return withNames(s, indexes)
}

// withNames asks by an ioctl, which needs no lock of the kernel's. Any socket leads to its namespace's devices.
func withNames(s *wire.Socket, indexes map[netip.Addr]int) (map[netip.Addr]string, error) {
	names := map[int]string{}
	at := make(map[netip.Addr]string, len(indexes))
	for a, i := range indexes {
		name, known := names[i]
		if !known {
			request, err := unix.NewIfreq("")
			if err != nil {
				return nil, fmt.Errorf("list the host's addresses: %w", err)
			}
			request.SetUint32(uint32(i))
			if unix.IoctlIfreq(s.FD(), unix.SIOCGIFNAME, request) != nil {
				continue // the interface is gone, and its addresses with it
			}
			name = request.Name()
			names[i] = name
		}
		at[a] = name
	}
	return at, nil
}
