package netlink

import (
	"fmt"
	"net/netip"

	"github.com/Azure/azure-container-networking/netlink/hostconf"
	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A host whose address is alone on its bridge (/32, /128), or is of another subnet than its pods', would send what is
// for its pods to a gateway. The fabric would bring that back, but not what has the address of a service or of the
// internet as its source. So such a host gets a route over the bridge to each pod; so does one with several NICs, whose
// own policy rules may lead elsewhere (Policy).

// routeToPod adds the routes that the host needs to the pod's addresses.
func (h *Handle) routeToPod(p Pod) error {
	b := &rtnl.Batch{}
	for _, a := range p.Addresses {
		if m, err := h.lookUp(a.Addr(), 0); err == nil && !p.HostRoutes &&
			m.U32(unix.RTA_OIF) == uint32(p.Bridge.Index) && !m.ViaGateway() {
			continue
		}
		b.Add("add route to "+a.Addr().String(),
			overBridge(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, p.Bridge, a.Addr()))
	}
	return b.Send(h.socket)
}

// routeToPods does so for pods of the bridge.
func (h *Handle) routeToPods(bridge Link, pods []Pod) error {
	for _, p := range pods {
		p.Bridge = bridge
		if err := h.routeToPod(p); err != nil {
			return err
		}
	}
	return nil
}

// lookUp asks which way the host would send to the address, over the interface with that index; 0: over any.
func (h *Handle) lookUp(a netip.Addr, over int) (rtnl.Message, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(rtnl.Family(a)), Dst_len: uint8(a.BitLen())}})
	req.AddData(rtnl.Bytes(unix.RTA_DST, a.AsSlice()))
	if over != 0 {
		req.AddData(rtnl.U32(unix.RTA_OIF, uint32(over)))
	}
	m, err := rtnl.Get(h.socket, req, unix.RTM_NEWROUTE)
	if err != nil {
		return m, fmt.Errorf("look up the route to %s: %w", a, err)
	}
	return m, nil
}

// forgetRoutes appends the requests that take such routes away.
func forgetRoutes(b *rtnl.Batch, bridge Link, addrs []netip.Addr) {
	for _, a := range addrs {
		b.Add("delete route to "+a.String(), overBridge(unix.RTM_DELROUTE, 0, bridge, a), unix.ESRCH, unix.ENODEV)
	}
}

func overBridge(typ, flags int, bridge Link, a netip.Addr) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(typ, flags)
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(rtnl.Family(a)),
		Dst_len: uint8(a.BitLen()), Table: unix.RT_TABLE_MAIN,
		Protocol: hostconf.PodRoute, Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST}})
	req.AddData(rtnl.Bytes(unix.RTA_DST, a.AsSlice()))
	req.AddData(rtnl.U32(unix.RTA_OIF, uint32(bridge.Index)))
	return req
}
