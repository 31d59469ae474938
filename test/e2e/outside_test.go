//go:build linux

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

var bothFamilies = map[string]any{"type": "azure-vnet-ipam", "families": []string{"ipv4", "ipv6"}}

// sees requires that who is asked sees the address.
func (l *lab) sees(what string, from *fabric.Namespace, at, want netip.Addr) {
	l.Helper()
	got, err := l.ask(from, "tcp", netip.AddrPortFrom(at, backendPort), netip.Addr{})
	if want := fmt.Sprintf("%s sees %s", at, want); err != nil || got != want {
		l.Errorf("%s: %q, %v instead of %q", what, got, err, want)
	}
}

// With ipMasq what leaves the VNET's address space does so behind the host's address; within it nothing is translated,
// nor to the host agent.
func TestMasquerade(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode    string
		without bool
		host    int // the length of the host's prefixes: 0 for the subnet's
	}{{"bridge", true, 0}, {"bridge", false, 0}, {"tunnel", true, 0}, {"tunnel", false, 0}, {"transparent", true, 0}, {"bridge", false, 128},
		{"tunnel", false, 128}, {"transparent", false, 128}} {
		mode := c.mode
		t.Run(fmt.Sprintf("%s without br_netfilter %v, host's prefix %d", mode, c.without, c.host), func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(2, 3))
			var pods []*node.Pod
			for _, n := range l.nodes {
				if c.without {
					l.withoutBrNetfilter(n)
				}
				if c.host != 0 {
					l.singleAddresses(n)
				}
				pods = append(pods, l.add(n, l.list(n,
					map[string]any{"mode": mode, "ipam": bothFamilies, "ipMasq": true, "vnetCidrs": "10.240.0.0/16, fd00::/64"})))
			}
			for _, v6 := range []bool{false, true} {
				outside := remoteHost
				if v6 {
					outside = fabric.RemoteHost6
				}
				host, other := hostAddr(l.fabric.VMs[0], v6), hostAddr(l.fabric.VMs[1], v6)
				l.serve(l.fabric.Ns(), netip.AddrPortFrom(outside, backendPort))
				l.serve(l.fabric.VMs[1].Ns, netip.AddrPortFrom(other, backendPort))
				l.serve(pods[1].NS, netip.AddrPortFrom(pods[1].Addr(v6), backendPort))
				l.sees("pod → outside", pods[0].NS, outside, host)
				l.sees("pod → the other VM's pod", pods[0].NS, pods[1].Addr(v6), pods[0].Addr(v6))
				l.sees("pod → the other VM", pods[0].NS, other, pods[0].Addr(v6))
				if !v6 {
					l.serve(l.fabric.Ns(), netip.AddrPortFrom(fabric.HostAgent, backendPort))
					l.sees("pod → the host agent", pods[0].NS, fabric.HostAgent, pods[0].Addr(v6))
				}
				l.sees("host → outside", l.fabric.VMs[0].Ns, outside, host)
			}
			l.must(pods[0].Check(l.ctx))
		})
	}
}

