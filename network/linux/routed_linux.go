package linux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/log/step"
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/nft"
)

// routed is the mode in which the host routes to each pod, and the master stays as it is: transparent.
type routed struct{}

// ensure implements mode: it makes the host a router for its pods.
func (routed) ensure(ctx context.Context, l *Dataplane, n *view) error {
	k, err := l.openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	master, err := k.nl.Link(n.Master)
	if err != nil {
		return masterError(err)
	}
	policy, err := n.policy(k, netlink.Bridge{Master: master})
	if err != nil {
		return err
	}
	if ferr := errors.Join(n.host.Forward(), n.host.Forward6(append([]string{n.Master}, policy.Listens...)...),
		n.host.ValidMark(n.other)); ferr != nil {
		return ferr
	}
	r, err := routedRules(k.nl, n, master)
	if err != nil {
		return err
	}
	if n.Suspect || n.Imported || !k.nft.RulesInPlace(r) {
		err = l.repairing(ctx, n, func() error { return repairRouted(k, n, r) })
	}
	if err == nil {
		err = step.Do(l.Log, "see that the policy rules are there", func() error { return ensurePolicy(k, policy) })
	}
	if errors.Is(err, nft.ErrFeature) {
		return fmt.Errorf("%w: %w", network.ErrKernel, err)
	}
	n.MAC, n.MTU = master.MAC.String(), master.MTU
	return err
}

// repairRouted makes the rules, and what the host has for the pods that are there.
func repairRouted(k *kernel, n *view, r nft.Rules) error {
	pods, err := livePods(k, n)
	if err != nil {
		return err
	}
	if !n.Imported && k.nft.RulesInPlace(r) {
		err = restoreElements(k, n, pods)
	} else {
		err = k.nft.EnsureRules(r, liveElements(n, pods)...)
	}
	if err != nil {
		return err
	}
	n.Imported = false
	return k.nl.Reroute(podsOf(pods))
}

func routedRules(nl *netlink.Handle, n *view, master netlink.Link) (nft.Rules, error) {
	hosts, err := nl.Addresses(master)
	return rules(n, master, hosts), err
}

// pod implements mode.
func (routed) pod(_ *netlink.Handle, _ *view, e *network.Endpoint, p netlink.Pod) (netlink.Pod, error) {
	if mac, err := net.ParseMAC(e.HostMAC); err == nil { // there is a host veth already
		p.HostMAC = mac
	} else {
		// The pod's MAC with another first byte: both ends know each other's MAC without asking.
		p.HostMAC = append(net.HardwareAddr{p.MAC[0] ^ 0x04}, p.MAC[1:]...)
	}
	p.Gateways = map[netip.Addr]net.HardwareAddr{network.RoutedGateway4: p.HostMAC, network.RoutedGateway6: p.HostMAC}
	return p, nil
}

// check implements mode.
func (routed) check(k *kernel, n *view) error {
	master, err := k.nl.Link(n.Master)
	if err != nil {
		return masterError(err)
	}
	if !master.Up {
		return fmt.Errorf("%w: master %s is down", network.ErrDifference, n.Master)
	}
	policy, err := n.policy(k, netlink.Bridge{Master: master})
	if err != nil {
		return err
	}
	r, err := routedRules(k.nl, n, master)
	if err != nil {
		return err
	}
	if !k.nft.RulesInPlace(r) {
		return fmt.Errorf("%w: the nftables rules for %s are not in place", network.ErrDifference, n.Master)
	}
	return checkPolicy(k, policy)
}

// remove implements mode: there is nothing but rules, and routes that went with the pods.
func (routed) remove(context.Context, *Dataplane, *kernel, *view) error { return nil }

// scope implements mode.
func (routed) scope(n *view) nft.Scope { return nft.Scope{Name: n.Master, Family: nft.FamilyInet} }

// prefix implements mode: each address stands alone.
func (routed) prefix(_ *view, a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// routes implements mode.
func (routed) routes() bool { return true }

// carrier implements mode.
func (routed) carrier(*view, []netlink.Link) (index int, ok bool) { return 0, true }

// has implements mode: nothing but the subnet tells networks on two NICs apart.
func (routed) has(n *view, addresses []netip.Prefix) bool {
	return slices.ContainsFunc(n.Prefixes, func(pool netip.Prefix) bool { return pool.Contains(addresses[0].Addr()) })
}

// examine implements mode.
func (routed) examine(k *kernel, n *view, master netlink.Link) (*nft.Rules, []finding.Finding) {
	out := examinePolicy(k, n, netlink.Bridge{Master: master}) // which finds out what the rules need
	r, err := routedRules(k.nl, n, master)
	if err != nil {
		return nil, append(out, finding.Report("rules", "",
			[]finding.Finding{{Level: finding.Failure, Found: err.Error(), Remedy: "run doctor as root"}})...)
	}
	return &r, out
}

// supported implements mode.
func (routed) supported(k *kernel) (found string, lacks error) {
	return "nftables has the inet family", k.nft.Supports(nft.FamilyInet)
}
