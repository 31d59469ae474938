package netlink

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"golang.org/x/sys/unix"
)

// Difference between what was made of a pod and what is; its zero value is none.
type Difference struct {
	Text string
	// Chain says that a plugin further back in the chain may have wanted it: what it says of the interface, not whether it
	// is there.
	Chain bool
}

// CheckPod compares the kernel with what AddPod made and names the first difference. Of a pod whose namespace is not
// known only the host's end is looked at. The namespace comes first: where it is gone, the rest goes with it, sooner or
// later.
// Error: ErrNetNS.
func (h *Handle) CheckPod(p Pod) (Difference, error) {
	host := glance{Handle: h}
	if p.NetNS == "" {
		diff, err := host.checkHostEnd(p)
		return Difference{Text: diff}, err
	}
	ns, err := namespace(p.NetNS)
	if err != nil {
		return Difference{}, err
	}
	defer ns.Close()
	if diff, herr := host.checkHostEnd(p); diff != "" || herr != nil {
		return Difference{Text: diff}, herr
	}
	inPod, err := openAt(ns)
	if err != nil {
		return Difference{}, err
	}
	defer inPod.Close()
	l, diff, err := inPod.checkPodEnd(p)
	if diff != "" || err != nil {
		return Difference{Text: diff}, err
	}
	diff, err = inPod.checkChained(p, l)
	return Difference{Text: diff, Chain: diff != ""}, err
}

// CheckForeignPod is CheckPod for a pod that another plugin made: it has the links and the addresses.
// Error: ErrNetNS.
func (h *Handle) CheckForeignPod(p Pod) (string, error) {
	if _, diff, err := h.checkHostLink(p); diff != "" || err != nil || p.NetNS == "" {
		return diff, err
	}
	ns, err := namespace(p.NetNS)
	if err != nil {
		return "", err
	}
	defer ns.Close()
	inPod, err := openAt(ns)
	if err != nil {
		return "", err
	}
	defer inPod.Close()
	_, diff, err := inPod.checkPodEnd(p)
	return diff, err
}

// AdoptMAC says which MAC the interface in the pod has. If it is the pod's, the pod gets its permanent neighbours
// again: whoever changes a MAC sets the link down, and they go.
// Errors: ErrNetNS, ErrNotFound.
func (*Handle) AdoptMAC(p Pod) (net.HardwareAddr, error) {
	ns, err := namespace(p.NetNS)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	inPod, err := openAt(ns)
	if err != nil {
		return nil, err
	}
	defer inPod.Close()
	l, err := inPod.Link(p.IfName)
	if err != nil || !bytes.Equal(l.MAC, p.MAC) {
		return l.MAC, err
	}
	b := &rtnl.Batch{}
	for _, r := range p.Routes {
		p.addGateway(b, l, r)
	}
	return l.MAC, b.Send(inPod.socket)
}

// CheckHostEnds is CheckPod without the pods' own ends, for many at once.
func (h *Handle) CheckHostEnds(pods []Pod) ([]string, error) {
	host := glance{Handle: h}
	diffs := make([]string, len(pods))
	for i, p := range pods {
		diff, err := host.checkHostEnd(p)
		if err != nil {
			return nil, err
		}
		diffs[i] = diff
	}
	return diffs, nil
}

// glance is one look at the host. What all pods have in common is read once.
type glance struct {
	*Handle
	neighbours map[int][]rtnl.Message // the permanent ones, by interface
	routes     []rtnl.Message
}

// checkHostLink looks whether the host veth is there, up, and a port of its bridge.
func (h *Handle) checkHostLink(p Pod) (host Link, diff string, err error) {
	host, err = h.Link(p.HostName)
	switch {
	case errors.Is(err, ErrNotFound):
		return host, "host veth " + p.HostName + " is missing", nil
	case err != nil:
		return host, "", err
	case host.Master != p.Bridge.Index:
		diff = fmt.Sprintf("host veth %s is not a port of bridge %s", p.HostName, p.Bridge.Name)
	case !host.Up:
		diff = "host veth " + p.HostName + " is down"
	}
	return host, diff, nil
}

func (h *glance) checkHostEnd(p Pod) (string, error) {
	host, diff, err := h.checkHostLink(p)
	if diff != "" || err != nil {
		return diff, err
	}
	at, check := p.Bridge, h.checkFDB
	if at.Index == 0 {
		at, check = host, h.checkHostRoutes
	}
	if diff, err := h.checkNeighbours(p, at); diff != "" || err != nil {
		return diff, err
	}
	if p.HostRoutes {
		if diff, err := h.checkHostRoutes(p, at); diff != "" || err != nil {
			return diff, err
		}
	}
	return check(p, host)
}

