//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

var (
	gateway    = addr("10.240.0.1")
	remoteHost = addr("10.241.0.1")
)

// The reachability matrix of datapath.md, with two VMs and three pods each. The TTL of the reply tells
// where it went: 64 when nobody routed it, 63 when the fabric did.
func TestEverythingReachesEverything(t *testing.T) {
	for _, mode := range []string{"bridge", "tunnel"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(2, 3))
			pods := l.threePods(mode)
			samePodTTL := map[string]int{"bridge": 64, "tunnel": 63}[mode]
			for i, vmPods := range pods {
				vm, other := l.fabric.VMs[i], l.fabric.VMs[1-i]
				own, others := hostAddr(vm), hostAddr(other)
				for k, p := range vmPods {
					from := fmt.Sprintf("pod %s", p.IP)
					l.reach(from, p.NS, "gateway", gateway, 64)
					l.reach(from, p.NS, "remote host", remoteHost, 64)
					l.reach(from, p.NS, "pod on the same VM", vmPods[(k+1)%3].IP, samePodTTL)
					l.reach(from, p.NS, "pod on the other VM", pods[1-i][k].IP, 63)
					l.reach(from, p.NS, "own host", own, 64)
					l.reach(from, p.NS, "other host", others, 63)
					l.reach("own host", vm.Ns, "pod", p.IP, samePodTTL)
					l.reach("other host", other.Ns, "pod", p.IP, 63)
					l.reach("fabric", l.fabric.Ns(), "pod", p.IP, 64)
				}
				l.reach("host", vm.Ns, "gateway", gateway, 64)
				l.reach("host", vm.Ns, "other host", others, 63)
				l.reach("host", vm.Ns, "remote host", remoteHost, 64)
			}
			for _, vmPods := range pods {
				for _, p := range vmPods {
					if err := p.Check(l.ctx); err != nil {
						t.Errorf("CHECK of %s: %v", p.IP, err)
					}
					if err := p.Del(l.ctx); err != nil {
						t.Errorf("DEL of %s: %v", p.IP, err)
					}
				}
			}
			for _, n := range l.nodes {
				if left := l.leftovers(n); len(left) > 0 {
					t.Errorf("left on %s: %v", n.VM.Config.Name, left)
				}
			}
		})
	}
}

func (l *lab) threePods(mode string) [][]*node.Pod {
	var pods [][]*node.Pod
	for _, n := range l.nodes {
		list := l.list(n, map[string]any{"mode": mode})
		pods = append(pods, []*node.Pod{l.add(n, list), l.add(n, list), l.add(n, list)})
	}
	return pods
}

func hostAddr(vm *fabric.VM) netip.Addr { return vm.Config.PrimaryNIC().Address }

func (l *lab) reach(from string, ns *fabric.Namespace, what string, to netip.Addr, ttl int) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.ctx, 10*time.Second)
	defer cancel()
	r, err := ns.Ping(ctx, to, fabric.PingOptions{})
	if err != nil {
		l.Errorf("%s → %s %s: %v", from, what, to, err)
	} else if r.TTL != ttl {
		l.Errorf("%s → %s %s: TTL %d instead of %d", from, what, to, r.TTL, ttl)
	}
}

// An address of the subnet that no pod has must not be answered, and must not be sent back and forth
// between host and fabric until its TTL has run out, which whoever drops it then would report.
func TestAddressWithoutPodDoesNotLoop(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	l.must(n.VM.Ns.Do(func() error { return writeSysctl("net/ipv4/ip_forward", "1") }))
	p := l.add(n, l.list(n, map[string]any{"mode": "bridge"}))
	l.silent("pod", p.NS, n.VM.Config.PrimaryNIC().Pods[2])
	l.silent("fabric", l.fabric.Ns(), n.VM.Config.PrimaryNIC().Pods[2])
}

// silent requires that nothing at all comes back.
func (l *lab) silent(from string, ns *fabric.Namespace, to netip.Addr) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.ctx, time.Second)
	defer cancel()
	if r, err := ns.Ping(ctx, to, fabric.PingOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		l.Errorf("%s → %s: %v, %v instead of silence", from, to, r, err)
	}
}
