package netlink

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// route makes the host route to the pod's addresses over the host veth.
func (p Pod) route(b *rtnl.Batch, host Link) {
	for _, a := range p.Addresses {
		b.Add("add neighbour "+a.Addr().String(),
			neighRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE,
				neighbour(host, a.Addr()), a.Addr().AsSlice(), p.MAC))
		b.Add("add route to "+a.Addr().String(), hostRoute(host, a.Addr()))
	}
}

// hostRoute replaces what a crash may have left of an earlier pod with the address.
func hostRoute(l Link, a netip.Addr) *nl.NetlinkRequest {
	req := routeRequest(l, Route{Dst: netip.PrefixFrom(a, a.BitLen())})
	req.Flags = unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	return req
}

// checkHostRoutes names the first address that the host does not route to the pod, or "".
func (h *glance) checkHostRoutes(p Pod, host Link) (string, error) {
	if h.routes == nil {
		list, err := h.mainRoutes()
		if err != nil {
			return "", fmt.Errorf("list routes over %s: %w", host.Name, err)
		}
		h.routes = list
	}
	for _, a := range p.Addresses {
		if !slices.ContainsFunc(h.routes, func(r rtnl.Message) bool {
			return r.U32(unix.RTA_OIF) == uint32(host.Index) && r.Destination() == netip.PrefixFrom(a.Addr(), a.Addr().BitLen())
		}) {
			return fmt.Sprintf("route to %s over %s is missing on the host", a.Addr(), host.Name), nil
		}
	}
	return "", nil
}

// Reroute gives the host the routes and neighbours of pods that are there, and their veths the owner's name.
func (h *Handle) Reroute(pods []Pod) error {
	var errs error
	for _, p := range pods {
		host, err := h.Link(p.HostName)
		if errors.Is(err, ErrNotFound) {
			continue // gone meanwhile
		}
		if err == nil {
			b := &rtnl.Batch{}
			b.Add("name "+p.HostName, rtnl.LinkMessage(unix.RTM_NEWLINK, 0, host.Index, true,
				rtnl.Text(unix.IFLA_IFALIAS, p.Alias)))
			p.route(b, host)
			err = b.Send(h.socket)
		}
		errs = errors.Join(errs, err)
	}
	return errs
}