func (h *glance) checkNeighbours(p Pod, at Link) (string, error) {
	if _, known := h.neighbours[at.Index]; !known {
		list, err := h.permanentNeighbours(at)
		if err != nil {
			return "", err
		}
		h.neighbours = map[int][]rtnl.Message{at.Index: list}
	}
	for _, a := range p.Addresses {
		found := slices.ContainsFunc(h.neighbours[at.Index], func(n rtnl.Message) bool {
			return n.Addr(unix.NDA_DST) == a.Addr() && bytes.Equal(n.Get(unix.NDA_LLADDR), p.MAC)
		})
		if !found {
			return fmt.Sprintf("neighbour %s at %s is missing on %s", a.Addr(), p.MAC, at.Name), nil
		}
	}
	return "", nil
}

// permanentNeighbours lists them in both families.
func (h *Handle) permanentNeighbours(of Link) ([]rtnl.Message, error) {
	list, err := rtnl.Dump(h.socket, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH,
		rtnl.Listing{Index: of.Index}, func(m rtnl.Message) bool {
			return m.IsNeighbour() && m.NeighbourState()&unix.NUD_PERMANENT != 0
		})
	if err != nil {
		return nil, fmt.Errorf("list neighbours of %s: %w", of.Name, err)
	}
	return list, nil
}

// checkFDB: the port learns nothing and is flooded with nothing, so without this entry nothing gets there.
func (h *glance) checkFDB(p Pod, host Link) (string, error) {
	list, err := rtnl.Dump(h.socket, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH,
		rtnl.Listing{Family: unix.AF_BRIDGE, Index: host.Index}, func(m rtnl.Message) bool {
			return bytes.Equal(m.Get(unix.NDA_LLADDR), p.MAC) && m.U32(unix.NDA_MASTER) == uint32(p.Bridge.Index)
		})
	if err != nil {
		return "", fmt.Errorf("list fdb entries of %s: %w", p.HostName, err)
	}
	if len(list) == 0 {
		return fmt.Sprintf("fdb entry %s is missing on %s", p.MAC, p.HostName), nil
	}
	return "", nil
}

func (h *Handle) checkPodEnd(p Pod) (Link, string, error) {
	l, err := h.Link(p.IfName)
	if errors.Is(err, ErrNotFound) {
		return l, "interface " + p.IfName + " is missing in the pod", nil
	}
	if err != nil {
		return l, "", err
	}
	if !l.Up {
		return l, "interface " + p.IfName + " is down in the pod", nil
	}
	have, err := h.Addresses(l)
	if err != nil {
		return l, "", err
	}
	for _, a := range slices.Concat(p.Addresses, p.Further) {
		if !slices.Contains(have, a) {
			return l, fmt.Sprintf("address %s is missing on %s in the pod", a, p.IfName), nil
		}
	}
	return l, "", nil
}

// checkChained looks at what other plugins may have changed.
func (h *Handle) checkChained(p Pod, l Link) (string, error) {
	switch {
	case l.MAC.String() != p.MAC.String():
		return fmt.Sprintf("interface %s has MAC %s instead of %s", p.IfName, l.MAC, p.MAC), nil
	// It is not known of an imported pod. A smaller one is tuning's, which does not say so in its result.
	case l.MTU > p.MTU && p.MTU != 0:
		return fmt.Sprintf("interface %s has MTU %d instead of %d", p.IfName, l.MTU, p.MTU), nil
	}
	return h.checkRoutes(p, l)
}

// checkRoutes looks in the main table and wherever rules lead, but for ours: a plugin further back in the chain may
// have moved routes (sbr).
func (h *Handle) checkRoutes(p Pod, l Link) (string, error) {
	rules, err := rtnl.PolicyRules(h.socket, func(r rtnl.PolicyRule) bool { return !isSource(r) })
	if err != nil {
		return "", err
	}
	list, err := rtnl.Dump(h.socket, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, rtnl.Listing{}, func(m rtnl.Message) bool {
		leads := func(r rtnl.PolicyRule) bool { return r.Table == m.U32(unix.RTA_TABLE) }
		return m.U32(unix.RTA_OIF) == uint32(l.Index) && m.RouteFlags()&unix.RTM_F_CLONED == 0 &&
			slices.ContainsFunc(rules, leads)
	})
	if err != nil {
		return "", fmt.Errorf("list routes in the pod: %w", err)
	}
	for _, r := range p.Routes {
		dst := r.Dst.Masked()
		there := func(k rtnl.Message) bool {
			moved := k.U32(unix.RTA_TABLE) != unix.RT_TABLE_MAIN && k.Destination().Bits() <= dst.Bits() &&
				k.Destination().Contains(dst.Addr()) // sbr keeps the widest
			return (k.Destination() == dst || moved) && k.Addr(unix.RTA_GATEWAY) == r.GW
		}
		if r.Table == 0 && !slices.ContainsFunc(list, there) { // what leads to other tables is the next plugin's
			return fmt.Sprintf("route %s%s is missing in the pod", r.Dst, by(r.GW)), nil
		}
	}
	return "", nil
}

func by(gw netip.Addr) string {
	if !gw.IsValid() {
		return ""
	}
	return " by " + gw.String()
}
