package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/netlink/wire"
	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Pod is one attachment as the kernel shall have it.
type Pod struct {
	NetNS     string           // path of the pod's network namespace
	IfName    string           // the interface in the pod
	HostName  string           // the host veth
	Alias     string           // of the host veth: the owner, for who comes after us
	Bridge    Link             // zero in transparent mode: the host routes to the pod
	HostMAC   net.HardwareAddr // of the host veth; nil leaves it to the kernel
	MAC       net.HardwareAddr
	MTU       int
	Addresses []netip.Prefix
	Further   []netip.Prefix // addresses that others gave the interface, and that are to be there
	Routes    []Route
	// Gateways are next hops that need not be asked for their MAC: they become permanent neighbours in the pod.
	Gateways map[netip.Addr]net.HardwareAddr
	// HostRoutes says that the host gets a route to each address over the bridge in any case.
	HostRoutes bool
	// Guard is called when the host veth is there and still down: what judges the pod's frames has to be in place before
	// the first of them. nil: nothing does.
	Guard func() error
	// Visit is one of the namespace, which AddPod ends; nil: it has not been visited.
	Visit *Visit
}

// Route of a pod. An invalid destination is never used: the default route is 0.0.0.0/0.
type Route struct {
	Dst    netip.Prefix
	GW     netip.Addr
	Metric int
	MTU    int // bytes
	AdvMSS int // bytes
	Table  int // 0: main
	Scope  int // RT_SCOPE_…; 0: as it has a gateway or not
}

// namespace opens a pod's namespace.
func namespace(path string) (wire.Namespace, error) {
	ns, err := wire.OpenNamespace(path)
	if errors.Is(err, os.ErrNotExist) {
		return ns, fmt.Errorf("%w: %s: %w", ErrNetNS, path, err)
	}
	if err != nil {
		return ns, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	return ns, nil
}

// AddPod makes the pair of veths with one end in the pod, and configures both. The pod's end is born in the pod's
// namespace: moving it there afterwards would wait for an RCU grace period, 15 ms (synchronize_net in net/core/dev.c).
// It returns the host end, and sets the metrics of p.Routes. On an error the caller deletes the host veth, which takes
// all with it.
// Error: ErrExists for the host veth or the interface in the pod.
func (h *Handle) AddPod(p Pod) (Link, error) {
	ns, err := namespace(p.NetNS)
	if err != nil {
		return Link{}, err
	}
	defer ns.Close()
	inPod, err := p.Visit.goOn(ns)
	if err != nil {
		return Link{}, err
	}
	defer inPod.Close()
	if err := h.addVeth(p, int(ns)); err != nil {
		return Link{}, err
	}
	host, err := h.Index(p.HostName)
	if err != nil {
		return Link{}, err
	}
	if err := p.prepareIPv6(ns); err != nil {
		return Link{}, err
	}
	if p.Guard != nil {
		if err := p.Guard(); err != nil {
			return Link{}, err
		}
	}
	if err := inPod.setUp(p.IfName); err != nil {
		return Link{}, err
	}
	if err := h.addHostEnd(p, host); err != nil {
		return Link{}, err
	}
	if p.Bridge.Index != 0 {
		if err := h.routeToPod(p); err != nil {
			return Link{}, err
		}
	}
	if err := inPod.addPodEnd(p); err != nil {
		return Link{}, err
	}
	return h.waitUp(p.HostName)
}

// patience bounds waiting for the kernel's work queue. It needs milliseconds; more when many links change.
const patience = 5 * time.Second

// waitUp waits until a link that was set up can send, and the bridge forwards what comes from it. The kernel
// learns that both ends of a pair are up in a work queue, and drops everything until then (net/core/link_watch.c):
// a pod's first packet, a DNS query often, would be lost. Since Linux 6.8 asking for the link makes the kernel
// catch up, so that the first look is the last one.
func (h *Handle) waitUp(name string) (Link, error) {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		l, err := h.Link(name)
		if err != nil {
			return Link{}, err
		}
		if l.state == vnl.OperUp {
			return l, nil
		}
		if time.Now().After(end) {
			return Link{}, fmt.Errorf("%w: link %s is set up, but does not come up: %v", ErrSlow,
				name, vnl.LinkOperState(l.state))
		}
	}
}

