//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// Whatever somebody breaks on the host, azure-vnet repair restores it, the next ADD most of it, or CHECK of the pod
// that suffers from it; the latter two say so; and the pods that were there work again.
func TestRepair(t *testing.T) {
	t.Parallel()
	const add, check, command = "ADD", "CHECK", "azure-vnet repair"
	damages := map[string]map[string][]string{ // by mode, command that breaks, who repairs
		"bridge": {
			"nft flush ruleset": {add, check}, "ip link set {veth} nomaster": {add, check},
			"ip link set azure0 address 02:00:00:00:00:02": {add, check},
			"ip link set eth0 nomaster":                    {add, check}, "ip link set azure0 down": {add, check},
			"ip link set {veth} down":                             {check},
			"nft flush chain {family} azure-vnet azure0-from-pod": {add, check}, "nft flush map {family} azure-vnet azure0-pods4": {check},
			"nft flush set {family} azure-vnet azure0-owned4": {check}, "ip neigh flush dev azure0 nud permanent": {check},
			"bridge fdb del {mac} dev {veth} master": {check},
		},
		"transparent": {
			"nft flush ruleset": {add, check}, "nft flush set inet azure-vnet eth0-pods4": {check}, "ip route del {ip} dev {veth}": {check},
			"ip route replace {ip} dev eth0": {check},
			"ip neigh del {ip} dev {veth}":   {check}, "ip link set {veth} down": {check}, "sysctl -qw net.ipv4.ip_forward=0": {add},
		},
	}
	damages["tunnel"] = damages["bridge"]
	for mode, list := range damages {
		for damage, repairers := range list {
			for _, by := range append(repairers, command) {
				t.Run(mode+" "+damage+" "+by, func(t *testing.T) { newLab(t, fabric.Default(1, 4)).repair(mode, damage, by) })
			}
		}
	}
}

func (l *lab) repair(mode, damage, by string) {
	l.Helper()
	l.broken = strings.Contains(damage, "nft flush") // until it is repaired, pods' frames leave as they are
	n := l.nodes[0]
	list := l.list(n, map[string]any{"mode": mode})
	pods := []*node.Pod{l.add(n, list), l.add(n, list)}
	host := pods[0].Result.Interfaces[len(pods[0].Result.Interfaces)-2]
	mac := pods[0].Result.Interfaces[len(pods[0].Result.Interfaces)-1].Mac
	l.run(n, strings.NewReplacer("{veth}", host.Name, "{ip}", pods[0].IP.String(), "{mac}", mac, "{family}", family).Replace(damage))
	switch by {
	case "ADD":
		pods = append(pods, l.add(n, list))
	case "azure-vnet repair":
		if said := l.repaired(n); !strings.Contains(said, "repaired: ") {
			l.Errorf("azure-vnet repair says %q", said)
		}
		if said := l.repaired(n); said != "There is nothing to repair.\n" {
			l.Errorf("the second azure-vnet repair says %q", said)
		}
	case "CHECK":
		if err := pods[0].Check(l.ctx); err == nil || !strings.Contains(err.Error(), "repaired") {
			l.Errorf("CHECK says %v", err)
		}
	}
	for i, p := range pods {
		if err := p.Check(l.ctx); err != nil {
			l.Errorf("afterwards CHECK of %s says %v", p.IP, err)
		}
		l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
		l.reach("pod", p.NS, "pod", pods[(i+1)%len(pods)].IP, ttls[mode].samePod)
		l.reach("host", n.VM.Ns, "pod", p.IP, ttls[mode].fromHost)
		l.reach("fabric", l.fabric.Ns(), "pod", p.IP, ttls[mode].fromFabric)
	}
	for _, p := range pods {
		l.must(p.Del(l.ctx))
	}
	if left := l.leftovers(n); len(left) > 0 {
		l.Errorf("left: %v", left)
	}
}

// Somebody switches IPv6 on for a master that had none when the bridge was made, gives it an address, and takes it out
// of the bridge.
func TestAMasterThatGetsIPv6LaterComesBack(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	l.run(n, "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1")
	p := l.add(n, l.list(n, map[string]any{"mode": "bridge"}))
	for _, line := range []string{"sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0", "ip link set eth0 nomaster",
		"ip addr add fe80::4/64 dev eth0 nodad"} {
		l.run(n, line)
	}
	l.repaired(n)
	l.live(n, "bridge", p)
	if got := l.run(n, "ip addr show dev azure0"); !strings.Contains(got, "fe80::4/64") {
		t.Errorf("the address does not come along: %s", got)
	}
}

