package linux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/Azure/azure-container-networking/log/step"
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/nft"
)

// ensureRouted makes the host a router for its pods. The master stays as it is.
func (l *Dataplane) ensureRouted(ctx context.Context, n *view) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	master, err := k.nl.Link(n.Master)
	if err != nil {
		return masterError(err)
	}
	policy, err := n.policy(k, netlink.Link{}, master)
	if err != nil {
		return err
	}
	if ferr := errors.Join(forward(n), forward6(n, append([]string{n.Master}, policy.Listens...)...), n.validMark()); ferr != nil {
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

// routedPod completes a pod of transparent mode. host is the MAC of its host veth, if there is one already.
func routedPod(p netlink.Pod, host string) netlink.Pod {
	if mac, err := net.ParseMAC(host); err == nil {
		p.HostMAC = mac
	} else {
		// The pod's MAC with another first byte: both ends know each other's MAC without asking.
		p.HostMAC = append(net.HardwareAddr{p.MAC[0] ^ 0x04}, p.MAC[1:]...)
	}
	p.Gateways = map[netip.Addr]net.HardwareAddr{network.RoutedGateway4: p.HostMAC, network.RoutedGateway6: p.HostMAC}
	return p
}

// checkRouted is the network's part of CHECK in transparent mode.
func checkRouted(k *kernel, n *view) error {
	master, err := k.nl.Link(n.Master)
	if err != nil {
		return masterError(err)
	}
	if !master.Up {
		return fmt.Errorf("%w: master %s is down", network.ErrDifference, n.Master)
	}
	policy, err := n.policy(k, netlink.Link{}, master)
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
