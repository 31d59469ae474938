//go:build linux

package e2e

import (
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// A VM full of pods, in every mode: 250 come at once, all of them work, and all go at once.
func TestTwoHundredAndFiftyPods(t *testing.T) {
	t.Parallel()
	const count = 250
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, count))
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode, "logLevel": "info"})
			pods := make([]*node.Pod, count)
			for i := range pods {
				var err error
				pods[i], err = n.NewPod(list)
				l.must(err)
			}
			each(count, func(i int) {
				if err := pods[i].Add(l.ctx); err != nil {
					t.Errorf("ADD of pod %d: %v", i, err)
				}
			})
			if t.Failed() {
				return
			}
			seen := map[string]bool{}
			for i, p := range pods {
				if seen[p.IP.String()] {
					t.Errorf("%s was given twice", p.IP)
				}
				seen[p.IP.String()] = true
				l.reach("fabric", l.fabric.Ns(), "pod", p.IP, ttls[mode].fromFabric)
				// Each address that a pod asks for takes a place in the kernel's table of neighbours, of which there are
				// 1024 for all namespaces together, and other tests are running.
				if i%10 == 0 {
					l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
					l.reach("pod", p.NS, "next pod", pods[(i+1)%count].IP, ttls[mode].samePod)
				}
			}
			l.must(pods[count/2].Check(l.ctx))
			each(count, func(i int) {
				if err := pods[i].Del(l.ctx); err != nil {
					t.Errorf("DEL of pod %d: %v", i, err)
				}
			})
			if left := l.leftovers(n); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			l.reach("host", n.VM.Ns, "gateway", gateway, 64)
		})
	}
}

// Somebody flushes the ruleset of a full node: the next ADD brings all pods' rules back in one transaction, however
// many the kernel acknowledges.
func TestAFullNodesRulesComeBack(t *testing.T) {
	t.Parallel()
	const pods = 250
	for _, mode := range []string{"bridge", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, pods))
			l.broken = true // until it is repaired, pods' frames leave as they are
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode})
			all := make([]*node.Pod, pods-1)
			for i := range all {
				all[i] = l.add(n, list)
			}
			l.run(n, "nft flush ruleset")
			fresh := l.add(n, list)
			for _, p := range []*node.Pod{all[0], all[len(all)-1], fresh} {
				l.must(p.Check(l.ctx))
				l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
			}
		})
	}
}
