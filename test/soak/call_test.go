//go:build linux

package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/containernetworking/cni/pkg/types"
)

// answer is how a call ended.
type answer struct {
	killed  bool
	excused bool // a fault was under way that explains an error
	code    uint // 0 is success
	err     string
	addrs   []netip.Addr
	result  json.RawMessage
}

func (a answer) ok() bool { return !a.killed && a.code == 0 }

func (a answer) String() string {
	switch {
	case a.killed:
		return "killed"
	case a.code != 0:
		return fmt.Sprintf("code %d (excused: %t): %s", a.code, a.excused, a.err)
	}
	return fmt.Sprint("ok ", a.addrs)
}

// slowDisk makes each call that waits for a disk last 50 ms longer.
var slowDisk = []string{"-f", "-qqq", "-o", "/dev/null", "-e", "trace=fsync,renameat,linkat", "-e",
	"inject=fsync,renameat,linkat:delay_exit=50000"}

// failures is how many system calls failing knows.
const failures = 24

// failing makes one of the system calls of an ADD fail that speak to the kernel's network, or the first one that enters
// the pod's namespace. (The second one is the way back, which cannot fail on a real kernel, and leaves Go with a thread
// in the pod.)
func failing(which int) []string {
	name, when := "sendto", which // rtnetlink
	switch {
	case which > failures-2:
		name, when = "setns", 1
	case which > failures-4:
		name, when = "sendmsg", which-(failures-4) // nftables
	}
	return []string{"-f", "-qqq", "-o", "/dev/null", "-e", "trace=" + name, "-e", fmt.Sprintf("inject=%s:error=EIO:when=%d", name, when)}
}

// call executes a command for a slot as a decision says, and requires that it ends in time with what the specification
// wants on standard output.
func (m *machine) call(command string, s *slot, d decision, fields map[string]any) answer {
	path, args := filepath.Join(binaries, "azure-vnet"), []string(nil)
	if d.slow {
		path, args = "strace", append(append(args, slowDisk...), path)
	}
	if d.fail > 0 && command == "ADD" {
		path, args = "strace", append(append(args, failing(d.fail)...), path)
	}
	cmd := m.Command(context.Background(), path, args...)
	netns := ""
	if s.ns != nil {
		netns = s.ns.Path()
	}
	cmd.Env = []string{"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + s.id, "CNI_NETNS=" + netns, "CNI_IFNAME=eth0",
		"CNI_PATH=" + binaries, "PATH=/usr/bin:/bin"}
	if command == "CHECK" {
		fields = map[string]any{"prevResult": s.result}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(m.conf(fields)), &stdout, &stderr
	excused := m.callFault.watch()
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		m.fail("start %s: %v", command, err)
		return answer{killed: true}
	}
	if d.kill {
		kill := time.AfterFunc(time.Duration(d.when*float64(m.usually(command))), func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
	}
	late := time.AfterFunc(cni.Deadline, func() { m.fail("%s of %s did not end before its deadline of %s", command, s.id, cni.Deadline) })
	err := cmd.Wait()
	late.Stop()
	took := time.Since(begun)
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		m.note(command, "of %.12s by %s: killed after %s", s.id, d, took.Round(time.Millisecond))
		if !d.kill {
			m.fail("%s of %s ended with a signal: %v %s", command, s.id, err, stderr.Bytes())
		}
		return answer{killed: true}
	}
	a := m.judge(command, s, err, stdout.Bytes(), stderr.Bytes())
	a.excused = excused()
	m.took(command, took, d.slow || d.fail > 0)
	m.note(command, "of %.12s by %s: %s after %s", s.id, d, a, took.Round(time.Millisecond))
	return a
}

// judge reads the output: one JSON document, the result or the error; nothing where the specification has no result.
func (m *machine) judge(command string, s *slot, err error, stdout, stderr []byte) (a answer) {
	if err != nil {
		var e types.Error
		var exit *exec.ExitError
		if !errors.As(err, &exit) || json.Unmarshal(stdout, &e) != nil || e.Code == 0 || e.Msg == "" {
			m.fail("%s of %s: %v without exactly one error on standard output: %q %s", command, s.id, err, stdout, stderr)
		}
		return answer{code: max(1, e.Code), err: e.Error()}
	}
	if command != "ADD" {
		if len(stdout) > 0 {
			m.fail("%s of %s succeeds and prints %q", command, s.id, stdout)
		}
		return answer{}
	}
	var result struct {
		IPs []struct{ Address netip.Prefix }
	}
	if err := json.Unmarshal(stdout, &result); err != nil || len(result.IPs) != 2 {
		m.fail("ADD of %s succeeds without one document with two addresses: %v: %q", s.id, err, stdout)
	}
	a.result = stdout
	for _, ip := range result.IPs {
		a.addrs = append(a.addrs, ip.Address.Addr())
	}
	return a
}

// usually is what a command takes at the moment.
func (m *machine) usually(command string) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(m.usual[command], 5*time.Millisecond)
}

func (m *machine) took(command string, d time.Duration, slow bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slowest = max(m.slowest, d)
	if !slow {
		m.usual[command] += (d - m.usual[command]) / 8
	}
}
