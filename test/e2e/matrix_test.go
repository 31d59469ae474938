//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// Everybody reaches everybody as docs/network.md has it, with two VMs and three pods each. The TTL of the reply tells
// where it went: 64 when nobody routed it, 63 when the fabric did.
func TestEverythingReachesEverything(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(2, 3))
			l.matrix(mode, l.threePods(mode, nil), false)
		})
		for name, families := range map[string][]string{"dual": {"ipv4", "ipv6"}, "IPv6": {"ipv6"}} {
			t.Run(mode+" "+name, func(t *testing.T) {
				l := newLab(t, fabric.DefaultDual(2, 3))
				pods := l.threePods(mode, families)
				l.matrix(mode, pods, true)
			})
		}
	}
}

// matrix pings everything from everywhere, then deletes the pods. With v6 it does so by IPv6, and by IPv4 as far as
// the pods have it.
func (l *lab) matrix(mode string, pods [][]*node.Pod, v6 bool) {
	l.Helper()
	families := []bool{v6}
	if v6 && len(pods[0][0].Result.IPs) == 2 {
		families = []bool{false, true}
	}
	for _, v6 := range families {
		l.pings(mode, pods, v6)
	}
	for _, vmPods := range pods {
		for _, p := range vmPods {
			if err := p.Check(l.ctx); err != nil {
				l.Errorf("CHECK of %s: %v", p.IP, err)
			}
			if err := p.Del(l.ctx); err != nil {
				l.Errorf("DEL of %s: %v", p.IP, err)
			}
		}
	}
	for _, n := range l.nodes {
		if left := l.leftovers(n); len(left) > 0 {
			l.Errorf("left on %s: %v", n.VM.Config.Name, left)
		}
	}
}

type ways struct{ fabric, samePod, otherPod, ownHost, otherHost, fromHost, fromOtherHost, fromFabric int }

// ttls says with which TTL an answer arrives: each router on its way takes one from 64. The fabric is one, and in
// transparent mode the hosts are, too.
var ttls = map[string]ways{
	"bridge":      {64, 64, 63, 64, 63, 64, 63, 64},
	"tunnel":      {64, 63, 63, 64, 63, 63, 63, 64},
	"transparent": {63, 63, 61, 64, 62, 64, 62, 63},
}

func (l *lab) pings(mode string, pods [][]*node.Pod, v6 bool) {
	l.Helper()
	ttl := ttls[mode]
	gw, remote := gateway, remoteHost
	if v6 {
		gw, remote = netip.Addr{}, fabric.RemoteHost6 // the gateway has a link-local address only
	}
	for i, vmPods := range pods {
		vm, other := l.fabric.VMs[i], l.fabric.VMs[1-i]
		own, others := hostAddr(vm, v6), hostAddr(other, v6)
		for k, p := range vmPods {
			from := fmt.Sprintf("pod %s", p.Addr(v6))
			if gw.IsValid() {
				l.reach(from, p.NS, "gateway", gw, ttl.fabric)
			}
			l.reach(from, p.NS, "remote host", remote, ttl.fabric)
			l.reach(from, p.NS, "pod on the same VM", vmPods[(k+1)%3].Addr(v6), ttl.samePod)
			l.reach(from, p.NS, "pod on the other VM", pods[1-i][k].Addr(v6), ttl.otherPod)
			l.reach(from, p.NS, "own host", own, ttl.ownHost)
			l.reach(from, p.NS, "other host", others, ttl.otherHost)
			l.reach("own host", vm.Ns, "pod", p.Addr(v6), ttl.fromHost)
			l.reach("other host", other.Ns, "pod", p.Addr(v6), ttl.fromOtherHost)
			l.reach("fabric", l.fabric.Ns(), "pod", p.Addr(v6), ttl.fromFabric)
		}
		if gw.IsValid() {
			l.reach("host", vm.Ns, "gateway", gw, 64)
		}
		l.reach("host", vm.Ns, "other host", others, 63)
		l.reach("host", vm.Ns, "remote host", remote, 64)
	}
}

func (l *lab) threePods(mode string, families []string) [][]*node.Pod {
	var pods [][]*node.Pod
	for _, n := range l.nodes {
		fields := map[string]any{"mode": mode}
		if families != nil {
			fields["ipam"] = map[string]any{"type": "azure-vnet-ipam", "families": families}
		}
		list := l.list(n, fields)
		pods = append(pods, []*node.Pod{l.add(n, list), l.add(n, list), l.add(n, list)})
	}
	return pods
}

func hostAddr(vm *fabric.VM, v6 bool) netip.Addr {
	if v6 {
		return vm.Config.PrimaryNIC().Address6
	}
	return vm.Config.PrimaryNIC().Address
}

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
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 3))
			n := l.nodes[0]
			p := l.add(n, l.list(n, map[string]any{"mode": mode,
				"ipam": map[string]any{"type": "azure-vnet-ipam", "families": []string{"ipv4", "ipv6"}}}))
			nic := n.VM.Config.PrimaryNIC()
			for _, free := range []netip.Addr{nic.Pods[2], nic.Pods6[2]} {
				l.silent("pod", p.NS, free)
				l.silent("fabric", l.fabric.Ns(), free)
			}
		})
	}
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

// Peers of a pod that is gone remember its MAC for a while. What they still send there, packets and questions whether
// it lives, goes to the fabric as a frame that it takes, since the address may be on another VM by now; and the fabric
// answers.
func TestPeersOfAPodThatIsGone(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 3))
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode, "ipam": bothFamilies})
			pod, gone := l.add(n, list), l.add(n, list)
			mac, dead := macOf(l, pod, 1), macOf(l, gone, 1)
			l.must(gone.Del(l.ctx))
			frames, err := pod.NS.Frames("eth0")
			l.must(err)
			defer func() { _ = frames.Close() }()
			ip, was := pod.Addr(false), gone.Addr(false)
			ip6, was6 := pod.Addr(true), gone.Addr(true)
			solicitation := append(append(append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, was6.AsSlice()...), 1, 1), mac...)
			for _, frame := range [][]byte{
				ether(dead, mac, 0x0800, packet4(ip, was, udp, 0, udpPacket(1, 2, []byte("are you there?")))),
				ether(dead, mac, 0x86dd, packet6(ip6, was6, udp, udpPacket(1, 2, []byte("are you there?")))),
				ether(dead, mac, 0x86dd, packet6(ip6, was6, icmpv6, solicitation)),
				ether(dead, mac, 0x0806, arpPacket(1, mac, ip, make(net.HardwareAddr, 6), was)),
			} {
				l.must(frames.Send(frame))
			}
			ctx, cancel := context.WithTimeout(l.ctx, 10*time.Second)
			defer cancel()
			for {
				frame, err := frames.Receive(ctx)
				if err != nil {
					t.Fatalf("the fabric does not answer: %v", err)
				}
				if a, ok := fabric.ParseARP(frame); ok && a.Operation == fabric.ARPReply && a.SenderIP == was {
					if a.SenderMAC.String() != fabric.VirtualMAC {
						t.Errorf("%v answers", a.SenderMAC)
					}
					break
				}
			}
		})
	}
}
