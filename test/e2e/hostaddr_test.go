//go:build linux

package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// The host's addresses on other interfaces are the host's, whatever mode: a node-local DNS cache (its own address, and
// the cluster's), services as IPVS has them. What is there before the first pod, and what comes later, with
// br_netfilter and without.
func TestTheHostsOtherAddresses(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, without := range []bool{false, true} {
			t.Run(map[bool]string{false: mode, true: mode + " without br_netfilter"}[without], func(t *testing.T) {
				l := newLab(t, fabric.DefaultDual(1, 4))
				n := l.nodes[0]
				if without {
					l.withoutBrNetfilter(n)
				}
				l.run(n, "ip link add nodelocaldns type bridge")
				add := func(list ...string) {
					for _, a := range list {
						l.run(n, "ip addr add "+a+" dev nodelocaldns nodad")
						l.usable(n, addr(a))
						l.serve(n.VM.Ns, netip.AddrPortFrom(addr(a), backendPort))
						l.serveUDP(n.VM.Ns, netip.AddrPortFrom(addr(a), backendPort))
					}
				}
				add("10.0.0.10", "fd00:10::a")
				list := l.list(n, map[string]any{"mode": mode, "ipam": bothFamilies})
				p := l.add(n, list)
				answers := func(list ...string) {
					t.Helper()
					for _, a := range list {
						for _, network := range []string{"tcp", "udp"} {
							want := a + " sees " + p.Addr(addr(a).Is6()).String()
							if got, err := l.ask(p.NS, network, netip.AddrPortFrom(addr(a), backendPort), netip.Addr{}); err != nil || got != want {
								t.Errorf("pod → %s by %s: %q, %v instead of %q", a, network, got, err, want)
							}
						}
					}
				}
				answers("10.0.0.10", "fd00:10::a")
				// A cache that is started later has an address that is nobody else's anyway; what else is new is known from the
				// next ADD on.
				add("169.254.20.10")
				answers("169.254.20.10")
				add("10.0.3.3", "fd00:10::b")
				l.add(n, list)
				answers("10.0.0.10", "fd00:10::a", "169.254.20.10", "10.0.3.3", "fd00:10::b")
				l.must(p.Check(l.ctx))
				// The metadata service is the fabric's, and what is not the host's any more is not.
				l.run(n, "ip addr del 10.0.3.3/32 dev nodelocaldns")
				l.add(n, list)
				l.silent("pod", p.NS, addr("10.0.3.3"))
			})
		}
	}
}

// Addresses that the host gets, and loses, while pods live, on whatever interface (keepalived, a load balancer without
// NAT): who is outside reaches them at once, no ADD needed.
func TestAddressesThatComeLater(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			cfg := fabric.DefaultDual(2, 3)
			vips := []string{"10.240.0.50", "10.240.0.51", "203.0.113.9", "fd00::50", "fd00::51"}
			for _, a := range vips { // the fabric brings them to VM 1
				cfg.LoadBalancers = append(cfg.LoadBalancers, fabric.LoadBalancer{Frontend: addr(a), Backends: []string{"vm1"}})
			}
			l := newLab(t, cfg)
			n := l.nodes[0]
			for _, n := range l.nodes {
				l.add(n, l.list(n, map[string]any{"mode": mode, "ipam": bothFamilies}))
			}
			far := l.add(l.nodes[1], l.list(l.nodes[1], map[string]any{"mode": mode, "ipam": bothFamilies}))
			device := map[bool]string{true: "eth0", false: "azure0"}[mode == "transparent"]
			l.run(n, "ip link add kube-ipvs0 type bridge")
			l.run(n, "sysctl -qw net.ipv6.conf.all.forwarding=1")
			for i, a := range vips {
				l.silent("fabric", l.fabric.Ns(), addr(a)) // nobody's: not sent back and forth, either
				at := []string{"lo", device, "kube-ipvs0"}[i%3]
				bits := map[bool]string{true: "/128 nodad", false: "/32"}[strings.Contains(a, ":")]
				l.run(n, "ip addr add "+a+bits+" dev "+at)
				l.usable(n, addr(a))
				l.reach("fabric", l.fabric.Ns(), a+" at "+at, addr(a), 64)
				l.reach("pod of the other VM", far.NS, a+" at "+at, addr(a), map[bool]int{true: 62, false: 63}[mode == "transparent"])
			}
		})
	}
}

// usable waits until the host takes what is for an address that it was given: for IPv6 a work queue of the kernel sees
// to that.
func (l *lab) usable(n *node.Node, a netip.Addr) {
	l.Helper()
	for !strings.Contains(l.run(n, "ip route get "+a.String()), "local "+a.String()+" ") {
		l.must(l.ctx.Err())
	}
}

// A host with its address alone has a route to each of its pods, which comes and goes with the pod, and is no part of
// what is remembered of the host.
func TestRoutesToPodsGoWithThem(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 6))
			n := l.nodes[0]
			l.singleAddresses(n)
			before := l.snapshot(n)
			list := l.list(n, dualConf(mode))
			routes := func(pods ...*node.Pod) {
				t.Helper()
				var want []string
				for _, p := range pods {
					want = append(want, p.Addr(false).String(), p.Addr(true).String())
				}
				var have []string
				for line := range strings.Lines(l.run(n, "ip -N route show proto 122") + l.run(n, "ip -N -6 route show proto 122")) {
					have = append(have, strings.Fields(line)[0])
				}
				slices.Sort(want)
				slices.Sort(have)
				if !slices.Equal(have, want) {
					t.Errorf("the host has routes to %v instead of %v", have, want)
				}
			}
			a, b, c := l.add(n, list), l.add(n, list), l.add(n, list)
			routes(a, b, c)
			l.must(b.Del(l.ctx))
			routes(a, c)
			l.run(n, "ip link del azure0")
			l.must(c.Del(l.ctx))
			d := l.add(n, list)
			routes(a, d)
			l.live(n, mode, a, d)
			l.cleanup(n)
			routes()
			if after := l.snapshot(n); after != before {
				t.Errorf("after cleanup the host differs:\n%s", differ(before, after))
			}
		})
	}
}
