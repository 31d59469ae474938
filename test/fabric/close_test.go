//go:build linux

package fabric

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
	"golang.org/x/sys/unix"
)

// namespaceDescriptors lists the network namespaces that this process holds.
func namespaceDescriptors(t *testing.T) (list []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	requireNoError(t, err)
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, "net:") {
			list = append(list, e.Name()+" "+target)
		}
	}
	return list
}

// TestCloseLeavesNothing is not parallel, as others would disturb its counts.
func TestCloseLeavesNothing(t *testing.T) {
	fds, goroutines := namespaceDescriptors(t), runtime.NumGoroutine()
	f, err := New(DefaultDual(2, 3))
	requireNoError(t, err)
	vm := f.VMs[0]
	pod, err := vm.NewPod("web")
	requireNoError(t, err)
	requireNoError(t, pod.Command(t.Context(), "true").Run())
	// A query that would be answered tomorrow.
	vm.Agent.SetFault(ipamtest.Fault{Delay: 24 * time.Hour})
	query, err := vm.Ns.Dial(t.Context(), "tcp", agentAddress(AgentPort))
	requireNoError(t, err)
	defer query.Close()
	_, err = fmt.Fprintf(query, "GET %s?%s HTTP/1.1\r\nHost: x\r\n\r\n", ipamtest.Path, ipamtest.Query)
	requireNoError(t, err)
	for vm.Agent.Queries() == 0 {
		runtime.Gosched()
	}
	// Connections that nobody closes, to each service.
	for _, port := range []int{AgentPort, DNSPort, MachinePort} {
		conn, err := vm.Ns.Dial(t.Context(), "tcp", agentAddress(port))
		requireNoError(t, err)
		defer conn.Close()
	}
	requireNoError(t, f.Close())
	requireNoError(t, f.Close())
	if _, err := f.Counters(); !errors.Is(err, ErrClosed) {
		t.Errorf("counters of a closed fabric: %v", err)
	}
	if _, err := vm.NewPod("late"); !errors.Is(err, ErrClosed) {
		t.Errorf("pod of a closed fabric: %v", err)
	}
	if after := namespaceDescriptors(t); len(after) != len(fds) {
		t.Errorf("descriptors before %q, after %q", fds, after)
	}
	// Goroutines that were told to end need a moment; one that does not
	// makes the test run into its time limit, which prints its stack.
	for runtime.NumGoroutine() > goroutines {
		runtime.Gosched()
	}
}

// victimVariable makes the test binary a process that has a fabric and waits.
const victimVariable = "FABRIC_TEST_VICTIM"

func beVictim() {
	f, err := New(Default(1, 1))
	if err != nil {
		fmt.Println(err)
		return
	}
	cmd := f.VMs[0].Ns.Command(context.Background(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cmd.Process.Pid)
	_ = cmd.Wait()
}

func TestKillLeavesNothing(t *testing.T) {
	t.Parallel()
	victim := exec.CommandContext(t.Context(), os.Args[0])
	victim.Env = append(os.Environ(), victimVariable+"=1")
	stdout, err := victim.StdoutPipe()
	requireNoError(t, err)
	requireNoError(t, victim.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	requireNoError(t, err)
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil {
		t.Fatalf("victim said %q", line)
	}
	grandchild, err := unix.PidfdOpen(pid, 0)
	requireNoError(t, err)
	defer unix.Close(grandchild)
	requireNoError(t, victim.Process.Kill())
	_ = victim.Wait()
	// With the last process the last reference to the namespaces is gone.
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(grandchild), Events: unix.POLLIN}}, -1)
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			t.Errorf("wait for process %d: %v", pid, err)
		}
		return
	}
}
