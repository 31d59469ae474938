package linux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/log/step"
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/nft"
)

// bridged is the mode with a bridge, which takes the master as a port, and with it what the host has on that: bridge
// and tunnel.
type bridged struct{}

// ensure implements mode: the bridge, with its rules.
func (m bridged) ensure(ctx context.Context, l *Dataplane, n *view) error {
	k, err := l.openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	var b netlink.Bridge
	var ok bool
	err = step.Do(l.Log, "look at the bridge", func() (err error) {
		b, ok, err = k.nl.Bridge(n.Bridge, n.Master)
		return err
	}, slog.String("bridge", n.Bridge))
	if err != nil {
		return masterError(err)
	}
	policy, err := n.policy(k, b)
	if err != nil {
		return err
	}
	// A host that lost addresses shows in the rules, which name them.
	end := step.Begin(l.Log, "compare the rules")
	in := ok && !n.Suspect && !n.Imported && k.nft.RulesInPlace(bridgeRules(n, b))
	end(nil)
	if in {
		in, err = portsInPlace(k, n, b)
	}
	if err == nil && !in {
		err = l.repairing(ctx, n, func() error {
			b, err = m.repair(ctx, l, k, n)
			return err
		})
	}
	if err == nil {
		err = step.Do(l.Log, "set the host's sysctls", func() error {
			return errors.Join(n.host.Forward(), n.host.BridgedNAT(l.Log), n.host.ValidMark(n.other))
		})
	}
	if err == nil {
		policy.Own = b.Link // where the configuration is by now
		err = step.Do(l.Log, "see that the policy rules are there", func() error { return ensurePolicy(k, policy) })
	}
	if err == nil && n.HasIPv6() { // whatever the host itself does with IPv6: the bridge has the pods' neighbours
		err = n.host.Set("0", "net", "ipv6", "conf", n.Bridge, "disable_ipv6")
	}
	if err == nil && (n.IPMasq || len(n.IPsToRouteViaHost) > 0) { // on a bridge the host routes IPv6 only for these
		err = n.host.Forward6(n.Bridge)
	}
	if err != nil {
		return err
	}
	n.MAC, n.MTU = b.Master.MAC.String(), b.Master.MTU
	n.Snapshot, err = k.nl.Snapshot(b, n.Snapshot)
	return err
}

// repair runs under the lock. The rules come first: they match nothing until the bridge has ports,
// and without them the bridge would not let pods reach anything. They need the host's addresses, which the
// master still has at the first time; those of a bridge that was lost are known when it is back.
func (m bridged) repair(ctx context.Context, l *Dataplane, k *kernel, n *view) (netlink.Bridge, error) {
	b, ok, err := k.nl.Bridge(n.Bridge, n.Master)
	if err != nil {
		return b, masterError(err)
	}
	pods, err := livePods(k, n)
	if err != nil {
		return b, err
	}
	bereft := b.Bereft(n.Snapshot)
	if !ok || bereft {
		left, lerr := k.nl.Addresses(b.Master)
		if lerr != nil {
			return b, lerr
		}
		b.Primary = append(b.Primary, left...)
		if b.Link.Index == 0 || bereft { // what comes back with the bridge belongs to the host from the first frame on
			b.Primary = append(b.Primary, netlink.SnapshotAddresses(n.Snapshot)...)
		}
	}
	if rerr := ensureBridgeRules(k, n, b, pods); rerr != nil {
		return b, rerr
	}
	made := b.Link.Index == 0
	if ok && !bereft {
		err = errors.Join(k.nl.Reconnect(b, podsOf(pods)), n.host.GoOnListening())
	} else {
		b, err = m.create(ctx, l, k, n, b, pods)
	}
	if err != nil && made && len(pods) == 0 { // the host is as it was
		err = errors.Join(err, k.nft.RemoveRules(n.scope()))
	}
	if err != nil {
		return b, masterError(err)
	}
	n.Imported = false
	return b, nil
}

// create makes the bridge, or the one that is there as it should be. Only a new one has to be told the names' servers:
// to another somebody may have told others.
func (bridged) create(ctx context.Context, l *Dataplane, k *kernel, n *view, b netlink.Bridge,
	pods []livePod) (netlink.Bridge, error) {
	made := b.Link.Index == 0
	if made {
		if names := l.readDNS(ctx, b.Master); names != nil {
			n.DNS = names
		}
	} else if err := n.host.FollowIPv6(); err != nil {
		return b, err
	}
	b, err := k.nl.EnsureBridge(n.Bridge, n.Master,
		netlink.Lost{Host: n.Snapshot, Pods: podsOf(pods), Prepare: n.host.Inherit})
	if err != nil {
		return b, err
	}
	n.moved = true
	if err := ensureBridgeRules(k, n, b, pods); err != nil {
		return b, err
	}
	if made {
		l.applyDNS(ctx, b.Link, n.DNS)
	}
	return b, nil
}

// remove implements mode. It gives the host its configuration back. resolved forgets the settings of a bridge that
// goes, and those of a link that ceases to be a port, too (systemd 252).
func (bridged) remove(ctx context.Context, l *Dataplane, k *kernel, n *view) error {
	b, _, err := k.nl.Bridge(n.Bridge, n.Master)
	names := n.DNS
	if err == nil && b.Link.Index != 0 {
		if now := l.readDNS(ctx, b.Link); now != nil {
			names = now
		}
	}
	if err := k.nl.RemoveBridge(n.Bridge, n.Master, n.Snapshot); err != nil {
		return err
	}
	l.applyDNS(ctx, b.Master, names)
	return nil
}

