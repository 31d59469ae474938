package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/platform"
)

// CreateEndpoint implements Dataplane. The pod's elements are there before its first frame.
func (l *Linux) CreateEndpoint(_ context.Context, n *Network, e *Endpoint) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	if e.MTU == 0 {
		e.MTU = n.MTU
	}
	if e.MTU > n.MTU {
		return fmt.Errorf("%w: MTU %d is larger than %d of master %s: the bridge would drop larger packets silently", ErrUnsupported, e.MTU, n.MTU, n.Master)
	}
	pod, err := podOf(k.nl, n, e)
	if err != nil {
		return err
	}
	pod.Guard = func() error { return k.nft.AddElements(elements(n, e, pod)...) }
	host, err := k.nl.AddPod(pod)
	if errors.Is(err, netlink.ErrExists) {
		return fmt.Errorf("%w: %w", ErrExists, err)
	}
	if errors.Is(err, netlink.ErrRoute) {
		return fmt.Errorf("%w: %w", ErrRoutes, err)
	}
	if errors.Is(err, netlink.ErrSlow) {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if err != nil {
		return err
	}
	e.HostMAC, e.HostIfIndex = host.MAC.String(), host.Index
	for i, r := range pod.Routes {
		e.Routes[i].Metric = r.Metric
	}
	return nil
}

func podOf(nl *netlink.Handle, n *Network, e *Endpoint) (netlink.Pod, error) {
	mac, err := parseMAC(e.MAC)
	if err != nil {
		return netlink.Pod{}, err
	}
	p := netlink.Pod{NetNS: e.NetNS, IfName: e.IfName, HostName: e.HostIfName, Alias: e.Owner.String(), MAC: mac, MTU: e.MTU, Addresses: e.Addresses}
	for _, r := range e.Routes {
		p.Routes = append(p.Routes, netlink.Route(r))
	}
	if n.Mode == ModeTransparent {
		return routedPod(p), nil
	}
	p.Bridge.Name = n.Bridge
	if p.Bridge.Index, err = nl.Index(n.Bridge); err != nil {
		return netlink.Pod{}, err
	}
	// The fabric's router answers solicitations, but nobody needs to ask: its MAC never changes.
	p.Gateways = map[netip.Addr]net.HardwareAddr{platform.Router6: netlink.VirtualMAC}
	return p, nil
}

func elements(n *Network, e *Endpoint, p netlink.Pod) []netlink.Element {
	var out []netlink.Element
	for _, a := range e.Addresses {
		out = append(out, netlink.Element{Scope: scopeOf(n), Address: a.Addr(), MAC: p.MAC, Port: e.HostIfName, Comment: e.Owner.String()})
	}
	return out
}

// DeleteEndpoint implements Dataplane. First the host veth goes down, since without the elements no rule would judge what it
// lets through. Link and elements go side by side: each waits for an RCU grace period of its own.
func (l *Linux) DeleteEndpoint(_ context.Context, n *Network, e *Endpoint) error {
	if n.Master == "" || len(e.Addresses) == 0 {
		return l.deleteStray(e.Owner)
	}
	mac, err := parseMAC(e.MAC)
	if err != nil {
		return err
	}
	nl, err := netlink.Open()
	if err != nil {
		return err
	}
	defer nl.Close()
	if err := nl.SetDown(e.HostIfName); err != nil {
		return err
	}
	return parallel(
		func() error { return deleteElements(elements(n, e, netlink.Pod{MAC: mac})) },
		func() error { return nl.DeletePod(e.HostIfName, n.Bridge, addrsOf(e.Addresses)) })
}

// DeleteEndpoints deletes many endpoints of a known network at once: they share the RCU grace periods.
func (l *Linux) DeleteEndpoints(_ context.Context, n *Network, list []*Endpoint) error {
	var all []netlink.Element
	var veths []string
	var addrs []netip.Addr
	for _, e := range list {
		mac, err := parseMAC(e.MAC)
		if err != nil {
			return err
		}
		all = append(all, elements(n, e, netlink.Pod{MAC: mac})...)
		veths, addrs = append(veths, e.HostIfName), append(addrs, addrsOf(e.Addresses)...)
	}
	nl, err := netlink.Open()
	if err != nil {
		return err
	}
	defer nl.Close()
	if err := nl.SetDown(veths...); err != nil {
		return err
	}
	return parallel(
		func() error {
			nft, err := netlink.OpenNFT()
			if err != nil {
				return err
			}
			defer nft.Close()
			return nft.DeleteManyElements(all...)
		},
		func() error { return nl.DeletePods(veths, n.Bridge, addrs) })
}

