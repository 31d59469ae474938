package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink"
)

// ensureBridge makes the bridge of a bridge or tunnel network with its rules.
func (l *Linux) ensureBridge(ctx context.Context, n *Network) error {
	nl, err := netlink.Open()
	if err != nil {
		return err
	}
	defer nl.Close()
	nft, err := netlink.OpenNFT()
	if err != nil {
		return err
	}
	defer nft.Close()
	b, ok, err := nl.Bridge(n.Bridge, n.Master)
	if err != nil {
		return masterError(err)
	}
	if err := forward(n); err != nil {
		return err
	}
	if !ok || !nft.RulesInPlace(rules(n, b)) {
		err = l.locked(ctx, func() error {
			b, err = repairBridge(nl, nft, n)
			return err
		})
	}
	if err != nil {
		return err
	}
	n.MAC, n.MTU = b.Master.MAC.String(), b.Master.MTU
	return nil
}

// repairBridge runs under the lock. The rules come first: they match nothing until the bridge has ports,
// and without them the bridge would not let pods reach anything. They need the host's addresses, which the
// master still has at the first time.
func repairBridge(nl *netlink.Handle, nft *netlink.NFT, n *Network) (netlink.Bridge, error) {
	b, ok, err := nl.Bridge(n.Bridge, n.Master)
	if err != nil {
		return b, masterError(err)
	}
	if !ok {
		left, lerr := nl.Addresses(b.Master)
		if lerr != nil {
			return b, lerr
		}
		b.Primary = append(b.Primary, left...)
	}
	if r := rules(n, b); !nft.RulesInPlace(r) {
		if err := nft.EnsureRules(r); errors.Is(err, netlink.ErrNoBridgeFamily) {
			return b, fmt.Errorf("%w: %w", ErrKernel, err)
		} else if err != nil {
			return b, err
		}
	}
	if ok {
		return b, nil
	}
	if b, err = nl.EnsureBridge(n.Bridge, n.Master); err != nil {
		return b, masterError(err)
	}
	pods, err := nft.Elements(scopeOf(n))
	if err != nil {
		return b, err
	}
	return b, errors.Join(nl.PinFabric(b), nl.PinPods(b, pods))
}

