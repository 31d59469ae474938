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

// twoNICs is a VM with a NIC in each of two subnets, and another VM.
func twoNICs() fabric.Config {
	cfg := fabric.Default(2, 4)
	second := fabric.Default(3, 4).VMs[2].NICs[0]
	second.Name, second.Primary, second.Prefix = "eth1", false, netip.MustParsePrefix("10.244.0.0/16")
	second.Address, second.Pods = addr("10.244.0.4"),
		[]netip.Addr{addr("10.244.1.1"), addr("10.244.1.2"), addr("10.244.1.3"), addr("10.244.1.4")}
	cfg.VMs[0].NICs = append(cfg.VMs[0].NICs, second)
	return cfg
}

// One container in two networks on two NICs: each interface works on its own, the first keeps the default route, and
// they go in any order.
func TestOneContainerInTwoNetworks(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for name, order := range map[string][]int{"first to last": {0, 1}, "last to first": {1, 0}} {
			t.Run(mode+" "+name, func(t *testing.T) {
				l := newLab(t, twoNICs())
				n := l.nodes[0]
				front := l.list(n, map[string]any{"name": "front", "mode": mode, "bridge": nil})
				back := l.list(n, map[string]any{"name": "back", "mode": mode, "bridge": nil, "master": "eth1"})
				first := l.add(n, front)
				second := *first
				second.IfName, second.List = "eth1", back
				l.must(second.Add(l.ctx))
				if first.IP != addr("10.240.1.1") || second.IP != addr("10.244.1.1") {
					t.Fatalf("the pod has %s and %s", first.IP, second.IP)
				}
				other := l.add(n, back)
				routes := l.podRun(first, "ip route show default")
				if lines := strings.Split(strings.TrimSpace(routes), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "dev eth0") ||
					!strings.Contains(lines[1], "dev eth1") || !strings.Contains(lines[1], "metric") {
					t.Errorf("default routes:\n%s", routes)
				}
				for _, p := range []*node.Pod{first, &second, other} {
					l.must(p.Check(l.ctx))
				}
				l.reach("pod", first.NS, "remote host", remoteHost, ttls[mode].fabric)
				l.reach("host", n.VM.Ns, "pod by eth1", second.IP, ttls[mode].fromHost)
				for _, p := range []*node.Pod{first, &second} {
					l.reach("remote host", l.fabric.Ns(), "pod by "+p.IfName, p.IP, ttls[mode].fromFabric)
					l.reach("other host", l.nodes[1].VM.Ns, "pod by "+p.IfName, p.IP, ttls[mode].fromOtherHost)
				}
				l.reach("pod in the same network", other.NS, "pod by eth1", second.IP, ttls[mode].samePod)
				pods := []*node.Pod{first, &second}
				l.must(pods[order[0]].Del(l.ctx))
				left := pods[order[1]]
				l.must(left.Check(l.ctx))
				l.reach("host", n.VM.Ns, "what is left of the pod", left.IP, ttls[mode].fromHost)
				if left == &second {
					l.reach("pod in the same network", other.NS, "what is left of the pod", left.IP, ttls[mode].samePod)
				}
				l.must(left.Del(l.ctx))
				l.must(other.Del(l.ctx))
				if found := l.leftovers(n); len(found) > 0 {
					t.Errorf("left: %v", found)
				}
			})
		}
	}
}

// Without a master the first network takes the secondary NIC, and the second one what is free.
func TestSecondaryNICIsPreferred(t *testing.T) {
	l := newLab(t, twoNICs())
	n := l.nodes[0]
	one := l.add(n, l.list(n, map[string]any{"name": "one", "bridge": nil, "master": nil}))
	two := l.add(n, l.list(n, map[string]any{"name": "two", "bridge": nil, "master": nil}))
	networks, _ := l.state(n)
	slices.SortFunc(networks.Networks, func(a, b struct {
		Name, Mode, Master, Bridge string
		Prefixes                   []string
		Endpoints                  []struct {
			ContainerID, IfName, PodNamespace, PodName, MAC, HostIfName, NetNS, State, Created string
			Addresses                                                                          []string
		}
	}) int {
		return strings.Compare(a.Name, b.Name)
	})
	if networks.Networks[0].Master != "eth1" || one.IP != addr("10.244.1.1") || networks.Networks[1].Master != "eth0" ||
		two.IP != addr("10.240.1.1") {
		t.Errorf("%s %s, %+v", one.IP, two.IP, networks)
	}
	l.reach("host", n.VM.Ns, "pod", one.IP, ttls["tunnel"].fromHost)
	l.reach("pod", two.NS, "remote host", remoteHost, 64)
}