func deleteElements(list []netlink.Element) error {
	if len(list) == 0 {
		return nil
	}
	nft, err := netlink.OpenNFT()
	if err != nil {
		return err
	}
	defer nft.Close()
	return nft.DeleteElements(list...)
}

// deleteStray deletes what the host shows of an owner that has no record: the host veth has a derived
// name, and the elements carry the owner as their comment.
func (l *Linux) deleteStray(o Owner) error {
	// An address that was given again since then is another pod's: the element looks the same, since the MAC comes
	// from the address, and may still carry the old owner's name.
	found, err := strayElements(func(e netlink.Element) bool {
		return e.Comment == o.String() && !e.Shared && (e.Port == "" || e.Port == o.HostIfName())
	})
	if err != nil {
		return err
	}
	bridge := ""
	e := &Endpoint{}
	for _, el := range found {
		if !el.Routed() {
			bridge = el.Name
		}
		e.Addresses = append(e.Addresses, netip.PrefixFrom(el.Address, el.Address.BitLen()))
	}
	nl, err := netlink.Open()
	if err != nil {
		return err
	}
	defer nl.Close()
	if err := nl.SetDown(o.HostIfName()); err != nil {
		return err
	}
	return errors.Join(deleteElements(found), nl.DeletePod(o.HostIfName(), bridge, addrsOf(e.Addresses)))
}

func strayElements(want func(netlink.Element) bool) ([]netlink.Element, error) {
	nft, err := netlink.OpenNFT()
	if err != nil {
		return nil, err
	}
	defer nft.Close()
	bridges, err := nft.Scopes()
	if err != nil {
		return nil, err
	}
	var found []netlink.Element
	for _, b := range bridges {
		list, err := nft.Elements(b)
		if err != nil {
			return nil, err
		}
		found = append(found, slices.DeleteFunc(list, func(e netlink.Element) bool { return !want(e) })...)
	}
	return found, nil
}

// Owners implements Dataplane: whoever has a host veth or an element.
func (l *Linux) Owners(_ context.Context, n *Network) ([]Owner, error) {
	nl, err := netlink.Open()
	if err != nil {
		return nil, err
	}
	defer nl.Close()
	links, err := nl.Links()
	if err != nil {
		return nil, err
	}
	var owners []Owner
	add := func(text string) {
		if o, ok := ParseOwner(text); ok && o.Network == n.Name && !slices.Contains(owners, o) {
			owners = append(owners, o)
		}
	}
	for _, link := range links {
		if link.Kind == "veth" {
			add(link.Alias)
		}
	}
	found, err := strayElements(func(netlink.Element) bool { return true })
	for _, e := range found {
		add(e.Comment)
	}
	return owners, err
}

// CheckEndpoint implements Dataplane.
func (l *Linux) CheckEndpoint(_ context.Context, n *Network, e *Endpoint) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	// First what all pods need.
	if cerr := checkNetwork(k, n); cerr != nil {
		return cerr
	}
	have, err := k.nft.Elements(scopeOf(n))
	if err != nil {
		return err
	}
	diff, err := checkPod(k, n, e, have)
	if errors.Is(err, netlink.ErrNetNS) {
		return fmt.Errorf("%w: %w", ErrNetNS, err)
	}
	if diff != "" {
		err = fmt.Errorf("%w: %s", ErrDifference, diff)
	}
	return err
}

func checkNetwork(k *kernel, n *Network) error {
	if n.Mode == ModeTransparent {
		return checkRouted(k, n)
	}
	return checkBridge(k, n)
}

// checkPod names the first difference between an endpoint and what is, or "". have are the elements of its network.
func checkPod(k *kernel, n *Network, e *Endpoint, have []netlink.Element) (string, error) {
	pod, err := podOf(k.nl, n, e)
	if err != nil {
		return "", err
	}
	if diff, err := k.nl.CheckPod(pod); diff != "" || err != nil {
		return diff, err
	}
	return checkElements(k, elements(n, e, pod), have), nil
}

// checkElements names the first difference between a pod's elements and what is, or "".
func checkElements(k *kernel, pod, have []netlink.Element) string {
	for _, want := range pod {
		if !slices.ContainsFunc(have, func(h netlink.Element) bool { return same(h, want) }) {
			return fmt.Sprintf("the nftables elements of %s (%s, port %s) are missing", want.Address, want.MAC, want.Port)
		}
		if want.Family == netlink.FamilyNetdev && !k.nft.PodChainInPlace(want) {
			return fmt.Sprintf("the nftables chain of port %s is not in place", want.Port)
		}
	}
	return ""
}
