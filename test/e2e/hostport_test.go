//go:build linux

package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// A host port of the real portmap, by both of its backends and both protocols, from everywhere: at the node's own
// address from the host itself, its pods and the pod that has it, at 127.0.0.1 from the host, at the node's address
// from another node, its pods, and from a remote host.
func TestHostPorts(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, backend := range []string{"iptables", "nftables"} {
			t.Run(mode+" "+backend, func(t *testing.T) {
				l := newLab(t, fabric.DefaultDual(2, 3))
				fields := map[string]any{"mode": mode, "ipam": bothFamilies}
				n := l.nodes[0]
				l.run(n, "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 net.ipv6.conf.all.forwarding=1")
				list := l.list(n, fields, map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true},
					"snat": true, "backend": backend})
				p, err := n.NewPod(list)
				l.must(err)
				p.Ports = []node.Port{{HostPort: 8088, ContainerPort: backendPort, Protocol: "tcp"},
					{HostPort: 8088, ContainerPort: backendPort, Protocol: "udp"}}
				l.must(p.Add(l.ctx))
				neighbour, far := l.add(n, l.list(n, fields)), l.add(l.nodes[1], l.list(l.nodes[1], fields))
				for _, v6 := range []bool{false, true} {
					at := netip.AddrPortFrom(p.Addr(v6), backendPort)
					l.serve(p.NS, at)
					l.serveUDP(p.NS, at)
					own := hostAddr(l.fabric.VMs[0], v6)
					// Whose address the pod sees is portmap's affair: its backends differ.
					asks := func(who string, ns *fabric.Namespace, at netip.Addr) {
						t.Helper()
						want := p.Addr(v6).String() + " sees "
						for _, network := range []string{"tcp", "udp"} {
							if got, err := l.ask(ns, network, netip.AddrPortFrom(at, 8088), netip.Addr{}); err != nil || !strings.HasPrefix(got, want) {
								t.Errorf("%s → host port at %s by %s: %q, %v instead of %q", who, at, network, got, err, want)
							}
						}
					}
					asks("the host", n.VM.Ns, own)
					asks("the pod itself", p.NS, own)
					asks("its neighbour", neighbour.NS, own)
					asks("the other host", l.nodes[1].VM.Ns, own)
					asks("the other host's pod", far.NS, own)
					asks("a remote host", l.fabric.Ns(), own)
					if !v6 {
						asks("the host", n.VM.Ns, addr("127.0.0.1"))
					}
				}
				l.must(p.Del(l.ctx))
			})
		}
	}
}
