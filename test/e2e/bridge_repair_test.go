//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// configureHost gives the host what an administrator, or a DHCP client, may have given it.
func (l *lab) configureHost(n *node.Node) {
	l.Helper()
	for _, line := range []string{
		"ip addr add 10.240.0.9/16 dev eth0 label eth0:1",
		"ip addr add 10.98.0.1/24 dev eth0 valid_lft 86400 preferred_lft 43200",
		"ip route add 10.99.0.0/16 via 10.240.0.1 metric 77 mtu 1400",
		"ip route add 10.97.0.0/16 dev eth0 table 100",
		"ip -6 route add fd99::/64 via fe80::1234:5678:9abc dev eth0",
		"ip nexthop add id 7 via 10.240.0.1 dev eth0",
		"ip route add 10.96.0.0/16 nhid 7",
		"ip rule add iif eth0 lookup 100 pref 1000",
		"ip neigh add 10.240.0.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent",
	} {
		if !strings.HasPrefix(line, "ip -6") || n.VM.Config.NICs[0].Address6.IsValid() {
			l.run(n, line)
		}
	}
}

func dualConf(mode string) map[string]any {
	return map[string]any{"mode": mode, "ipam": map[string]any{"type": "azure-vnet-ipam", "families": []string{"ipv4", "ipv6"}}}
}

// Somebody deletes the bridge while pods live on it: the next ADD brings back the host's configuration and the
// pods' connections. Then cleanup gives the host what it had before all of it.
func TestADeletedBridgeIsRepairedByTheNextAdd(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 6))
			n := l.nodes[0]
			l.configureHost(n)
			before := l.snapshot(n)
			list := l.list(n, dualConf(mode))
			other := l.list(n, func() map[string]any { c := dualConf(mode); c["name"] = "second"; return c }()) // on the same bridge
			pods := []*node.Pod{l.add(n, list), l.add(n, list), l.add(n, other)}
			// What changes while pods live counts, too. The next ADD sees it.
			l.run(n, "ip route add 10.95.0.0/16 via 10.240.0.1 dev azure0")
			l.must(l.add(n, list).Del(l.ctx))
			live := l.unordered(n)
			for _, damage := range [][]string{
				{"ip link del azure0"},
				{"ip link del azure0", "ip addr add 10.240.0.4/16 dev eth0", "ip route add default via 10.240.0.1 dev eth0"}, // and DHCP was faster
				{"ip link set azure0 down"},
			} {
				for _, line := range damage {
					l.run(n, line)
				}
				p := l.add(n, list)
				l.live(n, mode, append(pods, p)...)
				l.must(p.Del(l.ctx))
				// The kernel says so in a work queue, which on a slow machine comes later.
				l.eventually("azure0 has no carrier", func() bool { return !strings.Contains(l.run(n, "ip link show azure0"), "NO-CARRIER") })
				if after := l.unordered(n); after != live {
					t.Errorf("after %v the host differs:\n%s", damage, differ(live, after))
				}
			}
			l.run(n, "ip route del 10.95.0.0/16")
			l.must(l.add(n, list).Del(l.ctx))
			l.run(n, "ip link del azure0")
			l.cleanup(n)
			if after := l.snapshot(n); after != before {
				t.Errorf("after cleanup the host differs:\n%s", differ(before, after))
			}
			l.reach("host", n.VM.Ns, "gateway", gateway, 64)
		})
	}
}

// differ are the lines that one text has and the other has not, or else the first ones in another order.
func differ(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	var out []string
	for sign, lists := range map[string][2][]string{"- ": {a, b}, "+ ": {b, a}} {
		for _, line := range lists[0] {
			if !slices.Contains(lists[1], line) {
				out = append(out, sign+line)
			}
		}
	}
	for i := range min(len(a), len(b)) {
		if len(out) == 0 && a[i] != b[i] {
			return "the order: " + a[i] + "\nand now: " + b[i]
		}
	}
	return strings.Join(out, "\n")
}

// unordered is the snapshot without the link-local addresses and routes that the kernel makes for each interface, in
// the order of the interfaces, and for a veth that is nobody's port for a while.
func (l *lab) unordered(n *node.Node) string {
	l.Helper()
	return strings.Join(slices.DeleteFunc(strings.Split(linkLocal.ReplaceAllString(l.snapshot(n), ""), "\n"), func(line string) bool {
		return strings.Contains(line, `"dst":"fe80::`) || strings.Contains(line, `"dst":"ff00::/8"`)
	}), "\n")
}

var linkLocal = regexp.MustCompile(`\{"family":"inet6","local":"fe80::[^}]*\}`)

