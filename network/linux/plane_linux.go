package linux

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"

	"github.com/Azure/azure-container-networking/log/step"
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/linux/settings"
	"github.com/Azure/azure-container-networking/nft"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// Dataplane is that of Linux hosts.
type Dataplane struct {
	// LockPath is the lock under which networks are made; endpoints need none.
	LockPath string
	Host     platform.Host // whose sockets it shares
	Log      *slog.Logger  // nil: nothing is logged

	visit atomic.Pointer[netlink.Visit] // of the pod that CheckNetNS looked at, for CreateEndpoint
}

var _ network.Dataplane = (*Dataplane)(nil)

// CheckNetNS implements network.Dataplane.
func (l *Dataplane) CheckNetNS(_ context.Context, e *network.Endpoint) error {
	pod, err := os.Stat(e.NetNS)
	if err != nil {
		return fmt.Errorf("%w: %w", network.ErrNetNS, err)
	}
	own, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return fmt.Errorf("%w: %w", network.ErrNetNS, err)
	}
	if os.SameFile(pod, own) {
		return fmt.Errorf("%w: %s is the host's own", network.ErrNetNS, e.NetNS)
	}
	visit, err := netlink.VisitPod(e.NetNS)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", network.ErrNetNS, e.NetNS, err)
	}
	taken, err := visit.Has(e.IfName)
	l.visit.Swap(visit).End()
	if err != nil {
		return fmt.Errorf("%w: %s: %w", network.ErrNetNS, e.NetNS, err)
	}
	if taken && e.State != network.Pending {
		return fmt.Errorf("%w: interface %s is in %s already", network.ErrExists, e.IfName, e.NetNS)
	}
	return nil
}

// EnsureNetwork implements network.Dataplane.
func (l *Dataplane) EnsureNetwork(ctx context.Context, n *network.Network) (network.Ensured, error) {
	v := viewOf(n)
	err := v.mode.ensure(ctx, l, v)
	return network.Ensured{Observed: v.Observed, Other: v.other, Moved: v.moved, Reset: v.host.Changed}, err
}

// view is a network in the course of one call: what the call learns of the host is noted here.
type view struct {
	network.Network
	mode  mode
	other string // another NIC of the host; "" if there is none
	moved bool   // the host's configuration was moved
	host  settings.Host
}

func viewOf(n *network.Network) *view {
	v := &view{Network: *n, mode: modeOf(n), other: n.Other}
	v.Sysctls = maps.Clone(n.Sysctls)
	v.host.Network = &v.Network
	return v
}

func viewsOf(list []*network.Network) (views []*view) {
	for _, n := range list {
		views = append(views, viewOf(n))
	}
	return views
}

// kernel holds the sockets of one call.
type kernel struct {
	nl  *netlink.Handle
	nft *nft.Conn
}

func (l *Dataplane) openKernel() (*kernel, error) {
	nl, err := netlink.Open(l.Host.Sockets)
	if err != nil {
		return nil, err
	}
	return &kernel{nl, nft.Open(l.Host.Sockets)}, nil
}

func (k *kernel) close() {
	k.nl.Close()
	k.nft.Close()
}

func (n *view) scope() nft.Scope { return n.mode.scope(n) }

// rules are what the network needs; host are the host's addresses.
func rules(n *view, master netlink.Link, host []netip.Prefix) nft.Rules {
	var classic []net.HardwareAddr
	if n.Imported {
		classic = []net.HardwareAddr{master.MAC}
		for e := range n.Attached() {
			if mac, err := parseMAC(e.MAC); err == nil {
				classic = append(classic, mac)
			}
		}
	}
	return nft.Rules{
		Classic: classic, Scope: n.scope(), Master: n.Master, MAC: master.MAC, Host: host,
		Tunnel: n.Mode == network.ModeTunnel, AntiSpoof: n.AntiSpoof, HostAgent: n.AllowHostAgent,
		Pods: n.Prefixes, ViaHost: n.IPsToRouteViaHost, Other: n.other, Masquerade: n.IPMasq,
		VNET: slices.Concat(n.Prefixes, n.VnetCIDRs), AcceptForward: n.AcceptForward,
	}
}