// systemd-networkd, started anew, gives the master its static address and route of IPv6 again. The kernel makes one route of two paths of
// that route and the bridge's: only the bridge has it after a repair, and after cleanup only the master.
func TestAStaticRouteOfIPv6ThatTheMasterGetsAgain(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 4))
			n := l.nodes[0]
			list := l.list(n, dualConf(mode))
			defaults := func() string { return l.run(n, "ip -6 route show default") }
			p := l.add(n, list)
			before := defaults()
			again := []string{"ip addr add 10.240.0.4/16 dev eth0", "ip addr add fd00::4/64 dev eth0 nodad",
				"ip route append default via 10.240.0.1 dev eth0",
				"ip -6 route append default via fe80::1234:5678:9abc dev eth0"}
			for _, line := range again {
				l.run(n, line)
			}
			if got := defaults(); strings.Count(got, "nexthop") != 2 {
				t.Fatalf("the kernel does not make one route of both: the test proves nothing: %s", got)
			}
			l.repaired(n)
			if after := defaults(); after != before {
				t.Errorf("after the repair the route is %q, and was %q", after, before)
			}
			l.live(n, mode, p, l.add(n, list))
			for _, line := range again {
				l.run(n, line)
			}
			l.cleanup(n)
			if after := defaults(); after != strings.ReplaceAll(before, "azure0", "eth0") {
				t.Errorf("after cleanup the route is %q, and was %q", after, before)
			}
			l.online(n, "after cleanup")
		})
	}
}

// confFile is a file with the node's configuration, for commands that look there where state and log are.
func (l *lab) confFile(n *node.Node) string {
	l.Helper()
	file := filepath.Join(n.Dir, "10-azure.conf")
	l.must(os.WriteFile(file, l.conf(n, nil), 0o600))
	return file
}

// repaired runs azure-vnet repair, and returns what it says.
func (l *lab) repaired(n *node.Node) string {
	l.Helper()
	r, err := n.Operator(l.ctx, "azure-vnet", "repair", "--config", l.confFile(n))
	l.must(err)
	l.wantSuccess(r)
	return string(r.Stdout)
}

// GC takes many pods at once: with less talk to the kernel than one message for each. That some of them lost something
// already does not matter.
func TestGCInBulk(t *testing.T) {
	t.Parallel()
	const count, kept = 48, 2
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, damaged := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s damaged=%t", mode, damaged), func(t *testing.T) {
				l := newLab(t, fabric.Default(1, count))
				n := l.nodes[0]
				list := l.list(n, map[string]any{"mode": mode})
				pods := make([]*node.Pod, count)
				for i := range pods {
					pods[i] = l.add(n, list)
				}
				if damaged {
					veth := pods[9].Result.Interfaces[len(pods[9].Result.Interfaces)-2].Name
					l.run(n, "ip link del "+veth)
					table := map[string]string{"transparent": "inet azure-vnet eth0"}[mode]
					if table == "" {
						table = family + " azure-vnet azure0"
					}
					l.run(n, fmt.Sprintf("nft delete element %s-pods4 { %s }", table, pods[11].IP))
				}
				var valid []any
				for _, p := range pods[:kept] {
					valid = append(valid, map[string]string{"containerID": p.ID, "ifname": "eth0"})
				}
				trace := filepath.Join(t.TempDir(), "trace")
				r := l.traced(n, "GC", "", "", l.conf(n, map[string]any{"mode": mode, "cni.dev/valid-attachments": valid}), "-e",
					"trace=sendto,sendmsg", "-o", trace)
				l.wantSuccess(r)
				b, err := os.ReadFile(trace)
				l.must(err)
				if calls := strings.Count(string(b), "send"); !damaged && calls > count {
					t.Errorf("%d calls to collect %d pods", calls, count-kept)
				}
				networks, pools := l.state(n)
				if len(networks.Networks[0].Endpoints) != kept || pools.Pools[0].Used != kept {
					t.Errorf("after GC: %d endpoints, %d addresses", len(networks.Networks[0].Endpoints), pools.Pools[0].Used)
				}
				for _, p := range pods[:kept] {
					l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
					l.must(p.Del(l.ctx))
				}
				if left := l.leftovers(n); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		}
	}
}
