//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// manyNICs is a VM with a NIC in each of two subnets, and one other VM in each. Both subnets have both families.
func manyNICs() fabric.Config {
	cfg := fabric.DefaultDual(3, 6)
	second := cfg.VMs[2].NICs[0]
	second.Name, second.Primary, second.MAC = "eth1", false, net.HardwareAddr{0x00, 0x0d, 0x3a, 0x01, 0x00, 0x01}
	second.Prefix, second.Address = netip.MustParsePrefix("10.244.0.0/16"), addr("10.244.0.4")
	second.Prefix6, second.Address6 = netip.MustParsePrefix("fd44::/64"), addr("fd44::4")
	second.Pods, second.Pods6 = nil, nil
	for i := range 6 {
		second.Pods = append(second.Pods, addr(fmt.Sprintf("10.244.1.%d", i+1)))
		second.Pods6 = append(second.Pods6, addr(fmt.Sprintf("fd44::1:%d", i+1)))
	}
	cfg.VMs[0].NICs = append(cfg.VMs[0].NICs, second)
	third := &cfg.VMs[2].NICs[0]
	third.Prefix, third.Address, third.Prefix6, third.Address6 = second.Prefix, addr("10.244.0.6"), second.Prefix6, addr("fd44::6")
	third.Pods, third.Pods6 = []netip.Addr{addr("10.244.3.1")}, []netip.Addr{addr("fd44::3:1")}
	return cfg
}

// rulesOfAzure are the policy rules that Azure's documentation gives a VM with two NICs: what comes from a NIC's
// address goes by its router.
const rulesOfAzure = `ip rule add from 10.240.0.4 lookup 200 prio 100
ip rule add from 10.244.0.4 lookup 201 prio 100
ip route add default via 10.240.0.1 dev eth0 table 200
ip route add default via 10.244.0.1 dev eth1 table 201
ip -6 rule add from fd00::4 lookup 200 prio 100
ip -6 rule add from fd44::4 lookup 201 prio 100
ip -6 route add default via fe80::1234:5678:9abc dev eth0 table 200
ip -6 route add default via fe80::1234:5678:9abc dev eth1 table 201`

func (l *lab) ruled(n *node.Node) {
	l.Helper()
	for line := range strings.Lines(rulesOfAzure) {
		l.run(n, strings.TrimSpace(line))
	}
}

// A host with two NICs, and its pods on the second, or on the first: they reach everybody, and everybody them, and
// nothing leaves by a NIC from an address that is not its own. So it is on a host that has policy rules of its own, and
// one that checks the way back of what arrives.
func TestPodsOfOneOfTwoNICs(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, master := range []string{"eth0", "eth1"} {
			for _, host := range []string{"plain", "with rules of Azure's"} {
				t.Run(mode+" "+master+" "+host, func(t *testing.T) {
					l := newLab(t, manyNICs())
					n := l.nodes[0]
					if host != "plain" {
						l.ruled(n)
						l.run(n, "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.eth1.rp_filter=1")
					}
					before := l.snapshot(n)
					list := l.list(n, map[string]any{"mode": mode, "master": master, "bridge": nil, "ipam": bothFamilies})
					a, b := l.add(n, list), l.add(n, list)
					for _, v6 := range []bool{false, true} {
						l.knows(n, a, b, v6)
					}
					l.must(a.Check(l.ctx))
					l.healthy(n)
					l.must(a.Del(l.ctx))
					l.must(b.Del(l.ctx))
					l.cleanup(n)
					if after := l.snapshot(n); after != before {
						t.Errorf("after cleanup the host differs:\n%s", differ(before, after))
					}
				})
			}
		}
	}
}

// knows says whether a pod reaches everybody, and everybody it.
func (l *lab) knows(n *node.Node, a, b *node.Pod, v6 bool) {
	l.Helper()
	first, second, remote := addr("10.240.0.5"), addr("10.244.0.6"), remoteHost
	if v6 {
		first, second, remote = addr("fd00::5"), addr("fd44::6"), fabric.RemoteHost6
	}
	pod := a.Addr(v6)
	for _, way := range []struct {
		from string
		ns   *fabric.Namespace
		to   netip.Addr
	}{
		{"pod", a.NS, first}, {"pod", a.NS, second}, {"pod", a.NS, remote}, {"pod", a.NS, hostAddr(n.VM, v6)}, {"pod", a.NS, b.Addr(v6)},
		{"a VM of the first subnet", l.nodes[1].VM.Ns, pod}, {"a VM of the second subnet", l.nodes[2].VM.Ns, pod},
		{"a remote host", l.fabric.Ns(), pod},
		{"the host", n.VM.Ns, pod}, {"the other pod", b.NS, pod},
	} {
		if err := l.ping(way.ns, way.to, fabric.PingOptions{}); err != nil {
			l.Errorf("%s → %s: %v", way.from, way.to, err)
		}
	}
	if !v6 {
		if err := l.ping(a.NS, fabric.HostAgent, fabric.PingOptions{}); err != nil {
			l.Errorf("pod → host agent: %v", err)
		}
	}
}

