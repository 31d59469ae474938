//go:build linux

package e2e

import (
	"maps"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// Sandboxes end without a DEL, of two networks on one pool, until no address is left. The next pod gets one of theirs,
// also by an IPAM plugin of others; a DEL that comes late harms nobody. Who lives keeps what it has.
func TestTheDeadGiveTheirAddressesBack(t *testing.T) {
	t.Parallel()
	hostLocal := map[string]any{"type": "host-local",
		"ranges": []any{[]any{map[string]string{"subnet": "10.240.0.0/16", "rangeStart": "10.240.1.1",
			"rangeEnd": "10.240.1.3", "gateway": "10.240.0.1"}}},
		"routes": []any{map[string]string{"dst": "0.0.0.0/0"}}}
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for name, ipam := range map[string]map[string]any{"ours": {"type": "azure-vnet-ipam"}, "host-local": hostLocal} {
			t.Run(mode+" "+name, func(t *testing.T) {
				l := newLab(t, fabric.Default(1, 3))
				n := l.nodes[0]
				ipam := maps.Clone(ipam)
				if name == "host-local" {
					ipam["dataDir"] = n.Dir + "/host-local"
				}
				list := l.list(n, map[string]any{"mode": mode, "ipam": ipam})
				lives := l.add(n, list)
				var dead []*node.Pod
				for range 2 {
					p := l.add(n, list)
					l.must(p.NS.Close())
					dead = append(dead, p)
				}
				l.eventually("the veths of the dead do not go", func() bool { return strings.Count(l.run(n, "ip -br link"), "azv") == 1 })
				next := l.add(n, list)
				if next.IP != dead[0].IP && next.IP != dead[1].IP {
					t.Errorf("the next pod has %s, the dead had %s and %s", next.IP, dead[0].IP, dead[1].IP)
				}
				for _, p := range dead { // the runtime remembers
					l.must(p.Del(l.ctx))
				}
				for _, p := range []*node.Pod{lives, next} {
					l.reach("fabric", l.fabric.Ns(), "pod", p.IP, ttls[mode].fromFabric)
					l.must(p.Check(l.ctx))
				}
				l.must(next.Del(l.ctx))
				l.must(lives.Del(l.ctx))
				if found := l.hostLeftovers(n); len(found) > 0 {
					t.Errorf("left: %v", found)
				}
			})
		}
	}
}

// A node that is not ready gets no pods, so STATUS looks for the dead, too.
func TestStatusLooksForTheDead(t *testing.T) {
	l := newLab(t, fabric.Default(1, 1))
	n := l.nodes[0]
	fields := map[string]any{"ipam": map[string]string{"type": "azure-vnet-ipam", "statusWhenFull": "error"}}
	p := l.add(n, l.list(n, fields))
	status := node.Call{Plugin: "azure-vnet", Command: "STATUS", Conf: l.conf(n, fields)}
	l.wantError(l.exec(n, status), 50)
	l.must(p.Check(l.ctx))
	l.must(p.NS.Close())
	l.eventually("the veth does not go", func() bool { return !strings.Contains(l.run(n, "ip -br link"), "azv") })
	l.wantSuccess(l.exec(n, status))
}
