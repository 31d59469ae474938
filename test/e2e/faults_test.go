//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/pkg/types"
)

// traced runs a command of azure-vnet under strace. inject is strace's expression of what happens to
// which system call ("sendto:signal=KILL:when=3"); it counts in each thread for itself.
func (l *lab) traced(n *node.Node, command, id, netns string, conf []byte, options ...string) node.Reply {
	l.Helper()
	cmd := n.VM.Ns.Command(l.ctx, "strace", append(append([]string{"-f", "-qqq"}, options...), binaries+"/azure-vnet")...)
	cmd.Env = []string{"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + id, "CNI_NETNS=" + netns, "CNI_IFNAME=eth0",
		"CNI_PATH=" + binaries, "PATH=/usr/bin:/bin"}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(conf), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.Fatalf("strace: %v", err)
	}
	r := node.Reply{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	if exit != nil {
		r.Exit = exit.ExitCode() // −1 after a signal
	}
	return r
}

// injected are the system calls that a command does outside of the Go runtime. Two are left out: a failing
// read of the pipe by which os/exec learns of execve makes Go wait for the child that waits for us, and a
// failing flock(LOCK_UN) keeps the lock; neither can happen on a real kernel.
var injected = []string{"openat", "socket", "bind", "getsockname", "setsockopt", "sendto", "sendmsg", "recvfrom", "recvmsg", "setns",
	"connect", "fsync", "ioctl", "renameat", "newfstatat", "fstat", "unlinkat", "getdents64", "execve", "pipe2"}

// Whatever system call fails: standard output has exactly one JSON document that goes with the exit code,
// the host keeps its configuration, and the runtime's DEL leaves nothing.
func TestAnyFailingSystemCall(t *testing.T) {
	t.Parallel()
	for _, call := range injected {
		t.Run(call, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 3))
			n := l.nodes[0]
			conf := l.conf(n, map[string]any{"mode": "bridge"})
			before := l.hostConf(n)
			for when := 1; when <= 8; when++ {
				ns, err := n.VM.NewPod("pod")
				l.must(err)
				id := fmt.Sprintf("c%d", when)
				r := l.traced(n, "ADD", id, ns.Path(), conf, "-e", "trace="+call, "-e",
					fmt.Sprintf("inject=%s:error=EIO:when=%d", call, when), "-o", "/dev/null")
				l.oneAnswer(fmt.Sprintf("%s fails at %d", call, when), r)
				l.reach("host", n.VM.Ns, "gateway", gateway, 64)
				l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "DEL", ContainerID: id, NetNS: ns.Path(), IfName: "eth0", Conf: conf}))
				if left := l.leftovers(n); len(left) > 0 {
					t.Fatalf("%s fails at %d: left after DEL: %v", call, when, left)
				}
				l.must(ns.Close())
			}
			if after := l.hostConf(n); after != before {
				t.Errorf("the host's configuration was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

func (l *lab) oneAnswer(what string, r node.Reply) {
	l.Helper()
	if r.Exit == 0 {
		var result struct{ IPs []json.RawMessage }
		if err := json.Unmarshal(r.Stdout, &result); err != nil || len(result.IPs) != 1 {
			l.Errorf("%s: exit 0 with %q (%v)", what, r.Stdout, err)
		}
		return
	}
	var e types.Error
	if err := json.Unmarshal(r.Stdout, &e); err != nil || e.Code == 0 || e.Msg == "" {
		l.Errorf("%s: exit %d with %q (%v) %s", what, r.Exit, r.Stdout, err, r.Stderr)
	}
}

// killPoints says how often a thread does each of the system calls that change something, or stand between such, at
// most: a command does its first netlink requests to look around.
var killPoints = map[string]int{"sendto": 36, "sendmsg": 4, "renameat": 4, "flock": 6, "setns": 4, "execve": 2, "fsync": 4, "ftruncate": 1,
	"linkat": 1, "getsockname": 6}

// kill -9 at the system calls that change something, during the ADD that creates the network and during one
// that finds it, and during DEL: the host is always reachable and has what it had, the runtime's retry works
// at once, nothing stays behind.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	t.Run("points", killEverywhere)
	modes := 0
	killedModes.Range(func(any, any) bool { modes++; return true })
	const ofAMode = 100
	if n := killedCommands.Load(); modes == 0 || n < int64(modes)*ofAMode {
		t.Errorf("only %d points were reached, in %d modes", n, modes)
	} else {
		t.Logf("killed at %d points", n)
	}
}

// killedCommands counts the commands that were really killed, in these modes.
var (
	killedCommands atomic.Int64
	killedModes    sync.Map
)

func killEverywhere(t *testing.T) {
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for call, points := range killPoints {
			t.Run(mode+" "+call, func(t *testing.T) {
				t.Parallel()
				// Each thread counts its own: one number that none of four commands reaches may be chance, three are the end.
				for when, missed := 1, 0; missed < 3 && when <= points; when++ {
					missed++
					t.Run(fmt.Sprint(when), func(t *testing.T) {
						if killedAt(t, mode, fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, when), "trace="+call) {
							missed = 0
						}
					})
				}
			})
		}
	}
}

