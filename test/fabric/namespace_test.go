//go:build linux

package fabric

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func newTestNamespace(t *testing.T) *Namespace {
	t.Helper()
	n, err := newNamespace(t.Name(), nil)
	requireNoError(t, err)
	t.Cleanup(func() { requireNoError(t, n.Close()) })
	return n
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	requireNoError(t, unix.Stat(path, &st))
	return st.Ino
}

func TestDoRunsInTheNamespaceAndNothingElseDoes(t *testing.T) {
	t.Parallel()
	home := inode(t, "/proc/self/ns/net")
	n := newTestNamespace(t)
	inside := inode(t, n.Path())
	if inside == home {
		t.Fatal("the new namespace is the process's own")
	}
	requireNoError(t, n.Do(func() error {
		if got := inode(t, threadNS); got != inside {
			t.Errorf("Do runs in %d, want %d", got, inside)
		}
		if got := inode(t, "/proc/self/ns/net"); got != home {
			t.Errorf("the process's main thread is in %d, want %d", got, home)
		}
		started := make(chan uint64)
		go func() { started <- inode(t, threadNS) }()
		if got := <-started; got != home {
			t.Errorf("a goroutine started inside runs in %d, want %d", got, home)
		}
		return nil
	}))
	for range 50 {
		if got := inode(t, threadNS); got != home {
			t.Fatalf("a thread was left behind in %d", got)
		}
		runtime.Gosched()
	}
}

func TestDoPassesOnHowItsFunctionEnds(t *testing.T) {
	t.Parallel()
	n := newTestNamespace(t)
	failure := errors.New("failure")
	if err := n.Do(func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
	func() {
		defer func() {
			if got := recover(); got != "panic" {
				t.Errorf("recovered %v", got)
			}
		}()
		_ = n.Do(func() error { panic("panic") })
	}()
	ended := make(chan bool)
	go func() {
		returned := false
		defer func() { ended <- !returned }()
		_ = n.Do(func() error { runtime.Goexit(); return nil })
		returned = true
	}()
	if !<-ended {
		t.Error("Goexit in Do did not end the caller")
	}
}

func TestClosedNamespaceRefusesEverything(t *testing.T) {
	t.Parallel()
	n, err := newNamespace("closed", nil)
	requireNoError(t, err)
	path := n.Path()
	requireNoError(t, n.Close())
	requireNoError(t, n.Close())
	if err := n.Do(func() error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("Do: %v", err)
	}
	if err := n.Command(t.Context(), "true").Run(); !errors.Is(err, ErrClosed) {
		t.Errorf("Command: %v", err)
	}
	for range 20 {
		newTestNamespace(t)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old path %s: %v", path, err)
	}
}

func TestCommandRunsInTheNamespace(t *testing.T) {
	t.Parallel()
	f := Start(t, Default(1, 1))
	out, err := f.VMs[0].Ns.Command(t.Context(), "cat", "/proc/self/net/dev").Output()
	if err != nil || !strings.Contains(string(out), "eth0:") {
		t.Errorf("got %s, %v", out, err)
	}
	pod, err := f.VMs[0].NewPod("web")
	requireNoError(t, err)
	// Another process finds the pod by its path.
	out, err = f.VMs[0].Ns.Command(t.Context(), "stat", "-L", "-c", "%i", pod.Path()).CombinedOutput()
	if want := fmt.Sprintln(inode(t, pod.Path())); err != nil || string(out) != want {
		t.Errorf("got %s, %v; want %s", out, err, want)
	}
	_, err = pod.Command(t.Context(), "sh", "-c", "echo oops >&2; exit 3").Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || string(exit.Stderr) != "oops\n" {
		t.Errorf("got %v", err)
	}
}

func TestCommandIsRefusedInTheMachinesOwnNamespace(t *testing.T) {
	t.Parallel()
	n, err := Open("/proc/self/ns/net")
	requireNoError(t, err)
	defer n.Close()
	cmd := n.Command(t.Context(), "true")
	for _, run := range []func() error{cmd.Start, cmd.Run} {
		if err := run(); !errors.Is(err, ErrOwnNamespace) {
			t.Errorf("got %v, want %v", err, ErrOwnNamespace)
		}
	}
	if cmd.Process != nil {
		t.Error("a process was started")
	}
}

func TestCommandEndsWithItsNamespaceAndItsContext(t *testing.T) {
	t.Parallel()
	n, err := newNamespace(t.Name(), nil)
	requireNoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	byContext, byClose := n.Command(ctx, "sleep", "1000"), n.Command(t.Context(), "sleep", "1000")
	requireNoError(t, byContext.Start())
	requireNoError(t, byClose.Start())
	cancel()
	if err := byContext.Wait(); !errors.Is(err, context.Canceled) && !killed(err) {
		t.Errorf("by context: %v", err)
	}
	requireNoError(t, n.Close())
	if err := byClose.Wait(); !killed(err) {
		t.Errorf("by close: %v", err)
	}
}

func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

func TestPingTellsWhatTheKernelSays(t *testing.T) {
	t.Parallel()
	f := Start(t, Default(1, 1))
	pod, err := f.VMs[0].NewPod("empty")
	requireNoError(t, err)
	if _, err := pod.Ping(t.Context(), gateway, PingOptions{}); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("without a route: %v", err)
	}
	if _, err := f.VMs[0].Ns.Ping(t.Context(), gateway, PingOptions{Size: 1473, DontFragment: true}); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("too large: %v", err)
	}
	if _, err := f.VMs[0].Ns.Ping(t.Context(), gateway, PingOptions{Source: gateway}); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("foreign source: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.VMs[0].Ns.Ping(ctx, f.VMs[0].Config.PrimaryNIC().Pods[0], PingOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
