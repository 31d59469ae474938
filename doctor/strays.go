package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"

	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/platform"
)

// Stray is an address that Azure assigned for pods, and that the host has itself.
type Stray struct {
	Address netip.Prefix
	At      string // the interface that has it
	// Own says that the host cannot do without: it has no other address of its family on the NIC, or none that is not for
	// pods, and speaks by this one. So it is where the source forgot to say which address is the primary one, or says
	// another one than it was.
	Own bool
}

// findStrays compares the pools with what the host has. source is the address by which the host speaks to another.
func findStrays(space ipam.AddressSpace, ifaces []platform.Interface,
	source func(to netip.Addr) (netip.Addr, error)) []Stray {
	var found []Stray
	for _, p := range space.Pools {
		first, others := len(found), false
		for _, i := range ifaces {
			for _, have := range i.Prefixes {
				a := have.Addr()
				switch {
				case p.Lists(a):
					found = append(found, Stray{Address: have, At: i.Name})
				case carriedBy(i, p.Interface, ifaces) && a.Is6() == p.Prefix.Addr().Is6() && !a.IsLinkLocalUnicast():
					others = others || !slices.ContainsFunc(space.Pools, func(p *ipam.Pool) bool { return p.Lists(a) })
				}
			}
		}
		if !others {
			keepOne(found[first:], p, ifaces, source)
		}
		ours := found[first:]
		sort.SliceStable(ours, func(i, j int) bool { return ours[i].Address.Addr().Less(ours[j].Address.Addr()) })
	}
	return found
}

// carriedBy says whether the interface is the NIC, or a bridge of which the NIC is a port.
func carriedBy(i platform.Interface, nic string, ifaces []platform.Interface) bool {
	return platform.AdapterName(i.Name) == nic ||
		i.Kind == "bridge" && slices.ContainsFunc(ifaces,
			func(port platform.Interface) bool { return port.Name == nic && port.Master == i.Index })
}

// keepOne leaves the host the address of a pool's NIC by which it speaks, else the first one, wherever it has that.
func keepOne(list []Stray, p *ipam.Pool, ifaces []platform.Interface, source func(netip.Addr) (netip.Addr, error)) {
	speaks, err := source(p.Prefix.Masked().Addr().Next())
	kept := -1
	for n, s := range list {
		i := slices.IndexFunc(ifaces, func(i platform.Interface) bool { return i.Name == s.At })
		if carriedBy(ifaces[i], p.Interface, ifaces) && (kept < 0 || err == nil && s.Address.Addr() == speaks) {
			kept = n
		}
	}
	for n := range list {
		list[n].Own = kept >= 0 && list[n].Address.Addr() == list[kept].Address.Addr()
	}
}

// Strays finds them by the state, and by what the source says now if it says anything.
// Error: the source's, if no pool is known.
func (d *Examination) Strays(ctx context.Context) ([]Stray, ipam.AddressSpace, error) {
	t, err := d.trial(ctx)
	if err != nil {
		return nil, t.Space, err
	}
	ifaces, err := platform.Host{}.Interfaces()
	if err != nil {
		return nil, t.Space, err
	}
	if len(t.Space.Pools) == 0 && t.Source != nil {
		return nil, t.Space, fmt.Errorf("find out which addresses are for pods: %w", t.Source)
	}
	return findStrays(t.Space, ifaces, hostSource), t.Space, nil
}

// hostSource is the address by which the host speaks to another. Nothing is sent: to connect a socket for datagrams is
// to ask for a route.
func hostSource(to netip.Addr) (source netip.Addr, err error) {
	const discard = 9 // any port will do
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, discard)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return local.Addr().WithZone("").Unmap(), err
}