// live requires that CHECK finds the pods well, and that they reach everybody, and the host them.
func (l *lab) live(n *node.Node, mode string, pods ...*node.Pod) {
	l.Helper()
	ttl := ttls[mode]
	l.reach("host", n.VM.Ns, "gateway", gateway, 64)
	for _, p := range pods {
		if err := p.Check(l.ctx); err != nil {
			l.Errorf("CHECK of %s: %v", p.IP, err)
		}
		for _, v6 := range []bool{false, true} {
			if !p.Addr(v6).IsValid() {
				continue
			}
			l.reach("host", n.VM.Ns, "pod", p.Addr(v6), ttl.fromHost)
			l.reach("pod", p.NS, "own host", hostAddr(n.VM, v6), ttl.ownHost)
			l.reach("pod", p.NS, "first pod", pods[0].Addr(v6), map[bool]int{true: 64, false: ttl.samePod}[p == pods[0]])
		}
		l.reach("pod", p.NS, "gateway", gateway, ttl.fabric)
	}
}

func (l *lab) cleanup(n *node.Node) {
	l.Helper()
	r, err := n.Operator(l.ctx, "azure-vnet", "cleanup", "--yes", "--data-dir", n.DataDir())
	l.must(err)
	l.wantSuccess(r)
}

// A repair that is killed anywhere leaves what the next one repairs: either nothing of the bridge is there, or all. (An
// empty one that is down is nothing.)
func TestAKilledRepairIsRepaired(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	l.configureHost(n)
	mode := map[string]any{"mode": "tunnel"}
	list, conf := l.list(n, mode), l.conf(n, mode)
	pods := []*node.Pod{l.add(n, list), l.add(n, list)}
	live := l.unordered(n)
	tries, killed, whole := 0, 0, 0
	// Before the sixth it only reads. A busy machine makes it look more often whether the bridge has come up, so the end
	// is not at a number.
	for when := 6; when < 80 && whole < 6; when++ {
		tries++
		l.run(n, "ip link del azure0")
		ns, err := n.VM.NewPod("killed")
		l.must(err)
		r := l.traced(n, "ADD", "killed", ns.Path(), conf, "-e", "trace=sendto", "-e",
			fmt.Sprintf("inject=sendto:signal=KILL:when=%d", when), "-o", "/dev/null")
		if r.Exit != 0 {
			killed++
		}
		if strings.Contains(l.run(n, "ip link show up"), "azure0") {
			whole++
			l.podRun(pods[0], "ip neigh flush dev eth0")
			l.reach("pod", pods[0].NS, "own host", hostAddr(n.VM, false), ttls["tunnel"].ownHost) // the rules know the host's address already
			l.reach("host", n.VM.Ns, "gateway", gateway, 64)
			l.reach("pod", pods[0].NS, "gateway", gateway, ttls["tunnel"].fabric)
		}
		l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "DEL", ContainerID: "killed", NetNS: ns.Path(),
			IfName: "eth0", Conf: conf}))
		l.must(ns.Close())
		p := l.add(n, list)
		l.live(n, "tunnel", append(pods, p)...)
		l.must(p.Del(l.ctx))
		if after := l.unordered(n); after != live {
			t.Fatalf("killed at %d: the host differs:\n%s", when, differ(live, after))
		}
	}
	t.Logf("%d of %d were killed, after %d the bridge was there", killed, tries, whole)
	if killed == 0 || whole == 0 || whole == tries {
		t.Error("the kills came all before, or all after the repair")
	}
}

// After a reboot nothing that was remembered of the host is believed: it configured itself, perhaps anew.
func TestWhatWasRememberedBeforeARebootIsNotBelieved(t *testing.T) {
	l := newLab(t, fabric.DefaultDual(1, 3))
	n := l.nodes[0]
	l.configureHost(n)
	list := l.list(n, dualConf("bridge"))
	p := l.add(n, list)
	// The VM starts: no bridge, no pod, no rules, and addresses from a DHCP server that knows better now.
	l.must(p.NS.Close())
	for _, line := range []string{"ip link del azure0", "nft flush ruleset", "ip rule del pref 1000", "ip addr add 10.240.0.4/16 dev eth0",
		"ip route add default via 10.240.0.1 dev eth0"} {
		l.run(n, line)
	}
	boot := filepath.Join(n.Dir, "boot_id")
	l.must(os.WriteFile(boot, []byte("00000000-0000-4000-8000-000000000002\n"), 0o600))
	n.Mounts = "mount --bind " + boot + " /proc/sys/kernel/random/boot_id"
	l.add(n, l.list(n, map[string]any{"mode": "bridge"}))
	conf := l.run(n, "ip addr show dev azure0") + l.run(n, "ip route show table all")
	for _, old := range []string{"10.240.0.9", "10.98.0.1", "10.99.0.0", "10.97.0.0", "10.96.0.0", "fd99::"} {
		if strings.Contains(conf, old) {
			t.Errorf("%s of the boot before is back:\n%s", old, conf)
		}
	}
	l.reach("host", n.VM.Ns, "gateway", gateway, 64)
}