// killedAt says whether any command was killed.
func killedAt(t *testing.T, mode, inject, trace string) (reached bool) {
	killedModes.Store(mode, true)
	l := newLabInTurn(t, fabric.Default(1, 3))
	n := l.nodes[0]
	conf := l.conf(n, map[string]any{"mode": mode})
	before := l.hostConf(n)
	killed := func(command, id string, ns *fabric.Namespace) bool {
		r := l.traced(n, command, id, ns.Path(), conf, "-e", trace, "-e", inject, "-o", "/dev/null")
		if r.Exit != 0 {
			killedCommands.Add(1)
			reached = true
		}
		l.reach("host", n.VM.Ns, "gateway", gateway, 64)
		if after := l.hostConf(n); after != before {
			t.Errorf("killed in %s: the host's configuration was\n%s\nand is\n%s", command, before, after)
		}
		return r.Exit != 0
	}
	for _, id := range []string{"polite", "hasty"} {
		ns, err := n.VM.NewPod(id)
		l.must(err)
		retry := node.Call{Plugin: "azure-vnet", ContainerID: id, NetNS: ns.Path(), IfName: "eth0", Conf: conf}
		dead := killed("ADD", id, ns)
		// A runtime cleans up before it tries again, or it does not. It may even have been killed just before it
		// could say that all was done.
		retry.Command = "ADD"
		if id == "polite" || dead && l.ready(n, id) {
			retry.Command = "DEL"
			l.wantSuccess(l.exec(n, retry))
			retry.Command, dead = "ADD", true
		}
		if dead {
			l.wantSuccess(l.exec(n, retry))
		}
		l.reach("pod", ns, "remote host", remoteHost, ttls[mode].fabric)
		killed("DEL", id, ns)
		retry.Command = "DEL"
		l.wantSuccess(l.exec(n, retry))
		if left := l.leftovers(n); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	return reached
}

func (l *lab) ready(n *node.Node, containerID string) bool {
	l.Helper()
	networks, _ := l.state(n)
	for _, nw := range networks.Networks {
		for _, e := range nw.Endpoints {
			if e.ContainerID == containerID && e.State == "ready" {
				return true
			}
		}
	}
	return false
}

// ADD and DEL execute the IPAM plugin and nothing else.
func TestNothingIsForkedButTheIPAMPlugin(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	ns, err := n.VM.NewPod("pod")
	l.must(err)
	for i, command := range []string{"ADD", "DEL", "ADD", "DEL"} {
		exec := i >= 2
		trace := fmt.Sprintf("%s/trace.%d", n.Dir, i)
		r := l.traced(n, command, "c0", ns.Path(), l.conf(n, map[string]any{"execIPAM": exec}), "-e", "trace=execve,execveat", "-o", trace)
		l.wantSuccess(r)
		var executed []string
		for _, line := range strings.Split(l.read(trace), "\n") {
			// "execve(… <unfinished ...>" when another thread came between: the plugin's path is known to exist.
			if _, rest, ok := strings.Cut(line, "execve("); ok && !strings.Contains(line, "= -1") {
				executed = append(executed, strings.Split(rest, `"`)[1])
			}
		}
		want := []string{binaries + "/azure-vnet"}
		if exec {
			want = append(want, binaries+"/azure-vnet-ipam")
		}
		if !slices.Equal(executed, want) {
			t.Errorf("%s executes %v, want %v", command, executed, want)
		}
	}
}
