//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// claimed waits until somebody holds a lock of azure-vnet's owners, by what the kernel says (/proc/locks).
func (l *lab) claimed(n *node.Node) {
	l.Helper()
	path := filepath.Join(n.DataDir(), "azure-vnet-owners.lock")
	for {
		l.must(l.ctx.Err())
		var st syscall.Stat_t
		if syscall.Stat(path, &st) == nil && strings.Contains(l.read("/proc/locks"), ":"+strconv.FormatUint(st.Ino, 10)+" ") {
			return
		}
	}
}

// Two DELs of one container are under way, as after a runtime's restart, and the pool is used up. The slower one does not take the
// next pod with the address off the network: whoever comes second waits for the first.
func TestASlowDelBesideTheNextPod(t *testing.T) {
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 2))
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode})
			stays, goes := l.add(n, list), l.add(n, list)
			conf := l.conf(n, map[string]any{"mode": mode})
			slow := make(chan node.Reply)
			go func() {
				slow <- l.traced(n, "DEL", goes.ID, goes.NS.Path(), conf, "-e", "trace=sendto,sendmsg", "-e", "inject=sendto,sendmsg:delay_enter=1500000:when=1", "-o", "/dev/null")
			}()
			l.claimed(n)
			l.must(goes.Del(l.ctx))
			next := l.add(n, list)
			if next.IP != goes.IP {
				t.Fatalf("the next pod has %s instead of %s: the test proves nothing", next.IP, goes.IP)
			}
			l.wantSuccess(<-slow)
			for _, p := range []*node.Pod{stays, next} {
				l.reach("fabric", l.fabric.Ns(), "pod", p.IP, ttls[mode].fromFabric)
				l.must(p.Check(l.ctx))
			}
		})
	}
}

// cleanup while a pod starts: the pod comes after it, on a network that is whole; and at the end nothing is left. It is delayed at
// several of its messages.
func TestCleanupBesideAnAdd(t *testing.T) {
	for _, mode := range []string{"bridge", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 4))
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode})
			before := l.snapshot(n)
			for when := 4; when <= 16; when += 3 {
				l.add(n, list)
				done := make(chan error)
				go func() {
					cmd := n.VM.Ns.Command(l.ctx, "strace", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=sendto,sendmsg", "-e", fmt.Sprintf("inject=sendto,sendmsg:delay_enter=700000:when=%d", when),
						filepath.Join(binaries, "azure-vnet"), "cleanup", "--yes", "--data-dir", n.DataDir())
					cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
					out, err := cmd.CombinedOutput()
					if err != nil {
						err = fmt.Errorf("cleanup: %w: %s", err, out)
					}
					done <- err
				}()
				l.claimed(n)
				p := l.add(n, list)
				l.must(<-done)
				l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
				l.must(p.Check(l.ctx))
				if networks, _ := l.state(n); len(networks.Networks) != 1 || len(networks.Networks[0].Endpoints) != 1 {
					t.Errorf("the state is %+v", networks)
				}
				l.cleanup(n)
				if after := l.snapshot(n); after != before {
					t.Fatalf("message %d delayed: the host differs:\n%s", when, differ(before, after))
				}
			}
		})
	}
}