// bridgeRules are the rules of a bridge as it is.
func bridgeRules(n *view, b netlink.Bridge) nft.Rules {
	r := rules(n, b.Master, b.Primary)
	r.Local = b.Local
	return r
}

// DeleteNetwork implements network.Dataplane.
func (l *Dataplane) DeleteNetwork(ctx context.Context, n *network.Network) error {
	v := viewOf(n)
	k, err := l.openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	return l.locked(ctx, func() error {
		if err := v.mode.remove(ctx, l, k, v); err != nil {
			return err
		}
		if err := k.nft.RemoveRules(v.scope()); err != nil {
			return err
		}
		return errors.Join(k.nl.RemovePolicy(n.Prefixes), settings.Restore(n.Sysctls))
	})
}

// Status implements network.Dataplane.
func (l *Dataplane) Status(context.Context, *network.Network) error {
	conn := nft.Open(l.Host.Sockets)
	defer conn.Close()
	if _, err := conn.Scopes(); err != nil {
		return fmt.Errorf("%w: %w", network.ErrKernel, err)
	}
	return nil
}

// locked runs fn under the lock for making networks.
func (l *Dataplane) locked(ctx context.Context, fn func() error) error {
	end := step.Begin(l.Log, "wait for others who make networks", slog.String("path", l.LockPath))
	return l.under(ctx, store.Wait, func() error {
		end(nil)
		return step.Do(l.Log, "make or repair the network", fn)
	})
}

// repairing is locked with what the state has by now: while the lock was waited for, pods came and went.
func (l *Dataplane) repairing(ctx context.Context, n *view, fn func() error) error {
	return l.locked(ctx, func() error {
		if n.Current != nil {
			now, err := n.Current(ctx)
			if err != nil {
				return err
			}
			n.Carried, n.Imported = now.Carried, n.Imported && now.Imported
		}
		return fn()
	})
}

// deleting runs fn while no network is made or repaired; others may delete at the same time. Whoever repairs finds a
// pod on the host as a whole, or nothing of it, and brings back nothing of one that is half gone.
func (l *Dataplane) deleting(ctx context.Context, fn func() error) error {
	return l.under(ctx, store.WaitShared, fn)
}

func (l *Dataplane) under(ctx context.Context, wait func(context.Context, *flock.Flock) error, fn func() error) error {
	lock := flock.New(l.LockPath, flock.SetFlag(unix.O_CREAT|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK),
		flock.SetPermissions(0o600))
	if err := wait(ctx, lock); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: another process is making a network (lock %s): %w", network.ErrBusy, l.LockPath, err)
		}
		return fmt.Errorf("lock %s: %w", l.LockPath, err)
	}
	defer func() { _ = lock.Close() }()
	return fn()
}

// parallel runs both, each to its end, and joins their errors. A panic in one becomes an error: in a
// goroutine it would end the process without a word on standard output.
func parallel(a, b func() error) error {
	guard := func(fn func() error) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("defect: panic: %v", p)
			}
		}()
		return fn()
	}
	done := make(chan error, 1)
	go func() { done <- guard(a) }()
	err := guard(b)
	return errors.Join(<-done, err)
}

func parseMAC(s string) (net.HardwareAddr, error) {
	mac, err := net.ParseMAC(s)
	if err != nil {
		return nil, fmt.Errorf("MAC of an endpoint: %w", err)
	}
	return mac, nil
}

func addrsOf(prefixes []netip.Prefix) []netip.Addr {
	var out []netip.Addr
	for _, p := range prefixes {
		out = append(out, p.Addr())
	}
	return out
}
