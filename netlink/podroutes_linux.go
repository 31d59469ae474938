package netlink

import (
	"fmt"
	"net/netip"

	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func routeRequest(l Link, r Route) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	m := nl.NewRtMsg()
	m.Family, m.Dst_len = uint8(family(r.Dst.Addr())), uint8(r.Dst.Bits())
	if !r.GW.IsValid() {
		m.Scope = unix.RT_SCOPE_LINK
	}
	req.AddData(m)
	if r.Dst.Bits() > 0 {
		req.AddData(bytesAttr(unix.RTA_DST, r.Dst.Masked().Addr().AsSlice()))
	}
	if r.GW.IsValid() {
		req.AddData(bytesAttr(unix.RTA_GATEWAY, r.GW.AsSlice()))
	}
	req.AddData(u32(unix.RTA_OIF, uint32(l.Index)))
	if r.Metric != 0 {
		req.AddData(u32(unix.RTA_PRIORITY, uint32(r.Metric)))
	}
	return req
}

// yieldMetric is above what the kernel gives an IPv6 route by default (IP6_RT_PRIO_USER, 1024).
const yieldMetric = 2000

// yieldRoutes gives routes that another interface of the pod has already a metric that lets the earlier interface win: a
// pod in several networks keeps the default route of the first.
func (h *Handle) yieldRoutes(routes []Route) error {
	have, err := retryDump(func() ([]vnl.Route, error) { return h.rt.RouteList(nil, unix.AF_UNSPEC) })
	if err != nil {
		return fmt.Errorf("list routes in the pod: %w", err)
	}
	for i := range routes {
		r := &routes[i]
		for _, k := range have {
			if destination(k, r.Dst.Addr()) == r.Dst.Masked() {
				r.Metric = max(r.Metric, yieldMetric, k.Priority+1)
			}
		}
	}
	return nil
}

// destination is what the route is for. The kernel shows none for a default route, so that its family has to be known.
func destination(r vnl.Route, like netip.Addr) netip.Prefix {
	if r.Dst == nil || r.Dst.IP.IsUnspecified() {
		if (r.Family == unix.AF_INET6) != like.Is6() {
			return netip.Prefix{}
		}
		zero := netip.IPv4Unspecified()
		if like.Is6() {
			zero = netip.IPv6Unspecified()
		}
		return netip.PrefixFrom(zero, 0)
	}
	a, _ := netip.AddrFromSlice(r.Dst.IP)
	ones, _ := r.Dst.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones)
}

func family(a netip.Addr) int {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}
