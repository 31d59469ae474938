package linux

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/log/step"
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/nft"
)

// CreateEndpoint implements network.Dataplane. The pod's elements are there before its first frame.
func (l *Dataplane) CreateEndpoint(_ context.Context, want *network.Network, e *network.Endpoint) error {
	n := viewOf(want)
	k, err := l.openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	if e.MTU == 0 {
		e.MTU = n.MTU
	}
	if e.MTU > n.MTU {
		return fmt.Errorf("%w: MTU %d is larger than %d of master %s: the bridge would drop larger packets silently",
			network.ErrUnsupported, e.MTU, n.MTU, n.Master)
	}
	pod, err := podOf(k.nl, n, e)
	if err != nil {
		return err
	}
	pod.Visit = l.visit.Swap(nil)
	defer pod.Visit.End()
	pod.Guard = func() error {
		return step.Do(l.Log, "add the pod to the rules", func() error { return k.nft.AddElements(elements(n, e, pod)...) })
	}
	host, err := step.Get(l.Log, "make veth, addresses and routes",
		func() (netlink.Link, error) { return k.nl.AddPod(pod) }, slog.String("netns", e.NetNS))
	if errors.Is(err, netlink.ErrExists) {
		return fmt.Errorf("%w: %w", network.ErrExists, err)
	}
	if errors.Is(err, netlink.ErrRoute) {
		return fmt.Errorf("%w: %w", network.ErrRoutes, err)
	}
	if errors.Is(err, netlink.ErrSlow) {
		return fmt.Errorf("%w: %w", network.ErrBusy, err)
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

func podOf(nl *netlink.Handle, n *view, e *network.Endpoint) (netlink.Pod, error) {
	mac, err := parseMAC(e.MAC)
	if err != nil {
		return netlink.Pod{}, err
	}
	p := netlink.Pod{NetNS: e.NetNS, IfName: e.IfName, HostName: e.HostIfName, Alias: e.Owner.String(), MAC: mac,
		MTU: e.MTU, Addresses: e.Addresses, Further: e.Further}
	for _, r := range e.Routes {
		p.Routes = append(p.Routes, netlink.Route(r))
	}
	return n.mode.pod(nl, n, e, p)
}

func elements(n *view, e *network.Endpoint, p netlink.Pod) []nft.Element {
	var out []nft.Element
	for _, a := range e.Addresses {
		out = append(out, nft.Element{Scope: n.scope(), Address: a.Addr(), MAC: p.MAC,
			Port: e.HostIfName, Comment: e.Owner.String()})
	}
	return out
}

// DeleteEndpoint implements network.Dataplane. First the host veth goes down, since without the elements no rule would
// judge what it lets through. Link and elements go side by side: each waits for an RCU grace period of its own.
func (l *Dataplane) DeleteEndpoint(ctx context.Context, n *network.Network, e *network.Endpoint) error {
	return l.deleting(ctx, func() error { return l.deleteEndpoint(viewOf(n), e) })
}

func (l *Dataplane) deleteEndpoint(n *view, e *network.Endpoint) error {
	if n.Master == "" || len(e.Addresses) == 0 {
		return l.deleteStray(e.Owner)
	}
	mac, err := parseMAC(e.MAC)
	if err != nil {
		return err
	}
	nl, err := netlink.Open(l.Host.Sockets)
	if err != nil {
		return err
	}
	defer nl.Close()
	if e.HostIfName != e.Owner.HostIfName() && !nl.IsPods(e.HostIfName, e.Owner.String()) {
		return l.deleteStray(e.Owner) // the pod's next sandbox has the name
	}
	if err := nl.SetDown(e.HostIfName); err != nil {
		return err
	}
	return parallel(
		func() error {
			return step.Do(l.Log, "take the pod out of the rules",
				func() error { return l.deleteElements(elements(n, e, netlink.Pod{MAC: mac})) })
		},
		func() error {
			return step.Do(l.Log, "delete veth, neighbours and routes",
				func() error { return nl.DeletePod(e.HostIfName, n.Bridge, addrsOf(e.Addresses)) })
		})
}

// DeleteEndpoints deletes many endpoints of a known network at once: they share the RCU grace periods.
func (l *Dataplane) DeleteEndpoints(ctx context.Context, n *network.Network, list []*network.Endpoint) error {
	return l.deleting(ctx, func() error { return l.deleteEndpoints(viewOf(n), list) })
}

func (l *Dataplane) deleteEndpoints(n *view, list []*network.Endpoint) error {
	var all []nft.Element
	var veths []string
	var addrs []netip.Addr
	list = slices.DeleteFunc(slices.Clone(list), (*network.Endpoint).Announced)
	for _, e := range list {
		mac, err := parseMAC(e.MAC)
		if err != nil {
			return err
		}
		all = append(all, elements(n, e, netlink.Pod{MAC: mac})...)
		veths, addrs = append(veths, e.HostIfName), append(addrs, addrsOf(e.Addresses)...)
	}
	nl, err := netlink.Open(l.Host.Sockets)
	if err != nil {
		return err
	}
	defer nl.Close()
	if err := l.allTheirs(nl, list); err != nil {
		return err
	}
	if err := nl.SetDown(veths...); err != nil {
		return err
	}
	return parallel(
		func() error { return l.deleteElements(all) },
		func() error { return nl.DeletePods(veths, n.Bridge, addrs) })
}

// allTheirs says whether host veths with the names of pods are still those of the endpoints.
func (*Dataplane) allTheirs(nl *netlink.Handle, list []*network.Endpoint) error {
	if !slices.ContainsFunc(list, func(e *network.Endpoint) bool { return e.HostIfName != e.Owner.HostIfName() }) {
		return nil
	}
	links, err := nl.Links()
	if err != nil {
		return err
	}
	owner := map[string]string{}
	for _, l := range links {
		owner[l.Name] = l.Alias
	}
	for _, e := range list {
		if has := owner[e.HostIfName]; has != "" && has != e.Owner.String() {
			return fmt.Errorf("host veth %s is that of %s, not of %s", e.HostIfName, has, e.Owner)
		}
	}
	return nil
}

func (l *Dataplane) deleteElements(list []nft.Element) error {
	if len(list) == 0 {
		return nil
	}
	conn := nft.Open(l.Host.Sockets)
	defer conn.Close()
	return conn.DeleteElements(list...)
}

// deleteStray deletes what the host shows of an owner that has no record: the host veth has a derived name, or the
// owner as its alias, and the elements carry the owner as their comment.
func (l *Dataplane) deleteStray(o network.Owner) error {
	nl, err := netlink.Open(l.Host.Sockets)
	if err != nil {
		return err
	}
	defer nl.Close()
	veth, err := nl.PodVeth(o.String(), o.HostIfName())
	if err != nil {
		return err
	}
	// An address that was given again since then is another pod's: the element looks the same, since the MAC comes
	// from the address, and may still carry the old owner's name. So may one of a host veth whose name is another's now.
	found, err := l.strayElements(func(e nft.Element) bool {
		return e.Comment == o.String() && !e.Shared &&
			(e.Port == "" || e.Port == veth || e.Port == o.HostIfName() || !nl.Exists(e.Port))
	})
	if err != nil {
		return err
	}
	bridge := ""
	for _, el := range found {
		if !el.Routed() {
			bridge = el.Name
		}
	}
	if err := nl.SetDown(veth); err != nil {
		return err
	}
	var addrs []netip.Addr
	for _, a := range elementAddresses(found) {
		addrs = append(addrs, a.Addr())
	}
	return errors.Join(l.deleteElements(found), nl.DeletePod(veth, bridge, addrs))
}

func elementAddresses(list []nft.Element) (addrs []netip.Prefix) {
	for _, e := range list {
		if e.Address.IsValid() {
			addrs = append(addrs, netip.PrefixFrom(e.Address, e.Address.BitLen()))
		}
	}
	return addrs
}

func (l *Dataplane) strayElements(want func(nft.Element) bool) ([]nft.Element, error) {
	conn := nft.Open(l.Host.Sockets)
	defer conn.Close()
	bridges, err := conn.Scopes()
	if err != nil {
		return nil, err
	}
	var found []nft.Element
	for _, b := range bridges {
		list, err := conn.Elements(b)
		if err != nil {
			return nil, err
		}
		found = append(found, slices.DeleteFunc(list, func(e nft.Element) bool { return !want(e) })...)
	}
	return found, nil
}

// Owners implements network.Dataplane: whoever has a host veth or an element.
func (l *Dataplane) Owners(_ context.Context, n *network.Network) ([]network.Owner, error) {
	nl, err := netlink.Open(l.Host.Sockets)
	if err != nil {
		return nil, err
	}
	defer nl.Close()
	links, err := nl.Links()
	if err != nil {
		return nil, err
	}
	var owners []network.Owner
	add := func(text string) {
		if o, ok := network.ParseOwner(text); ok && o.Network == n.Name && !slices.Contains(owners, o) {
			owners = append(owners, o)
		}
	}
	for _, link := range links {
		if link.Kind == "veth" {
			add(link.Alias)
		}
	}
	found, err := l.strayElements(func(nft.Element) bool { return true })
	for _, e := range found {
		add(e.Comment)
	}
	return owners, err
}

// FollowMTU implements network.Dataplane.
func (l *Dataplane) FollowMTU(_ context.Context, e *network.Endpoint, mtu int) error {
	nl, err := netlink.Open(l.Host.Sockets)
	if err != nil {
		return err
	}
	defer nl.Close()
	return nl.SetMTU(netlink.Pod{NetNS: e.NetNS, IfName: e.IfName, HostName: e.HostIfName}, mtu)
}

// Adopt implements network.Dataplane. Ports and neighbours follow with the next look at the network.
func (l *Dataplane) Adopt(_ context.Context, want *network.Network, e *network.Endpoint) error {
	n := viewOf(want)
	k, err := l.openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	pod, err := podOf(k.nl, n, e)
	if err != nil {
		return err
	}
	mac, err := k.nl.AdoptMAC(pod)
	if err != nil {
		return err
	}
	if mac.String() != e.MAC {
		return fmt.Errorf("%w: interface %s has MAC %s, the runtime's result says %s",
			network.ErrDifference, e.IfName, mac, e.MAC)
	}
	return k.nft.TakeElements(elements(n, e, pod)...)
}

// CheckEndpoint implements network.Dataplane.
func (l *Dataplane) CheckEndpoint(_ context.Context, want *network.Network, e *network.Endpoint) error {
	n := viewOf(want)
	end := step.Begin(l.Log, "compare the pod with the host")
	defer func() { end(nil) }() // the command's line has the error
	k, err := l.openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	if n.Imported {
		return l.checkImported(k, n, e)
	}
	// First what all pods need.
	if cerr := n.mode.check(k, n); cerr != nil {
		return cerr
	}
	diff, err := checkPod(k, n, e, k.nft.Complete)
	if errors.Is(err, netlink.ErrNetNS) {
		return fmt.Errorf("%w: %w", network.ErrNetNS, err)
	}
	if diff.Text != "" {
		err = fmt.Errorf("%w: %s", network.ErrDifference, diff.Text)
	}
	return err
}

// checkImported looks at what a pod of another plugin has that ours have, too.
func (*Dataplane) checkImported(k *kernel, n *view, e *network.Endpoint) error {
	pod, err := podOf(k.nl, n, e)
	if err != nil {
		return masterError(err)
	}
	diff, err := k.nl.CheckForeignPod(pod)
	if errors.Is(err, netlink.ErrNetNS) {
		return fmt.Errorf("%w: %w", network.ErrNetNS, err)
	}
	if diff != "" {
		err = fmt.Errorf("%w: %s", network.ErrDifference, diff)
	}
	return err
}

// checkPod names the first difference between an endpoint and what is; complete says whether the rules' sets have an
// element.
func checkPod(k *kernel, n *view, e *network.Endpoint,
	complete func(nft.Element) (bool, error)) (netlink.Difference, error) {
	pod, err := podOf(k.nl, n, e)
	if err != nil {
		return netlink.Difference{}, err
	}
	diff, err := k.nl.CheckPod(pod)
	if diff.Text != "" && !diff.Chain || err != nil {
		return diff, err
	}
	missing, err := checkElements(k, elements(n, e, pod), complete)
	if missing != "" {
		diff = netlink.Difference{Text: missing}
	}
	return diff, err
}

// checkElements names the first difference between a pod's elements and what is, or "".
func checkElements(k *kernel, pod []nft.Element, complete func(nft.Element) (bool, error)) (string, error) {
	for _, want := range pod {
		is, err := complete(want)
		if err != nil {
			return "", err
		}
		if !is {
			return fmt.Sprintf("the nftables elements of %s (%s, port %s) are missing", want.Address, want.MAC, want.Port), nil
		}
		if want.Family == nft.FamilyNetdev && !k.nft.PodChainInPlace(want) {
			return fmt.Sprintf("the nftables chain of port %s is not in place", want.Port), nil
		}
	}
	return "", nil
}

// among finds elements in a listing.
func among(have []nft.Element) func(nft.Element) (bool, error) {
	return func(want nft.Element) (bool, error) {
		return slices.ContainsFunc(have, func(h nft.Element) bool { return same(h, want) }), nil
	}
}