func masterError(err error) error {
	switch {
	case errors.Is(err, netlink.ErrNotFound):
		return fmt.Errorf("%w: %w", network.ErrMaster, err)
	case errors.Is(err, netlink.ErrNoPort):
		return fmt.Errorf("%w: %w", network.ErrNoPort, err)
	case errors.Is(err, netlink.ErrExists), errors.Is(err, netlink.ErrMasterTaken):
		return fmt.Errorf("%w: %w", network.ErrConflict, err)
	}
	return err
}

// ensureBridgeRules makes the rules, in the family of nftables that the kernel has. Which one is found out once.
func ensureBridgeRules(k *kernel, n *view, b netlink.Bridge, pods []livePod) error {
	if !n.Imported && k.nft.RulesInPlace(bridgeRules(n, b)) {
		return restoreElements(k, n, pods)
	}
	candidates := []nft.Family{nft.Family(n.Family)}
	if n.Family == "" {
		candidates = []nft.Family{nft.FamilyBridge, nft.FamilyNetdev}
	}
	var lacks error
	for _, f := range candidates {
		if f == nft.FamilyNetdev && n.Imported &&
			legacyEbtables() { // which run after those of this family, and would have the last word
			n.Family = ""
			return fmt.Errorf("%w: legacy ebtables are in use (module ebtable_nat), and the kernel has no bridge family of "+
				"nftables, whose rules would come after those of the classic plugin. ebtables-legacy -t nat -F, and rmmod "+
				"ebtable_nat, remove them; the pods of this node are without network from then on until an ADD or a DEL has "+
				"taken them over", network.ErrKernel)
		}
		n.Family = string(f)
		err := k.nft.EnsureRules(bridgeRules(n, b), liveElements(n, pods)...)
		if !errors.Is(err, nft.ErrFeature) {
			return err
		}
		lacks = errors.Join(lacks, fmt.Errorf("family %s: %w", f, err))
	}
	n.Family = ""
	return fmt.Errorf("%w: nftables needs the bridge family (CONFIG_NF_TABLES_BRIDGE), or the netdev family with egress "+
		"hooks (CONFIG_NF_TABLES_NETDEV, CONFIG_NETFILTER_EGRESS): %w", network.ErrKernel, lacks)
}

// check implements mode.
func (bridged) check(k *kernel, n *view) error {
	b, ok, err := k.nl.Bridge(n.Bridge, n.Master)
	if err != nil {
		return masterError(err)
	}
	switch {
	case b.Link.Index == 0:
		return fmt.Errorf("%w: bridge %s is gone", network.ErrDifference, n.Bridge)
	case !ok:
		return fmt.Errorf("%w: bridge %s does not have the configuration of master %s",
			network.ErrDifference, n.Bridge, n.Master)
	case b.Bereft(n.Snapshot):
		return fmt.Errorf("%w: the host has lost its addresses on bridge %s", network.ErrDifference, n.Bridge)
	}
	policy, err := n.policy(k, b)
	if err != nil {
		return err
	}
	if !k.nft.RulesInPlace(bridgeRules(n, b)) {
		return fmt.Errorf("%w: the nftables rules of bridge %s are not in place", network.ErrDifference, n.Bridge)
	}
	return checkPolicy(k, policy)
}

// scope implements mode. Which family of rules the kernel has ensure finds out.
func (bridged) scope(n *view) nft.Scope {
	return nft.Scope{Name: n.Bridge, Family: cmp.Or(nft.Family(n.Family), nft.FamilyBridge)}
}

// pod implements mode.
func (bridged) pod(nl *netlink.Handle, n *view, _ *network.Endpoint, p netlink.Pod) (_ netlink.Pod, err error) {
	p.Bridge.Name, p.HostRoutes = n.Bridge, n.other != ""
	if p.Bridge.Index, err = nl.Index(n.Bridge); err != nil {
		return netlink.Pod{}, err
	}
	// The fabric's router answers solicitations, but nobody needs to ask: its MAC never changes.
	p.Gateways = map[netip.Addr]net.HardwareAddr{azure.Router6: azure.FabricMAC}
	return p, nil
}

// prefix implements mode: pods are in the subnet.
func (bridged) prefix(n *view, a netip.Addr) netip.Prefix {
	for _, p := range n.Prefixes {
		if p.Contains(a) {
			return netip.PrefixFrom(a, p.Bits())
		}
	}
	return netip.PrefixFrom(a, a.BitLen())
}

// routes implements mode.
func (bridged) routes() bool { return false }

// carrier implements mode.
func (bridged) carrier(n *view, links []netlink.Link) (index int, ok bool) {
	i := slices.IndexFunc(links, func(l netlink.Link) bool { return l.Name == n.Bridge })
	if i < 0 {
		return 0, false
	}
	return links[i].Index, true
}

// has implements mode.
func (bridged) has(*view, []netip.Prefix) bool { return true }

// examine implements mode.
func (bridged) examine(k *kernel, n *view, _ netlink.Link) (*nft.Rules, []finding.Finding) {
	b, out := examineBridge(k, n)
	if b.Link.Index == 0 {
		return nil, out
	}
	out = append(out, examinePolicy(k, n, b)...) // which finds out what the rules need
	r := bridgeRules(n, b)
	return &r, out
}

// supported implements mode.
func (bridged) supported(k *kernel) (found string, lacks error) {
	bridge := k.nft.Supports(nft.FamilyBridge)
	if bridge == nil {
		return "nftables has the bridge family", nil
	}
	if netdev := k.nft.Supports(nft.FamilyNetdev); netdev != nil {
		return "", errors.Join(bridge, netdev)
	}
	return "nftables has no bridge family, but netdev with egress hooks", nil
}
