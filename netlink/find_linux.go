package netlink

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/azure"
	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// FoundPod is a pod as it shows on the host: a host veth, and what its other end has.
type FoundPod struct {
	HostName, NetNS, IfName string
	MAC                     net.HardwareAddr
	Addresses               []netip.Prefix
}

// FindPods looks for the other ends of host veths in the given namespaces. One without an address is no pod yet, or
// none any more. lost are those whose other end is in none of the namespaces.
func (h *Handle) FindPods(veths []Link, namespaces []string) (found []FoundPod, lost []string, err error) {
	rest := slices.Clone(veths)
	for _, path := range namespaces {
		if len(rest) == 0 {
			break
		}
		here, err := findIn(path, rest)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range here {
			rest = slices.DeleteFunc(rest, func(l Link) bool { return l.Name == p.HostName })
			if len(p.Addresses) > 0 {
				found = append(found, p)
			}
		}
	}
	for _, l := range rest {
		lost = append(lost, l.Name)
	}
	return found, lost, nil
}

// findIn finds the veths' other ends in one namespace. One that goes meanwhile has none.
func findIn(path string, veths []Link) (found []FoundPod, err error) {
	ns, err := namespace(path)
	if err != nil {
		return nil, nil //nolint:nilerr // whose ends are in there is lost, and said to be
	}
	defer ns.Close()
	id, err := vnl.GetNetNsIdByFd(int(ns))
	if err != nil {
		return nil, fmt.Errorf("identify network namespace %s: %w", path, err)
	}
	far := func(l Link) bool { return l.peerNS == id+1 }
	if id < 0 || !slices.ContainsFunc(veths, far) {
		return nil, nil
	}
	in, err := openAt(ns)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	links, err := in.Links()
	if err != nil {
		return nil, err
	}
	for _, v := range veths {
		i := slices.IndexFunc(links, func(l Link) bool { return far(v) && l.Index == v.peer && l.peer == v.Index })
		if i < 0 {
			continue
		}
		p := FoundPod{HostName: v.Name, NetNS: path, IfName: links[i].Name, MAC: links[i].MAC}
		if p.Addresses, err = in.Addresses(links[i]); err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, nil
}

// PodNeighbours lists the pods that a link has permanent neighbours for.
func (h *Handle) PodNeighbours(l Link) ([]netip.Addr, error) {
	list, err := h.permanentNeighbours(l)
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, m := range list {
		if bytes.HasPrefix(m.Get(unix.NDA_LLADDR), azure.PodMACPrefix) {
			out = append(out, m.Addr(unix.NDA_DST))
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out, nil
}