func (h *Handle) addVeth(p Pod, ns int) error {
	// One queue: a veth with a queue per CPU costs memory and time for nothing (no multi-queue qdisc on it).
	queues := []nl.NetlinkRequestData{rtnl.U32(unix.IFLA_NUM_TX_QUEUES, 1), rtnl.U32(unix.IFLA_NUM_RX_QUEUES, 1),
		rtnl.U32(unix.IFLA_MTU, uint32(p.MTU))}
	const vethInfoPeer = 1 // include/uapi/linux/veth.h
	peer := rtnl.Nest(vethInfoPeer, nl.NewIfInfomsg(unix.AF_UNSPEC), rtnl.Text(unix.IFLA_IFNAME, p.IfName),
		rtnl.Bytes(unix.IFLA_ADDRESS, p.MAC), rtnl.U32(unix.IFLA_NET_NS_FD, uint32(ns)))
	for _, q := range queues {
		peer.AddChild(q)
	}
	attrs := append([]nl.NetlinkRequestData{
		rtnl.Text(unix.IFLA_IFNAME, p.HostName),
		rtnl.Nest(unix.IFLA_LINKINFO, rtnl.Bytes(nl.IFLA_INFO_KIND, []byte("veth")), rtnl.Nest(nl.IFLA_INFO_DATA, peer)),
	}, queues...)
	if p.HostMAC != nil {
		attrs = append(attrs, rtnl.Bytes(unix.IFLA_ADDRESS, p.HostMAC))
	}
	configure := []nl.NetlinkRequestData{rtnl.Text(unix.IFLA_IFNAME, p.HostName), rtnl.Text(unix.IFLA_IFALIAS, p.Alias)}
	if p.Bridge.Index != 0 {
		attrs = append(attrs, rtnl.U32(unix.IFLA_MASTER, uint32(p.Bridge.Index)))
		configure = append(configure, bridgePort())
	}
	b := &rtnl.Batch{}
	b.Add("create veth "+p.HostName,
		rtnl.LinkMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, false, attrs...))
	b.Add("configure veth "+p.HostName, rtnl.LinkMessage(unix.RTM_NEWLINK, 0, 0, false, configure...))
	if p.Bridge.Index != 0 {
		// A port needs no address. With one the kernel would send reports and look for duplicates, and every listing of
		// addresses would have one for each pod. A kernel without IPv6 refuses, and needs nothing.
		b.Add("no address for "+p.HostName,
			rtnl.LinkMessage(unix.RTM_NEWLINK, 0, 0, false, rtnl.Text(unix.IFLA_IFNAME, p.HostName), noLinkLocal()),
			rtnl.Anything)
	}
	err := b.Send(h.socket)
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%w: %s, or %s in the pod: %w", ErrExists, p.HostName, p.IfName, err)
	}
	if err == nil && p.Bridge.Index != 0 {
		err = silencePort(p.HostName)
	}
	return err
}

// noLinkLocal keeps the kernel from giving a link an IPv6 address of its own.
func noLinkLocal() *nl.RtAttr {
	const addrGenMode, none = 8, 1 // IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE: include/uapi/linux/if_link.h
	return rtnl.Nest(unix.IFLA_AF_SPEC, rtnl.Nest(unix.AF_INET6, rtnl.U8(addrGenMode, none)))
}

