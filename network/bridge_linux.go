package network

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-container-networking/netlink"
)

// ensureBridge makes the bridge of a bridge or tunnel network with its rules.
func (l *Linux) ensureBridge(ctx context.Context, n *Network) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	b, ok, err := k.nl.Bridge(n.Bridge, n.Master)
	if err != nil {
		return masterError(err)
	}
	if err := forward(n); err != nil {
		return err
	}
	if !ok || !k.nft.RulesInPlace(rules(n, b)) {
		err = l.locked(ctx, func() error {
			b, err = l.repairBridge(ctx, k, n)
			return err
		})
	}
	if err != nil {
		return err
	}
	n.MAC, n.MTU = b.Master.MAC.String(), b.Master.MTU
	n.Host, err = k.nl.Snapshot(b, n.Host)
	return err
}

// repairBridge runs under the lock. The rules come first: they match nothing until the bridge has ports,
// and without them the bridge would not let pods reach anything. They need the host's addresses, which the
// master still has at the first time; those of a bridge that was lost are known when it is back.
func (l *Linux) repairBridge(ctx context.Context, k *kernel, n *Network) (netlink.Bridge, error) {
	b, ok, err := k.nl.Bridge(n.Bridge, n.Master)
	if err != nil {
		return b, masterError(err)
	}
	if !ok {
		left, lerr := k.nl.Addresses(b.Master)
		if lerr != nil {
			return b, lerr
		}
		b.Primary = append(b.Primary, left...)
	}
	if err := ensureRules(k, rules(n, b)); err != nil || ok {
		return b, err
	}
	lost, err := lostWith(n)
	if err != nil {
		return b, err
	}
	// A bridge that is there has its settings, and somebody may have changed them.
	made := b.Link.Index == 0
	if made {
		if names := l.readDNS(ctx, b.Master); names != nil {
			n.DNS = names
		}
	}
	if b, err = k.nl.EnsureBridge(n.Bridge, n.Master, lost); err != nil {
		return b, masterError(err)
	}
	if err := ensureRules(k, rules(n, b)); err != nil || !made {
		return b, err
	}
	l.applyDNS(ctx, b.Link, n.DNS)
	return b, nil
}

// removeBridge gives the host its configuration back. resolved forgets the settings of a bridge that goes, and those
// of a link that ceases to be a port, too (systemd 252).
func (l *Linux) removeBridge(ctx context.Context, k *kernel, n *Network) error {
	b, _, err := k.nl.Bridge(n.Bridge, n.Master)
	names := n.DNS
	if err == nil && b.Link.Index != 0 {
		if now := l.readDNS(ctx, b.Link); now != nil {
			names = now
		}
	}
	if err := k.nl.RemoveBridge(n.Bridge, n.Master, n.Host); err != nil {
		return err
	}
	l.applyDNS(ctx, b.Master, names)
	return nil
}

func ensureRules(k *kernel, r netlink.Rules) error {
	if k.nft.RulesInPlace(r) {
		return nil
	}
	err := k.nft.EnsureRules(r)
	if errors.Is(err, netlink.ErrNoBridgeFamily) {
		return fmt.Errorf("%w: %w", ErrKernel, err)
	}
	return err
}

// lostWith is what the bridge had, as far as the record knows.
func lostWith(n *Network) (netlink.Lost, error) {
	lost := netlink.Lost{Host: n.Host}
	for _, e := range n.OnBridge {
		mac, err := parseMAC(e.MAC)
		if err != nil {
			return lost, err
		}
		lost.Pods = append(lost.Pods, netlink.Pod{HostName: e.HostIfName, MAC: mac, Addresses: e.Addresses})
	}
	return lost, nil
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

func rules(n *Network, b netlink.Bridge) netlink.Rules {
	return netlink.Rules{
		Bridge: n.Bridge, Master: n.Master, MAC: b.Master.MAC, Host: b.Primary,
		Tunnel: n.Mode == ModeTunnel, AntiSpoof: n.AntiSpoof, HostAgent: n.HostAgent,
	}
}

// checkBridge is the network's part of CHECK.
func checkBridge(k *kernel, n *Network) error {
	b, ok, err := k.nl.Bridge(n.Bridge, n.Master)
	if err != nil {
		return masterError(err)
	}
	if !ok {
		return fmt.Errorf("%w: bridge %s does not have the configuration of master %s", ErrDifference, n.Bridge, n.Master)
	}
	if !k.nft.RulesInPlace(rules(n, b)) {
		return fmt.Errorf("%w: the nftables rules of bridge %s are not in place", ErrDifference, n.Bridge)
	}
	return nil
}
