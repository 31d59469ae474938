//go:build linux

package e2e

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// A network that azure-vnet does not have is not cleaned up: nothing is freed of other plugins' containers. One that is
// gone gives its pool to others.
func TestCleanupOfANetworkThatIsNotOurs(t *testing.T) {
	l := newLab(t, twoNICs())
	n := l.nodes[0]
	ours := l.add(n, l.list(n, map[string]any{"name": "ours", "bridge": nil}))
	cleanup := func(network string, exit int, says string) {
		t.Helper()
		r, err := n.Operator(l.ctx, "azure-vnet", "cleanup", "--yes", "--data-dir", n.DataDir(), "--network", network)
		l.must(err)
		if r.Exit != exit || !strings.Contains(string(r.Stdout)+string(r.Stderr), says) {
			t.Errorf("cleanup of %s: exit %d, %s%s", network, r.Exit, r.Stdout, r.Stderr)
		}
	}
	cleanup("typo", 1, "there is no network typo; there is ours")
	call := l.ipamCall(n, "ADD", "c1", map[string]any{"name": "others"})
	l.wantSuccess(l.exec(n, call))
	cleanup("others", 1, "its containers hold 1 addresses")
	_, pools := l.state(n)
	if used := pools.Pools[0].Used + pools.Pools[1].Used; used != 2 {
		t.Errorf("%d addresses are held instead of 2: %+v", used, pools)
	}
	call.Command = "DEL"
	l.wantSuccess(l.exec(n, call))
	cleanup("others", 0, "are free for other networks")
	cleanup("others", 1, "there is no network others")
	l.must(ours.Check(l.ctx))
}

// cleanup, with pods still there, gives the host back exactly what it had.
func TestCleanupRestoresTheHost(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 4))
			n := l.nodes[0]
			l.configureHost(n)
			for _, line := range []string{"iptables -P FORWARD DROP", "iptables -A FORWARD -i other0 -j ACCEPT",
				"sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=0"} {
				l.run(n, line)
			}
			before := l.snapshot(n)
			list := l.list(n, map[string]any{"mode": mode, "ipam": bothFamilies, "ipMasq": true, "acceptForward": true,
				"ipsToRouteViaHost": []string{"169.254.20.10"}})
			l.add(n, list)
			l.add(n, list)
			if l.snapshot(n) == before {
				t.Error("the snapshot does not see that there are pods")
			}
			refused, err := n.Operator(l.ctx, "azure-vnet", "cleanup", "--data-dir", n.DataDir())
			l.must(err)
			if refused.Exit != 1 || len(l.leftovers(n)) == 0 {
				t.Errorf("cleanup without an answer: exit %d, %s", refused.Exit, refused.Stdout)
			}
			r, err := n.Operator(l.ctx, "azure-vnet", "cleanup", "--yes", "--data-dir", n.DataDir())
			l.must(err)
			l.wantSuccess(r)
			if after := l.snapshot(n); after != before {
				t.Errorf("the host was\n%s\nand is\n%s", before, after)
			}
			if left := l.leftovers(n); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			l.reach("host", n.VM.Ns, "gateway", gateway, 64)
			// And it all begins anew.
			p := l.add(n, list)
			l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
		})
	}
}

func (l *lab) run(n *node.Node, line string) string {
	l.Helper()
	args := strings.Fields(line)
	out, err := n.VM.Ns.Command(l.ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		l.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

// volatile is what changes by itself.
var volatile = regexp.MustCompile(`"(state|used|confirmed|probes|refcnt|promiscuity|allmulti|bcqueuelen|usedbcqueuelen|valid_life_time|preferred_life_time|[a-z_]*_timer|no|id|designated_port)":[^,}]*,?`)

// snapshot is what a person can see of the host's network.
func (l *lab) snapshot(n *node.Node) string {
	l.Helper()
	var b strings.Builder
	for _, line := range []string{"ip -d -j addr", "ip -d -j route show table all", "ip -d -j -6 route show table all", "ip -d -j link",
		"ip -d -j nexthop", "ip -d -j rule", "ip -d -j -6 rule", "ip -d -j neigh show nud permanent"} {
		b.WriteString(line + "\n")
		var list []json.RawMessage
		if out := l.run(n, line); out != "" {
			if err := json.Unmarshal([]byte(out), &list); err != nil {
				l.Fatalf("%s: %v", line, err)
			}
		}
		lines := make([]string, 0, len(list))
		for _, item := range list {
			lines = append(lines, volatile.ReplaceAllString(string(item), ""))
		}
		if strings.Contains(line, "neigh") { // lies in a hash table
			slices.Sort(lines)
		}
		b.WriteString(strings.Join(lines, "\n") + "\n")
	}
	b.WriteString(l.run(n, "nft list ruleset") +
		l.run(n, "sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv6.conf.eth0.accept_ra net.ipv4.conf.eth0.src_valid_mark "+
			"net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables"))
	return counted.ReplaceAllString(b.String(), "")
}

var counted = regexp.MustCompile(` packets \d+ bytes \d+`)
