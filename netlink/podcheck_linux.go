package netlink

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// CheckPod compares the kernel with what AddPod made and names the first difference, or "". Of a pod whose namespace is not
// known only the host's end is looked at. The namespace comes first: where it is gone, the rest goes with it, sooner or later.
// Error: ErrNetNS.
func (h *Handle) CheckPod(p Pod) (string, error) {
	host := glance{Handle: h}
	if p.NetNS == "" {
		return host.checkHostEnd(p)
	}
	ns, err := namespace(p.NetNS)
	if err != nil {
		return "", err
	}
	defer func() { _ = ns.Close() }()
	if diff, err := host.checkHostEnd(p); diff != "" || err != nil {
		return diff, err
	}
	inPod, err := openAt(ns)
	if err != nil {
		return "", err
	}
	defer inPod.Close()
	return inPod.checkPodEnd(p)
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
	neighbours map[int][]kernelMessage // the permanent ones, by interface
	routes     []kernelMessage
}

func (h *glance) checkHostEnd(p Pod) (string, error) {
	host, err := h.Link(p.HostName)
	if errors.Is(err, ErrNotFound) {
		return "host veth " + p.HostName + " is missing", nil
	}
	if err != nil {
		return "", err
	}
	switch {
	case host.Master != p.Bridge.Index:
		return fmt.Sprintf("host veth %s is not a port of bridge %s", p.HostName, p.Bridge.Name), nil
	case !host.Up:
		return "host veth " + p.HostName + " is down", nil
	}
	at, check := p.Bridge, h.checkFDB
	if at.Index == 0 {
		at, check = host, h.checkHostRoutes
	}
	if diff, err := h.checkNeighbours(p, at); diff != "" || err != nil {
		return diff, err
	}
	return check(p, host)
}

func (h *glance) checkNeighbours(p Pod, at Link) (string, error) {
	if _, known := h.neighbours[at.Index]; !known {
		list, err := h.permanentNeighbours(at)
		if err != nil {
			return "", err
		}
		h.neighbours = map[int][]kernelMessage{at.Index: list}
	}
	for _, a := range p.Addresses {
		found := slices.ContainsFunc(h.neighbours[at.Index], func(n kernelMessage) bool {
			return n.addr(unix.NDA_DST) == a.Addr() && bytes.Equal(n.get(unix.NDA_LLADDR), p.MAC)
		})
		if !found {
			return fmt.Sprintf("neighbour %s at %s is missing on %s", a.Addr(), p.MAC, at.Name), nil
		}
	}
	return "", nil
}

// permanentNeighbours lists them in both families.
func (h *Handle) permanentNeighbours(of Link) ([]kernelMessage, error) {
	list, err := h.dump(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, listing{index: of.Index}, func(m kernelMessage) bool {
		return m.isNeighbour() && m.neighbourState()&unix.NUD_PERMANENT != 0
	})
	if err != nil {
		return nil, fmt.Errorf("list neighbours of %s: %w", of.Name, err)
	}
	return list, nil
}

// checkFDB: the port learns nothing and is flooded with nothing, so without this entry nothing gets there.
func (h *glance) checkFDB(p Pod, host Link) (string, error) {
	list, err := h.dump(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, listing{family: unix.AF_BRIDGE, index: host.Index}, func(m kernelMessage) bool {
		return bytes.Equal(m.get(unix.NDA_LLADDR), p.MAC) && m.u32(unix.NDA_MASTER) == uint32(p.Bridge.Index)
	})
	if err != nil {
		return "", fmt.Errorf("list fdb entries of %s: %w", p.HostName, err)
	}
	if len(list) == 0 {
		return fmt.Sprintf("fdb entry %s is missing on %s", p.MAC, p.HostName), nil
	}
	return "", nil
}

func (h *Handle) checkPodEnd(p Pod) (string, error) {
	l, err := h.Link(p.IfName)
	if errors.Is(err, ErrNotFound) {
		return "interface " + p.IfName + " is missing in the pod", nil
	}
	if err != nil {
		return "", err
	}
	switch {
	case !l.Up:
		return "interface " + p.IfName + " is down in the pod", nil
	case l.MAC.String() != p.MAC.String():
		return fmt.Sprintf("interface %s has MAC %s instead of %s", p.IfName, l.MAC, p.MAC), nil
	case l.MTU != p.MTU && p.MTU != 0: // of an imported pod it is not known
		return fmt.Sprintf("interface %s has MTU %d instead of %d", p.IfName, l.MTU, p.MTU), nil
	}
	have, err := h.Addresses(l)
	if err != nil {
		return "", err
	}
	for _, a := range p.Addresses {
		if !slices.Contains(have, a) {
			return fmt.Sprintf("address %s is missing on %s in the pod", a, p.IfName), nil
		}
	}
	return h.checkRoutes(p, l)
}

func (h *Handle) checkRoutes(p Pod, l Link) (string, error) {
	list, err := h.mainRoutes()
	if err != nil {
		return "", fmt.Errorf("list routes in the pod: %w", err)
	}
	for _, r := range p.Routes {
		found := slices.ContainsFunc(list, func(k kernelMessage) bool {
			return k.u32(unix.RTA_OIF) == uint32(l.Index) && k.destination() == r.Dst.Masked() && k.addr(unix.RTA_GATEWAY) == r.GW
		})
		if !found {
			return fmt.Sprintf("route %s by %s is missing in the pod", r.Dst, r.GW), nil
		}
	}
	return "", nil
}
