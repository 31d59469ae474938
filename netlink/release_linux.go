package netlink

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/netlink/wire"
	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// This file takes addresses off the host that are not its own, and says who uses them.

// RoutesFrom are the routes that somebody told to use an address as the source, each as a person knows it, by address.
func (h *Handle) RoutesFrom(addrs []netip.Addr) (map[netip.Addr][]string, error) {
	routes, err := h.routesFrom(addrs)
	found := map[netip.Addr][]string{}
	for _, m := range routes {
		source := m.Addr(unix.RTA_PREFSRC)
		found[source] = append(found[source], m.Route())
	}
	return found, err
}

// routesFrom leaves out the kernel's own routes: they come and go with the address.
func (h *Handle) routesFrom(addrs []netip.Addr) ([]rtnl.Message, error) {
	routes, err := rtnl.Dump(h.socket, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, rtnl.Listing{}, func(m rtnl.Message) bool {
		const proto = 5 // struct rtmsg: rtm_protocol
		return m.Header[proto] != unix.RTPROT_KERNEL && m.RouteFlags()&unix.RTM_F_CLONED == 0 && slices.Contains(addrs,
			m.Addr(unix.RTA_PREFSRC))
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return routes, nil
}

// RulesFrom are the policy rules for what comes from one of the addresses, each as a person deletes it ("pref 1000"),
// by address.
func (h *Handle) RulesFrom(addrs []netip.Addr) (map[netip.Addr][]string, error) {
	const sourceBits = 2 // struct fib_rule_hdr: src_len
	rules, err := rtnl.Dump(h.socket, unix.RTM_GETRULE, unix.RTM_NEWRULE, rtnl.Listing{}, func(m rtnl.Message) bool {
		a := m.Addr(unix.FRA_SRC)
		return slices.Contains(addrs, a) && int(m.Header[sourceBits]) == a.BitLen()
	})
	if err != nil {
		return nil, fmt.Errorf("list policy rules: %w", err)
	}
	found := map[netip.Addr][]string{}
	for _, m := range rules {
		source := m.Addr(unix.FRA_SRC)
		found[source] = append(found[source], fmt.Sprintf("pref %d", m.U32(unix.FRA_PRIORITY)))
	}
	return found, nil
}

// SocketsOf are the host's sockets that are bound to an address, listening or connected, each as a person knows it, by
// address.
func SocketsOf(addrs []netip.Addr) (map[netip.Addr][]string, error) {
	found := map[netip.Addr][]string{}
	var errs error
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} { // the latter for IPv4, too
		for name, list := range map[string]func(uint8) ([]*vnl.Socket, error){"tcp": vnl.SocketDiagTCP,
			"udp": vnl.SocketDiagUDP} {
			sockets, err := list(family)
			if err != nil {
				errs = errors.Join(errs, fmt.Errorf("list %s sockets: %w", name, err))
			}
			for _, s := range sockets {
				if a, ok := netip.AddrFromSlice(s.ID.Source); ok && slices.Contains(addrs, a.Unmap()) {
					if text := socketText(name, s); text != "" {
						found[a.Unmap()] = append(found[a.Unmap()], text)
					}
				}
			}
		}
	}
	for _, list := range found {
		slices.Sort(list)
	}
	return found, errs
}

// socketText is "" for a socket that nobody has any more.
func socketText(protocol string, s *vnl.Socket) string {
	at := func(ip []byte, port uint16) netip.AddrPort {
		a, _ := netip.AddrFromSlice(ip)
		return netip.AddrPortFrom(a.Unmap(), port)
	}
	own, peer := at(s.ID.Source, s.ID.SourcePort), at(s.ID.Destination, s.ID.DestinationPort)
	switch {
	case protocol == "tcp" && (s.State == vnl.TCP_TIME_WAIT || s.State == vnl.TCP_CLOSE):
		return ""
	case peer.Port() != 0:
		return fmt.Sprintf("%s %s, connected with %s", protocol, own, peer)
	case protocol == "tcp" && s.State != vnl.TCP_LISTEN:
		return ""
	}
	return fmt.Sprintf("%s %s, listening", protocol, own)
}

// RemoveAddresses takes the addresses off whatever interfaces have them, and the source from routes that were told to
// use one: those routes stay. What is gone already is success. An IPv4 address takes the others of its prefix with it
// if it came first, unless promote_secondaries is set for its interface: that is the caller's.
func (h *Handle) RemoveAddresses(addrs []netip.Addr) error {
	have, err := rtnl.Dump(h.socket, unix.RTM_GETADDR, unix.RTM_NEWADDR, rtnl.Listing{},
		func(m rtnl.Message) bool { return slices.Contains(addrs, m.Prefix().Addr()) })
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	routes, err := h.routesFrom(addrs)
	if err != nil {
		return err
	}
	b := &rtnl.Batch{}
	for _, m := range routes {
		via := rtnl.Device{Index: int(m.U32(unix.RTA_OIF))}
		m.Attrs = slices.DeleteFunc(m.Attrs, func(a wire.Attr) bool { return a.Type == unix.RTA_PREFSRC })
		b.Add("take the source from route "+m.Route(), m.NewRoute(unix.RTM_NEWROUTE, unix.NLM_F_REPLACE, via, via),
			unix.ENOENT)
	}
	// The kernel lists secondary addresses after those that came first: from the back, fewer have to move up.
	for _, m := range slices.Backward(have) {
		b.Add("delete address "+m.Prefix().Addr().String(), m.DelAddr(), unix.EADDRNOTAVAIL)
	}
	return b.Send(h.socket)
}