func masterError(err error) error {
	switch {
	case errors.Is(err, netlink.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrMaster, err)
	case errors.Is(err, netlink.ErrExists), errors.Is(err, netlink.ErrMasterTaken):
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

func scopeOf(n *Network) netlink.Scope {
	return netlink.Rules{Bridge: n.Bridge, Master: n.Master}.Scope()
}

func rules(n *Network, b netlink.Bridge) netlink.Rules {
	return netlink.Rules{
		Bridge: n.Bridge, Master: n.Master, MAC: b.Master.MAC, Host: b.Primary,
		Tunnel: n.Mode == ModeTunnel, AntiSpoof: n.AntiSpoof, HostAgent: n.HostAgent,
	}
}

// DeleteNetwork implements Dataplane.
func (l *Linux) DeleteNetwork(ctx context.Context, n *Network) error {
	nl, err := netlink.Open()
	if err != nil {
		return err
	}
	defer nl.Close()
	nft, err := netlink.OpenNFT()
	if err != nil {
		return err
	}
	defer nft.Close()
	return l.locked(ctx, func() error {
		if n.Bridge != "" {
			if err := nl.RemoveBridge(n.Bridge, n.Master); err != nil {
				return err
			}
		}
		if err := nft.RemoveRules(scopeOf(n)); err != nil {
			return err
		}
		return restoreSysctls(n)
	})
}

// CreateEndpoint implements Dataplane. The pod's map element comes last: until then nothing can reach it.
func (l *Linux) CreateEndpoint(_ context.Context, n *Network, e *Endpoint) error {
	nl, err := netlink.Open()
	if err != nil {
		return err
	}
	defer nl.Close()
	nft, err := netlink.OpenNFT()
	if err != nil {
		return err
	}
	defer nft.Close()
	if e.MTU == 0 {
		e.MTU = n.MTU
	}
	if e.MTU > n.MTU {
		return fmt.Errorf("%w: MTU %d is larger than %d of master %s: the bridge would drop larger packets silently", ErrUnsupported, e.MTU, n.MTU, n.Master)
	}
	pod, err := podOf(nl, n, e)
	if err != nil {
		return err
	}
	host, err := nl.AddPod(pod)
	if errors.Is(err, netlink.ErrExists) {
		return fmt.Errorf("%w: %w", ErrExists, err)
	}
	if err != nil {
		return err
	}
	e.HostMAC = host.MAC.String()
	return nft.AddElements(elements(n, e, pod)...)
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
	if p.Bridge, err = nl.Link(n.Bridge); err != nil {
		return netlink.Pod{}, err
	}
	// The fabric's router answers solicitations, but nobody needs to ask: its MAC never changes.
	p.Gateways = map[netip.Addr]net.HardwareAddr{netlink.FabricLinkLocal: netlink.VirtualMAC}
	return p, nil
}

func elements(n *Network, e *Endpoint, p netlink.Pod) []netlink.Element {
	var out []netlink.Element
	for _, a := range e.Addresses {
		out = append(out, netlink.Element{Scope: scopeOf(n), Address: a.Addr(), MAC: p.MAC, Port: e.HostIfName, Comment: e.Owner.String()})
	}
	return out
}

// DeleteEndpoint implements Dataplane. Link and elements go side by side: each waits for an RCU grace
// period of its own.
func (l *Linux) DeleteEndpoint(_ context.Context, n *Network, e *Endpoint) error {
	if n.Master == "" || len(e.Addresses) == 0 {
		return l.deleteStray(e.Owner)
	}
	mac, err := parseMAC(e.MAC)
	if err != nil {
		return err
	}
	return parallel(
		func() error { return deleteElements(elements(n, e, netlink.Pod{MAC: mac})) },
		func() error { return deleteLink(e.HostIfName, n.Bridge, e) })
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

func deleteLink(name, bridge string, e *Endpoint) error {
	nl, err := netlink.Open()
	if err != nil {
		return err
	}
	defer nl.Close()
	return nl.DeletePod(name, bridge, addrsOf(e.Addresses))
}

// deleteStray deletes what the host shows of an owner that has no record: the host veth has a derived
// name, and the elements carry the owner as their comment.
func (l *Linux) deleteStray(o Owner) error {
	found, err := strayElements(func(e netlink.Element) bool { return e.Comment == o.String() })
	if err != nil {
		return err
	}
	bridge := ""
	e := &Endpoint{}
	for _, el := range found {
		if !el.Routed {
			bridge = el.Name
		}
		e.Addresses = append(e.Addresses, netip.PrefixFrom(el.Address, el.Address.BitLen()))
	}
	return errors.Join(deleteElements(found), deleteLink(o.HostIfName(), bridge, e))
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
	nl, err := netlink.Open()
	if err != nil {
		return err
	}
	defer nl.Close()
	nft, err := netlink.OpenNFT()
	if err != nil {
		return err
	}
	defer nft.Close()
	network := checkBridge
	if n.Mode == ModeTransparent {
		network = checkRouted
	}
	// First what all pods need.
	if cerr := network(nl, nft, n); cerr != nil {
		return cerr
	}
	pod, err := podOf(nl, n, e)
	if err != nil {
		return err
	}
	if diff, err := nl.CheckPod(pod); err != nil {
		return err
	} else if diff != "" {
		return fmt.Errorf("%w: %s", ErrDifference, diff)
	}
	have, err := nft.Elements(scopeOf(n))
	if err != nil {
		return err
	}
	for _, want := range elements(n, e, pod) {
		if !slices.ContainsFunc(have, func(h netlink.Element) bool {
			return h.Complete && h.Address == want.Address && h.MAC.String() == want.MAC.String() && h.Port == want.Port
		}) {
			return fmt.Errorf("%w: the nftables elements of %s (%s, port %s) are missing", ErrDifference, want.Address, want.MAC, want.Port)
		}
	}
	return nil
}

// checkBridge is the network's part of CHECK.
func checkBridge(nl *netlink.Handle, nft *netlink.NFT, n *Network) error {
	b, ok, err := nl.Bridge(n.Bridge, n.Master)
	if err != nil {
		return masterError(err)
	}
	if !ok {
		return fmt.Errorf("%w: bridge %s does not have the configuration of master %s", ErrDifference, n.Bridge, n.Master)
	}
	if !nft.RulesInPlace(rules(n, b)) {
		return fmt.Errorf("%w: the nftables rules of bridge %s are not in place", ErrDifference, n.Bridge)
	}
	return nil
}

// Status implements Dataplane.
func (l *Linux) Status(context.Context, *Network) error {
	nft, err := netlink.OpenNFT()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKernel, err)
	}
	defer nft.Close()
	if _, err := nft.Scopes(); err != nil {
		return fmt.Errorf("%w: %w", ErrKernel, err)
	}
	return nil
}
