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

// damages are what happens to a state file; mirror says whether to its second copy, too.
var damages = map[string]func(l *lab, file string){
	"empty": func(l *lab, file string) { l.must(os.WriteFile(file, nil, 0o600)) },
	"half": func(l *lab, file string) {
		l.must(os.WriteFile(file, []byte(l.read(file)[:len(l.read(file))/2]), 0o600))
	},
	"NUL bytes": func(l *lab, file string) { l.must(os.WriteFile(file, make([]byte, 4096), 0o600)) },
	"a list":    func(l *lab, file string) { l.must(os.WriteFile(file, []byte("[]"), 0o600)) },
	"deleted":   func(l *lab, file string) { l.must(os.Remove(file)) },
}

// The damage matrix: with live pods, whatever happens to either state file, or both, no address is given twice, live
// pods work on, and their DEL leaves nothing.
func TestDamagedStateWithLivePods(t *testing.T) {
	t.Parallel()
	files := map[string][]string{"azure-vnet": {"azure-vnet.json"}, "ipam": {"azure-vnet-ipam.json"},
		"both": {"azure-vnet.json", "azure-vnet-ipam.json"}}
	for i, mode := range []string{"bridge", "tunnel", "transparent"} {
		for name, damage := range damages {
			for which, list := range files {
				for _, mirror := range []bool{false, true} {
					if (len(name)+len(which))%3 != i && !mirror { // what the mirror repairs is the same in every mode
						continue
					}
					t.Run(fmt.Sprintf("%s %s %s mirror=%t", mode, name, which, mirror), func(t *testing.T) {
						l := newLab(t, fabric.Default(1, 6))
						// With all four files gone nobody knows whose the addresses are, only that they live.
						l.damagedState(mode, which != "both" || !mirror, func(n *node.Node) {
							for _, f := range list {
								damage(l, filepath.Join(n.DataDir(), f))
								if bak := filepath.Join(n.DataDir(), f+".bak"); mirror {
									damage(l, bak)
								}
							}
						})
					})
				}
			}
		}
	}
}

func (l *lab) damagedState(mode string, holders bool, damage func(*node.Node)) {
	l.Helper()
	n := l.nodes[0]
	list := l.list(n, map[string]any{"mode": mode})
	pods := []*node.Pod{l.add(n, list), l.add(n, list), l.add(n, list)}
	for _, p := range pods {
		l.occupy(p.NS) // as a pod's own processes do: they are what shows its address when all files are lost
	}
	damage(n)
	l.must(pods[0].Del(l.ctx)) // by the owner alone
	pods = pods[1:]
	l.alive(mode, pods)
	pods = append(pods, l.add(n, list), l.add(n, list))
	seen := map[string]bool{}
	for _, p := range pods {
		if seen[p.IP.String()] {
			l.Errorf("%s was given twice", p.IP)
		}
		seen[p.IP.String()] = true
	}
	l.alive(mode, pods)
	// What the host shows is in the state again, and is repaired like the rest.
	l.broken = true
	l.run(n, "nft flush ruleset")
	pods = append(pods, l.add(n, list))
	l.alive(mode, pods)
	for _, p := range pods {
		if holders {
			l.must(p.Check(l.ctx))
		}
	}
	for _, p := range pods {
		l.must(p.Del(l.ctx))
	}
	if left := l.leftovers(n); len(left) > 0 {
		l.Errorf("left: %v", left)
	}
}

func (l *lab) alive(mode string, pods []*node.Pod) {
	l.Helper()
	for i, p := range pods {
		l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
		l.reach("pod", p.NS, "pod", pods[(i+1)%len(pods)].IP, ttls[mode].samePod)
		l.reach("fabric", l.fabric.Ns(), "pod", p.IP, ttls[mode].fromFabric)
	}
}

// A file that another version wrote, and a folder that cannot be written: every command fails with a clear error,
// nothing is touched, live pods work on; and when the hindrance is gone, so does everything else.
func TestUnusableStateWithLivePods(t *testing.T) {
	t.Parallel()
	for which, code := range map[string]uint{"azure-vnet.json": 106, "azure-vnet-ipam.json": 106, "read-only": 5} {
		t.Run(which, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 4))
			n := l.nodes[0]
			list := l.list(n, nil)
			pods := []*node.Pod{l.add(n, list), l.add(n, list)}
			file := filepath.Join(n.DataDir(), which)
			var before string
			if which == "read-only" {
				n.Mounts = fmt.Sprintf("mount --bind %[1]s %[1]s && mount -o remount,bind,ro %[1]s", n.DataDir())
			} else {
				before = l.read(file)
				l.must(os.WriteFile(file, []byte(strings.Replace(strings.Replace(before, `"schema": `, `"schema": 9`, 1),
					`"schema":`, `"schema":9`, 1)), 0o600))
			}
			fresh, err := n.NewPod(list)
			l.must(err)
			call := node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: fresh.ID, NetNS: fresh.NS.Path(),
				IfName: "eth0", Conf: l.conf(n, nil)}
			l.wantError(l.exec(n, call), code)
			call.Command, call.ContainerID, call.NetNS = "DEL", pods[0].ID, pods[0].NS.Path()
			l.wantError(l.exec(n, call), code)
			l.reach("pod", pods[1].NS, "gateway", gateway, ttls["tunnel"].fabric)
			if which == "read-only" {
				n.Mounts = ""
			} else {
				l.must(os.WriteFile(file, []byte(before), 0o600))
			}
			l.must(fresh.Add(l.ctx))
			for _, p := range append(pods, fresh) {
				l.must(p.Del(l.ctx))
			}
			if left := l.leftovers(n); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
