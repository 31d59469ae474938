//go:build linux

package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// Where the kernel has the module, the plugin switches on what bridged packets need to pass the host's NAT, and cleanup
// switches it off again where it was off. (That host ports and services work by it: TestServices.)
func TestBrNetfilterIsSwitchedOn(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, before := range []string{"0\n0\n", "1\n0\n", "0\n1\n", "1\n1\n"} {
			t.Run(mode+" "+strings.Join(strings.Fields(before), ""), func(t *testing.T) {
				l := newLab(t, fabric.Default(1, 3))
				n := l.nodes[0]
				l.run(n, "sysctl -qw net.bridge.bridge-nf-call-iptables="+before[:1]+" net.bridge.bridge-nf-call-ip6tables="+before[2:3])
				seen := func(when, want string) {
					t.Helper()
					if got := l.run(n, "sysctl -n net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables"); got != want {
						t.Errorf("%s: %q instead of %q", when, got, want)
					}
				}
				list := l.list(n, map[string]any{"mode": mode})
				l.add(n, list)
				want := "1\n1\n"
				if mode == "transparent" { // nothing is bridged
					want = before
				}
				seen("after ADD", want)
				l.cleanup(n)
				seen("after cleanup", before)
				l.add(n, list)
				l.run(n, "sysctl -qw net.bridge.bridge-nf-call-ip6tables=0")
				l.add(n, list)
				if mode != "transparent" {
					seen("after another ADD", want)
				}
			})
		}
	}
}

// Where the module is not loaded, pods work all the same; the log says once what does not, and doctor what to do.
func TestWithoutBrNetfilter(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 4))
			n := l.nodes[0]
			l.withoutBrNetfilter(n)
			list := l.list(n, map[string]any{"mode": mode})
			for range 3 {
				p := l.add(n, list)
				l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
			}
			bridged := map[bool]int{false: 1}[mode == "transparent"]
			if got := strings.Count(l.read(n.LogFile("azure-vnet")), "br_netfilter is not loaded,"); got != bridged {
				t.Errorf("the log says it %d times", got)
			}
			conf := filepath.Join(n.Dir, "10.conf")
			l.must(os.WriteFile(conf, l.conf(n, map[string]any{"mode": mode}), 0o600))
			r, err := n.Operator(l.ctx, "azure-vnet", "doctor", "--config", conf)
			l.must(err)
			if got := strings.Count(string(r.Stdout), "modprobe br_netfilter"); got != bridged {
				t.Errorf("doctor says it %d times: %s", got, r.Stdout)
			}
		})
	}
}

// What a network policy, and ip-masq-agent, write into the host's rules counts for pods, here and from outside, without
// anybody's doing but the plugin's.
func TestTheHostsRulesCountForPods(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 4))
			n := l.nodes[0]
			l.run(n, "sysctl -qw net.bridge.bridge-nf-call-iptables=0")
			list := l.list(n, map[string]any{"mode": mode})
			asks, closed, open := l.add(n, list), l.add(n, list), l.add(n, list)
			l.run(n, "iptables -A FORWARD -d "+closed.IP.String()+" -j DROP")
			l.silent("pod", asks.NS, closed.IP)
			l.silent("fabric", l.fabric.Ns(), closed.IP)
			l.reach("pod", asks.NS, "pod", open.IP, ttls[mode].samePod)
			l.run(n, "iptables -t nat -A POSTROUTING -s "+asks.IP.String()+" ! -d 10.240.0.0/16 -j MASQUERADE")
			l.serve(l.fabric.Ns(), netip.AddrPortFrom(remoteHost, backendPort))
			l.sees("pod → outside", asks.NS, remoteHost, hostAddr(n.VM, false))
			l.sees("another pod → outside", open.NS, remoteHost, open.IP)
		})
	}
}
