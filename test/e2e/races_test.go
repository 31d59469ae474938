//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/libcni"
	"github.com/gofrs/flock"
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

// Two DELs of one container are under way, as after a runtime's restart, and the pool is used up. The slower one does
// not take the next pod with the address off the network: whoever comes second waits for the first.
func TestASlowDelBesideTheNextPod(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 2))
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode})
			stays, goes := l.add(n, list), l.add(n, list)
			conf := l.conf(n, map[string]any{"mode": mode})
			slow := make(chan node.Reply)
			go func() {
				slow <- l.traced(n, "DEL", goes.ID, goes.NS.Path(), conf, "-e", "trace=sendto,sendmsg", "-e",
					"inject=sendto,sendmsg:delay_enter=1500000:when=1", "-o", "/dev/null")
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

// cleanup while a pod starts: the pod comes after it, on a network that is whole; and at the end nothing is left. It is
// delayed at several of its messages.
func TestCleanupBesideAnAdd(t *testing.T) {
	t.Parallel()
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
					cmd := n.VM.Ns.Command(l.ctx, "strace", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=sendto,sendmsg", "-e",
						fmt.Sprintf("inject=sendto,sendmsg:delay_enter=700000:when=%d", when),
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

// whole says whether a pod works, which has its address reserved then, and neither otherwise; and takes it away.
func (l *lab) whole(n *node.Node, id string, ns *fabric.Namespace, when string) {
	l.Helper()
	_, pools := l.state(n)
	reserved := false
	for _, p := range pools.Pools {
		for _, r := range p.Reservations {
			reserved = reserved || r.ContainerID == id
		}
	}
	if works := l.ping(ns, gateway, fabric.PingOptions{}) == nil; works != reserved {
		l.Errorf("%s: the pod works: %t; its address is reserved: %t", when, works, reserved)
	}
	l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "DEL", ContainerID: id, NetNS: ns.Path(),
		IfName: "eth0", Conf: l.conf(n, nil)}))
}

// A pod starts while a GC is under way that does not name it, and has looked who is there already.
func TestAnAddBesideAGC(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	list := l.list(n, nil)
	conf := l.conf(n, map[string]any{"cni.dev/valid-attachments": []any{}})
	for when := 1; when <= 5; when++ {
		l.add(n, list) // what the GC takes away
		ns, err := n.VM.NewPod(fmt.Sprintf("late%d", when))
		l.must(err)
		slow := make(chan node.Reply)
		go func() {
			slow <- l.traced(n, "GC", "", "", conf, "-e", "trace=flock", "-e", fmt.Sprintf("inject=flock:delay_enter=700000:when=%d", when), "-o",
				"/dev/null")
		}()
		l.claimed(n)
		id := fmt.Sprintf("c%d", when)
		l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: id, NetNS: ns.Path(),
			IfName: "eth0", Conf: l.conf(n, nil)}))
		l.wantSuccess(<-slow)
		l.whole(n, id, ns, fmt.Sprintf("lock %d delayed", when))
	}
}

// GC while a pod starts that it does not name: the pod is whole, or gone with its address. An ADD that was given its
// address waits; one that comes later waits for the GC.
func TestGCBesideAnAdd(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	list := l.list(n, nil)
	l.add(n, list)
	for when := 1; when <= 25; when += 4 {
		ns, err := n.VM.NewPod(fmt.Sprintf("slow%d", when))
		l.must(err)
		id := fmt.Sprintf("c%d", when)
		slow := make(chan node.Reply)
		go func() {
			slow <- l.traced(n, "ADD", id, ns.Path(), l.conf(n, nil), "-e", "trace=sendto,sendmsg", "-e",
				fmt.Sprintf("inject=sendto,sendmsg:delay_enter=300000:when=%d", when), "-o", "/dev/null")
		}()
		l.claimed(n)
		l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "GC",
			Conf: l.conf(n, map[string]any{"cni.dev/valid-attachments": []any{}})}))
		l.wantSuccess(<-slow)
		l.whole(n, id, ns, fmt.Sprintf("message %d delayed", when))
	}
}