// bridgePort makes a link a port that learns nothing and is flooded with nothing: where each MAC is, is known
// (addHostEnd). Frames to a bridge's group addresses (01:80:c2:00:00:0X) are forwarded as far as the kernel lets us, so
// that the rules see and drop them: else they go past all hooks to the host's own stack, as if they had arrived by the
// host veth (net/bridge/br_input.c, br_handle_frame). Pause frames, the second bit, the kernel drops by itself.
func bridgePort() *nl.RtAttr {
	const groupForwardMask, allButPause = 31, 0xfffd // IFLA_BRPORT_GROUP_FWD_MASK: include/uapi/linux/if_link.h
	return rtnl.Nest(unix.IFLA_LINKINFO, rtnl.Bytes(nl.IFLA_INFO_SLAVE_KIND, []byte("bridge")),
		rtnl.Nest(nl.IFLA_INFO_SLAVE_DATA,
			rtnl.Bytes(groupForwardMask, binary.NativeEndian.AppendUint16(nil, allButPause)),
			rtnl.U8(nl.IFLA_BRPORT_LEARNING, 0), rtnl.U8(nl.IFLA_BRPORT_UNICAST_FLOOD, 0),
			rtnl.U8(nl.IFLA_BRPORT_MCAST_FLOOD, 0), rtnl.U8(nl.IFLA_BRPORT_BCAST_FLOOD, 0),
			rtnl.U8(nl.IFLA_BRPORT_MODE, 1))) // hairpin: a service's backend may be the client itself
}

// addHostEnd sets the host's end up, after the pod's: whoever looks at a link that is up without a carrier, as the
// first of two ends is, makes the kernel stop it, and wait for that while nobody else can change any link
// (dev_deactivate).
func (h *Handle) addHostEnd(p Pod, host int) error {
	b := &rtnl.Batch{}
	b.Add("set "+p.HostName+" up", rtnl.LinkMessage(unix.RTM_NEWLINK, 0, host, true))
	if p.Bridge.Index == 0 {
		p.route(b, Link{Index: host})
	} else {
		p.pin(b, host)
	}
	return b.Send(h.socket)
}

// pin says behind which port the pod is, and which MAC its addresses have.
func (p Pod) pin(b *rtnl.Batch, port int, ignore ...syscall.Errno) {
	fdb := &vnl.Ndmsg{Family: unix.AF_BRIDGE, Index: uint32(port), State: unix.NUD_NOARP, Flags: unix.NTF_MASTER}
	b.Add("add fdb entry "+p.MAC.String(),
		neighRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, fdb, nil, p.MAC), ignore...)
	for _, a := range p.Addresses {
		b.Add("add neighbour "+a.Addr().String(),
			neighRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, neighbour(p.Bridge, a.Addr()),
				a.Addr().AsSlice(), p.MAC), ignore...)
	}
}

func neighbour(bridge Link, a netip.Addr) *vnl.Ndmsg {
	n := &vnl.Ndmsg{Family: unix.AF_INET, Index: uint32(bridge.Index), State: unix.NUD_PERMANENT}
	if a.Is6() {
		n.Family = unix.AF_INET6
	}
	return n
}

func neighRequest(typ, flags int, m *vnl.Ndmsg, dst, mac []byte) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(typ, flags)
	req.AddData(m)
	if dst != nil {
		req.AddData(rtnl.Bytes(unix.NDA_DST, dst))
	}
	if mac != nil {
		req.AddData(rtnl.Bytes(unix.NDA_LLADDR, mac))
	}
	return req
}

// setUp runs on a handle in the pod's namespace.
func (h *Handle) setUp(name string) error {
	b := &rtnl.Batch{}
	b.Add("set "+name+" up in the pod", rtnl.LinkMessage(unix.RTM_NEWLINK, 0, 0, true, rtnl.Text(unix.IFLA_IFNAME, name)))
	return b.Send(h.socket)
}

// addPodEnd runs on a handle in the pod's namespace.
func (h *Handle) addPodEnd(p Pod) error {
	l, err := h.waitUp(p.IfName)
	if err != nil {
		return err
	}
	others, err := h.yieldRoutes(p.Routes)
	if err != nil {
		return err
	}
	b := &rtnl.Batch{}
	for _, a := range p.Addresses {
		b.Add("add address "+a.String()+" in the pod", addrRequest(l, a))
	}
	for _, r := range p.Routes {
		p.addGateway(b, l, r)
		b.Add("add route "+r.Dst.String()+" in the pod", routeRequest(l, r))
	}
	err = b.Send(h.socket)
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%w: %w", ErrRoute, err)
	}
	if err != nil {
		return err
	}
	if err := h.bySource(l, others); err != nil {
		return err
	}
	return h.settle(l, p.Addresses)
}

