package netlink

import (
	"fmt"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func routeRequest(l Link, r Route) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	m := nl.NewRtMsg()
	m.Family, m.Dst_len = uint8(rtnl.Family(r.Dst.Addr())), uint8(r.Dst.Bits())
	switch {
	case r.Scope != 0:
		m.Scope = uint8(r.Scope)
	case !r.GW.IsValid():
		m.Scope = unix.RT_SCOPE_LINK
	}
	if r.Table != 0 {
		m.Table = unix.RT_TABLE_UNSPEC // the attribute counts
	}
	req.AddData(m)
	if r.Dst.Bits() > 0 {
		req.AddData(rtnl.Bytes(unix.RTA_DST, r.Dst.Masked().Addr().AsSlice()))
	}
	if r.GW.IsValid() {
		req.AddData(rtnl.Bytes(unix.RTA_GATEWAY, r.GW.AsSlice()))
	}
	req.AddData(rtnl.U32(unix.RTA_OIF, uint32(l.Index)))
	if r.Metric != 0 {
		req.AddData(rtnl.U32(unix.RTA_PRIORITY, uint32(r.Metric)))
	}
	if r.Table != 0 {
		req.AddData(rtnl.U32(unix.RTA_TABLE, uint32(r.Table)))
	}
	var metrics []nl.NetlinkRequestData
	for key, value := range map[int]int{unix.RTAX_MTU: r.MTU, unix.RTAX_ADVMSS: r.AdvMSS} {
		if value != 0 {
			metrics = append(metrics, rtnl.U32(key, uint32(value)))
		}
	}
	if len(metrics) > 0 {
		req.AddData(rtnl.Nest(unix.RTA_METRICS, metrics...))
	}
	return req
}

// yieldMetric is above what the kernel gives an IPv6 route by default (IP6_RT_PRIO_USER, 1024).
const yieldMetric = 2000

// yieldRoutes gives routes that another interface of the pod has already a metric that lets the earlier interface win:
// a pod in several networks keeps the default route of the first. It returns the routes that are there.
func (h *Handle) yieldRoutes(routes []Route) ([]rtnl.Message, error) {
	have, err := h.mainRoutes()
	if err != nil {
		return nil, fmt.Errorf("list routes in the pod: %w", err)
	}
	for i := range routes {
		r := &routes[i]
		for _, k := range have {
			if k.Destination() == r.Dst.Masked() && (r.Table == 0 || r.Table == unix.RT_TABLE_MAIN) {
				r.Metric = max(r.Metric, yieldMetric, int(k.U32(unix.RTA_PRIORITY))+1)
			}
		}
	}
	return have, nil
}

// mainRoutes lists the routes that a person would be shown: those of the main table, without the kernel's caches.
func (h *Handle) mainRoutes() ([]rtnl.Message, error) {
	return rtnl.Dump(h.socket, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, rtnl.Listing{}, func(m rtnl.Message) bool {
		return m.U32(unix.RTA_TABLE) == unix.RT_TABLE_MAIN && m.RouteFlags()&unix.RTM_F_CLONED == 0
	})
}