// Before anybody is asked for an address the state says who wants one. Killed there, nothing is left after a DEL.
func TestTheIntentIsOnDiskBeforeTheIPAMPlugin(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		t.Run(fmt.Sprintf("network is known: %t", known), func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 4))
			n := l.nodes[0]
			if known {
				l.add(n, l.list(n, nil))
			}
			ns, err := n.VM.NewPod("intended")
			l.must(err)
			// The IPAM plugin kills whoever called it.
			l.must(os.MkdirAll(filepath.Join(n.Dir, "bin"), 0o755))
			l.must(os.WriteFile(filepath.Join(n.Dir, "bin", "killer"), []byte("#!/bin/sh\n[ \"$CNI_COMMAND\" = ADD ] && kill -9 $PPID\nexit 0\n"),
				0o755))
			n.Path = append(n.Path, filepath.Join(n.Dir, "bin"))
			conf := l.conf(n, map[string]any{"ipam": map[string]any{"type": "killer"}})
			call := node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: "intended", NetNS: ns.Path(), IfName: "eth0", Conf: conf}
			if r := l.exec(n, call); r.Exit != -1 {
				t.Fatalf("the ADD was not killed: %+v", r)
			}
			networks, _ := l.state(n)
			found := false
			for _, nw := range networks.Networks {
				for _, e := range nw.Endpoints {
					found = found || e.ContainerID == "intended" && e.State == "pending" && e.NetNS == ns.Path()
				}
			}
			if !found {
				t.Errorf("the state knows nothing of it: %+v", networks)
			}
			p := l.add(n, l.list(n, nil)) // others do not mind
			l.must(p.Check(l.ctx))
			call.Command = "DEL"
			l.wantSuccess(l.exec(n, call))
			l.must(p.Check(l.ctx))
			l.cleanup(n)
			if networks, _ := l.state(n); len(networks.Networks) > 0 {
				t.Errorf("after cleanup the state is %+v", networks)
			}
		})
	}
}

// Somebody flushes the rules, and the next commands come all at once: each of them repairs. What the DELs take away
// stays away.
func TestCommandsAtOnceAfterTheRulesWereFlushed(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 20))
			l.broken = true
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode})
			for range 3 {
				pods := make([]*node.Pod, 12)
				each(len(pods), func(i int) { pods[i] = l.addAtOnce(n, list) })
				l.run(n, "nft flush ruleset")
				fresh := make([]*node.Pod, 4)
				each(10+len(fresh), func(i int) {
					if i >= 10 {
						fresh[i-10] = l.addAtOnce(n, list)
					} else if err := pods[i].Del(l.ctx); err != nil {
						l.Error(err)
					}
				})
				if l.Failed() {
					return
				}
				stay := slices.Concat(pods[10:], fresh)
				l.alive(mode, stay)
				l.healthy(n)
				each(len(stay), func(i int) {
					if err := stay[i].Del(l.ctx); err != nil {
						l.Error(err)
					}
				})
				if left := l.leftovers(n); len(left) > 0 {
					t.Fatalf("left: %v", left)
				}
			}
		})
	}
}

// An ADD has read the state and waits for the lock of the network, to repair; a pod is deleted meanwhile. The repair
// brings nothing of it back.
func TestARepairBringsNothingBackThatWentWhileItWaited(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 4))
			l.broken = true
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode})
			goes, stays := l.add(n, list), l.add(n, list)
			lock := flock.New(filepath.Join(n.DataDir(), "azure-vnet-network.lock"))
			l.must(lock.RLock()) // as a DEL: others may delete, and nobody repairs
			l.run(n, "nft flush ruleset")
			added := make(chan *node.Pod)
			go func() { added <- l.addAtOnce(n, list) }()
			var st syscall.Stat_t
			l.must(syscall.Stat(lock.Path(), &st))
			waits := regexp.MustCompile(`-> FLOCK .*:` + strconv.FormatUint(st.Ino, 10) + " ")
			l.eventually("the ADD does not wait", func() bool { return waits.MatchString(l.read("/proc/locks")) })
			l.must(goes.Del(l.ctx))
			l.must(lock.Close())
			fresh := <-added
			if t.Failed() {
				return
			}
			l.alive(mode, []*node.Pod{stays, fresh})
			l.must(stays.Del(l.ctx))
			l.must(fresh.Del(l.ctx))
			if left := l.leftovers(n); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// addAtOnce is add for a goroutine of its own.
func (l *lab) addAtOnce(n *node.Node, list *libcni.NetworkConfigList) *node.Pod {
	p, err := n.AddPod(l.ctx, list)
	if err != nil {
		l.Error(err)
	}
	return p
}