// Two networks on one NIC share its rules: they live side by side if they want the same, else the second is refused
// while the first has pods, and nothing happens to those.
func TestTwoNetworksOnOneNIC(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 6))
			n := l.nodes[0]
			blue := l.list(n, map[string]any{"name": "blue", "mode": mode})
			green := l.list(n, map[string]any{"name": "green", "mode": mode})
			pods := []*node.Pod{l.add(n, blue), l.add(n, green), l.add(n, blue)}
			other := map[string]string{"bridge": "tunnel", "tunnel": "transparent", "transparent": "bridge"}[mode]
			for what, fields := range map[string]map[string]any{
				"another mode":         {"name": "red", "mode": other},
				"other protection":     {"name": "red", "mode": mode, "disableAntiSpoof": true},
				"masquerading besides": {"name": "red", "mode": mode, "ipMasq": true},
				"another bridge":       {"name": "red", "mode": mode, "bridge": "azure9"},
			} {
				if what == "another bridge" && mode == "transparent" {
					continue
				}
				p, err := n.NewPod(l.list(n, fields))
				l.must(err)
				if err := p.Add(l.ctx); err == nil || !strings.Contains(err.Error(), "blue") && !strings.Contains(err.Error(), "green") {
					t.Errorf("%s: %v", what, err)
				}
			}
			for i, p := range pods {
				l.must(p.Check(l.ctx))
				l.reach("pod", p.NS, "pod of the other network", pods[(i+1)%3].IP, ttls[mode].samePod)
			}
			gc := node.Call{Plugin: "azure-vnet", Command: "GC",
				Conf: l.conf(n, map[string]any{"name": "blue", "mode": mode, "cni.dev/valid-attachments": []any{}})}
			l.wantSuccess(l.exec(n, gc))
			l.must(pods[1].Check(l.ctx))
			l.reach("pod", pods[1].NS, "gateway", gateway, ttls[mode].fabric)
			l.must(pods[1].Del(l.ctx))
			if found := l.leftovers(n); len(found) > 0 {
				t.Errorf("left: %v", found)
			}
			// Nobody is left who could disagree.
			l.add(n, l.list(n, map[string]any{"name": "red", "mode": mode, "ipMasq": true}))
		})
	}
}

func (l *lab) podRun(p *node.Pod, line string) string {
	l.Helper()
	args := strings.Fields(line)
	out, err := p.NS.Command(l.ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		l.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

// A network that has no pods any more gives its NIC to one of another mode and name, with all that it has on the host;
// one with pods does not. cleanup of the last one gives the host what it had before both.
func TestANetworkWithoutPodsMakesRoom(t *testing.T) {
	t.Parallel()
	for _, way := range [][]string{{"bridge", "transparent"}, {"transparent", "bridge"}, {"tunnel", "transparent"},
		{"transparent", "tunnel"}, {"bridge", "bridge"}} {
		t.Run(way[0]+" to "+way[1], func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 4))
			n := l.nodes[0]
			before := l.snapshot(n)
			first := l.list(n, map[string]any{"mode": way[0], "ipam": bothFamilies})
			second := l.list(n, map[string]any{"name": "other", "bridge": "azure1", "mode": way[1], "ipam": bothFamilies})
			p := l.add(n, first)
			if _, err := n.AddPod(l.ctx, second); err == nil || !strings.Contains(err.Error(), "network azure has pods") {
				t.Errorf("beside a network with pods: %v", err)
			}
			l.reach("pod", p.NS, "gateway", gateway, ttls[way[0]].fabric)
			l.must(p.Del(l.ctx))
			q := l.add(n, second)
			for _, v6 := range []bool{false, true} {
				l.reach("fabric", l.fabric.Ns(), "pod", q.Addr(v6), ttls[way[1]].fromFabric)
				l.reach("host", n.VM.Ns, "pod", q.Addr(v6), ttls[way[1]].fromHost)
			}
			l.reach("pod", q.NS, "remote host", remoteHost, ttls[way[1]].fabric)
			l.must(q.Check(l.ctx))
			if links := l.run(n, "ip -br link"); strings.Contains(links, "azure0") {
				t.Errorf("the first network's bridge is still there:\n%s", links)
			}
			l.cleanup(n)
			if after := l.snapshot(n); after != before {
				t.Errorf("after cleanup the host differs:\n%s", differ(before, after))
			}
		})
	}
}