// addGateway makes the route's next hop a permanent neighbour, if it need not be asked.
func (p Pod) addGateway(b *rtnl.Batch, l Link, r Route) {
	if mac := p.Gateways[r.GW]; mac != nil {
		b.Add("add neighbour "+r.GW.String()+" in the pod", neighRequest(unix.RTM_NEWNEIGH,
			unix.NLM_F_CREATE|unix.NLM_F_REPLACE, neighbour(l, r.GW), r.GW.AsSlice(), mac))
	}
}

func addrRequest(l Link, p netip.Prefix) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	m := nl.NewIfAddrmsg(rtnl.Family(p.Addr()))
	m.Index, m.Prefixlen = uint32(l.Index), uint8(p.Bits())
	if p.Addr().Is6() {
		m.Flags = unix.IFA_F_NODAD // nobody else has it, and the fabric answers for every address
	}
	req.AddData(m)
	req.AddData(rtnl.Bytes(unix.IFA_LOCAL, p.Addr().AsSlice()))
	req.AddData(rtnl.Bytes(unix.IFA_ADDRESS, p.Addr().AsSlice()))
	return req
}

// DeletePod deletes the host veth (with it the pod's end, the port and its fdb entry) and the neighbours
// on the bridge. What is gone already is success.
func (h *Handle) DeletePod(hostName, bridge string, addrs []netip.Addr) error {
	b := &rtnl.Batch{}
	br, err := h.Link(bridge)
	switch {
	case bridge == "", errors.Is(err,
		ErrNotFound): // neighbours and routes are the host veth's, and go with it, or went with the bridge
	case err != nil:
		return err
	default:
		for _, a := range addrs {
			b.Add("delete neighbour "+a.String(), neighRequest(unix.RTM_DELNEIGH, 0, neighbour(br, a), a.AsSlice(), nil),
				unix.ENOENT, unix.ENODEV)
		}
		forgetRoutes(b, br, addrs)
	}
	b.Add("delete veth "+hostName, rtnl.LinkMessage(unix.RTM_DELLINK, 0, 0, false, rtnl.Text(unix.IFLA_IFNAME, hostName)),
		unix.ENODEV)
	return b.Send(h.socket)
}

// SetDown sets host veths down: nothing that a pod sends gets to the host any more. One that is gone is success.
func (h *Handle) SetDown(hostNames ...string) error {
	b := &rtnl.Batch{}
	for _, name := range hostNames {
		req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, 0)
		m := nl.NewIfInfomsg(unix.AF_UNSPEC)
		m.Change = unix.IFF_UP
		req.AddData(m)
		req.AddData(rtnl.Text(unix.IFLA_IFNAME, name))
		b.Add("set "+name+" down", req, unix.ENODEV)
	}
	return b.Send(h.socket)
}

// podGroup is the group of links that DeletePods forms; others' groups are small numbers (/etc/iproute2/group).
const podGroup = 0x617a7600

// DeletePods is DeletePod for many: as one group of links they share what each alone would wait for.
func (h *Handle) DeletePods(hostNames []string, bridge string, addrs []netip.Addr) error {
	b := &rtnl.Batch{}
	if br, err := h.Link(bridge); err == nil {
		for _, a := range addrs {
			b.Add("delete neighbour "+a.String(), neighRequest(unix.RTM_DELNEIGH, 0, neighbour(br, a), a.AsSlice(), nil),
				unix.ENOENT, unix.ENODEV)
		}
		forgetRoutes(b, br, addrs)
	} else if bridge != "" && !errors.Is(err, ErrNotFound) {
		return err
	}
	group := podGroup + uint32(os.Getpid()&0xff) // two processes that collect at once do not wait for each other's
	for _, name := range hostNames {
		b.Add("group veth "+name, rtnl.LinkMessage(unix.RTM_NEWLINK, 0, 0, false, rtnl.Text(unix.IFLA_IFNAME, name),
			rtnl.U32(unix.IFLA_GROUP, group)), unix.ENODEV)
	}
	b.Add("delete the veths", rtnl.LinkMessage(unix.RTM_DELLINK, 0, 0, false, rtnl.U32(unix.IFLA_GROUP, group)),
		unix.ENODEV)
	return b.Send(h.socket)
}