// A firewall that forwards nothing stops what the host has to route. acceptForward lets pods' traffic pass, in the
// place where a person would look for it.
func TestAcceptForward(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for name, deny := range map[string][]string{
			// What is only bridged passes the firewall, too, if br_netfilter is on.
			"iptables": {"iptables -P FORWARD DROP", "ip6tables -P FORWARD DROP"},
			"nft": {"nft add table inet firewall",
				"nft add chain inet firewall forward { type filter hook forward priority 0 ; policy drop ; }"},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				l := newLab(t, fabric.DefaultDual(1, 3))
				n := l.nodes[0]
				if name == "nft" {
					l.withoutBrNetfilter(n)
				}
				for _, line := range deny {
					l.run(n, line)
				}
				fields := map[string]any{"mode": mode, "ipam": bothFamilies, "ipMasq": true, "acceptForward": true}
				p := l.add(n, l.list(n, fields))
				ttl := 63 // the answer is routed
				if name == "iptables" && mode != "transparent" {
					ttl = 64 // translated as it passes the bridge
				}
				l.reach("pod", p.NS, "outside", remoteHost, ttl)
				l.reach("pod", p.NS, "outside", fabric.RemoteHost6, ttl)
				if name == "iptables" {
					device := map[string]string{"bridge": "azure0", "tunnel": "azure0", "transparent": "azv+"}[mode]
					for _, want := range []string{"-A FORWARD -i " + device + " ", "-A FORWARD -o " + device + " "} {
						if rules := l.run(n, "iptables -S FORWARD"); !strings.Contains(rules, want) || strings.Count(rules, "-j ACCEPT") != 2 {
							l.Errorf("no %q in\n%s", want, rules)
						}
					}
					l.run(n, "iptables -F FORWARD")
				} else {
					l.run(n, "nft flush chain inet firewall forward")
				}
				if err := p.Check(l.ctx); err == nil || !strings.Contains(err.Error(), "rules") {
					l.Errorf("without its rules in the firewall CHECK says %v", err)
				}
				l.add(n, l.list(n, fields)) // repairs it
				l.reach("pod", p.NS, "outside", remoteHost, ttl)
				// Switched off, they go.
				delete(fields, "acceptForward")
				l.must(p.Del(l.ctx))
				l.add(n, l.list(n, fields))
				if rules := l.run(n, "nft list ruleset"); strings.Contains(rules, `"azure-vnet `) {
					l.Errorf("still there:\n%s", rules)
				}
			})
		}
	}
}

// withoutBrNetfilter is a node whose kernel has not loaded the module.
func (l *lab) withoutBrNetfilter(n *node.Node) {
	l.Helper()
	l.run(n, "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0")
	n.Mounts = "mount -t tmpfs tmpfs /proc/sys/net/bridge"
}

// singleAddresses gives the host its addresses as DHCPv6, or a /32 of a careful administrator, leaves them: alone, with
// routes to the subnet and by the gateway.
func (l *lab) singleAddresses(n *node.Node) {
	l.Helper()
	nic := n.VM.Config.PrimaryNIC()
	for _, line := range []string{
		fmt.Sprintf("ip addr del %s/16 dev eth0", nic.Address), fmt.Sprintf("ip addr add %s/32 dev eth0", nic.Address),
		"ip route add 10.240.0.1 dev eth0 scope link", fmt.Sprintf("ip route add default via 10.240.0.1 src %s", nic.Address),
		fmt.Sprintf("ip addr del %s/64 dev eth0", nic.Address6), fmt.Sprintf("ip addr add %s/128 dev eth0 nodad", nic.Address6),
	} {
		l.run(n, line)
	}
	// Even without a search for duplicates the kernel adds its route in a work queue.
	l.eventually("the host's IPv6 address has no route", func() bool {
		return strings.Contains(l.run(n, "ip -6 route show table local"), "local "+nic.Address6.String()+" ")
	})
}

// ipsToRouteViaHost: addresses that the host serves itself, as a node-local DNS cache does.
func TestRouteViaHost(t *testing.T) {
	t.Parallel()
	local, local6 := addr("169.254.20.10"), addr("fd00:10::a")
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 3))
			n := l.nodes[0]
			l.run(n, "ip addr add 169.254.20.10/32 dev lo")
			l.run(n, "ip addr add fd00:10::a/128 dev lo nodad")
			l.run(n, "ip addr add 10.0.3.3/32 dev lo") // a service's address, as IPVS has it
			p := l.add(n, l.list(n, map[string]any{"mode": mode, "ipam": bothFamilies,
				"ipsToRouteViaHost": []string{"169.254.20.10", "10.0.0.0/16", "fd00:10::/112"}}))
			for _, at := range []netip.Addr{local, addr("10.0.3.3"), local6} {
				l.serve(n.VM.Ns, netip.AddrPortFrom(at, backendPort))
				l.sees("pod → host", p.NS, at, p.Addr(at.Is6()))
			}
			l.reach("pod", p.NS, "remote host", remoteHost, ttls[mode].fabric)
		})
	}
}