func (l *lab) ping(ns *fabric.Namespace, to netip.Addr, o fabric.PingOptions) error {
	ctx, cancel := context.WithTimeout(l.ctx, 3*time.Second)
	defer cancel()
	_, err := ns.Ping(ctx, to, o)
	return err
}

// findings are doctor's.
func (l *lab) findings(n *node.Node) []finding {
	l.Helper()
	r, err := n.Operator(l.ctx, "azure-vnet", "doctor", "-o", "json", "--data-dir", n.DataDir())
	l.must(err)
	var d diagnosis
	l.must(json.Unmarshal(r.Stdout, &d))
	return d.Findings
}

// healthy says that doctor has nothing to say but that nobody masquerades.
func (l *lab) healthy(n *node.Node) {
	l.Helper()
	for _, f := range l.findings(n) {
		if f.Level != "ok" && f.Check != "masquerade" {
			l.Errorf("doctor says: %+v", f)
		}
	}
}

// A NIC with the host's address only, beside that of the pods, is what the documents recommend: doctor has nothing to
// say about it.
func TestDoctorIsContentWithANICOfTheHosts(t *testing.T) {
	cfg := twoNICs()
	cfg.VMs[0].NICs[0].Pods = nil
	l := newLab(t, cfg)
	n := l.nodes[0]
	p := l.add(n, l.list(n, map[string]any{"master": nil, "bridge": nil}))
	if p.IP != addr("10.244.1.1") {
		t.Errorf("the pod has %s", p.IP)
	}
	l.healthy(n)
}

// Host ports at each address of a host with two NICs lead to pods of either, from everywhere.
func TestHostPortsOfTwoNICs(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, master := range []string{"eth0", "eth1"} {
			for _, backend := range []string{"iptables", "nftables"} {
				t.Run(mode+" "+master+" "+backend, func(t *testing.T) {
					l := newLab(t, manyNICs())
					n := l.nodes[0]
					l.ruled(n) // without them the host answers only by its first NIC, pods or not
					l.run(n, "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.eth1.rp_filter=1 "+
						"net.ipv6.conf.all.forwarding=1") // the last as kube-proxy does
					list := l.list(n, map[string]any{"mode": mode, "master": master, "bridge": nil, "ipam": bothFamilies},
						map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}, "snat": true, "backend": backend})
					p, err := n.NewPod(list)
					l.must(err)
					p.Ports = []node.Port{{HostPort: 8088, ContainerPort: backendPort, Protocol: "tcp"},
						{HostPort: 8088, ContainerPort: backendPort, Protocol: "udp"}}
					l.must(p.Add(l.ctx))
					for _, v6 := range []bool{false, true} {
						l.serve(p.NS, netip.AddrPortFrom(p.Addr(v6), backendPort))
						l.serveUDP(p.NS, netip.AddrPortFrom(p.Addr(v6), backendPort))
						hosts := []netip.Addr{addr("10.240.0.4"), addr("10.244.0.4")}
						if v6 {
							hosts = []netip.Addr{addr("fd00::4"), addr("fd44::4")}
						}
						for _, at := range hosts {
							for who, ns := range map[string]*fabric.Namespace{"the host": n.VM.Ns, "a VM of the first subnet": l.nodes[1].VM.Ns,
								"a VM of the second subnet": l.nodes[2].VM.Ns, "a remote host": l.fabric.Ns()} {
								for _, network := range []string{"tcp", "udp"} {
									if got, err := l.ask(ns, network, netip.AddrPortFrom(at, 8088), netip.Addr{}); err != nil ||
										!strings.HasPrefix(got, p.Addr(v6).String()+" sees ") {
										t.Errorf("%s → host port at %s by %s: %q, %v", who, at, network, got, err)
									}
								}
							}
						}
					}
					l.must(p.Del(l.ctx))
				})
			}
		}
	}
}
