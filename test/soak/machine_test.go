//go:build linux

package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"golang.org/x/sys/unix"
)

// machine is one VM: its node, its pods, and what may go wrong on it at the moment.
type machine struct {
	*node.Node
	t    *testing.T
	stop context.CancelFunc // ends the soak after a failure
	mode string

	// calls is held for reading by each step of a worker, and for writing by GC, which no ADD or DEL may accompany (CNI
	// specification, GC), and by what looks at a quiet machine.
	calls sync.RWMutex
	// callFault explains errors of calls, dataFault packets and CHECKs that go wrong, hostFault that the host has no
	// network.
	callFault, dataFault, hostFault excuse
	// forgiven are the violations that faults explain.
	forgiven fabric.Counters

	mu      sync.Mutex
	slots   []*slot
	holders map[netip.Addr]string // of the living pods
	journal []string
	failed  bool
	count   map[string]int
	slowest time.Duration
	usual   map[string]time.Duration // of a command, on the average
}

// slot is one worker's place for a pod.
type slot struct {
	id    string
	ns    *fabric.Namespace
	state podState
	addrs []netip.Addr
	// result is what ADD has printed, which CHECK is told.
	result json.RawMessage
}

// podState is what the runtime knows.
type podState int

const (
	absent  podState = iota
	live             // ADD has succeeded, and nobody has asked for its end
	unknown          // a call failed or was killed
)

// diskSize is that of the file system of the state, in bytes: small, so that it is quickly full.
const diskSize = 2 << 20

func newMachine(t *testing.T, stop context.CancelFunc, vm *fabric.VM, mode string) *machine {
	t.Helper()
	dir := filepath.Join(t.TempDir(), vm.Config.Name)
	n, err := node.New(vm, dir, binaries)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("soak", n.DataDir(), "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(n.DataDir(), unix.MNT_DETACH) })
	return &machine{Node: n, t: t, stop: stop, mode: mode, holders: map[netip.Addr]string{}, count: map[string]int{},
		usual: map[string]time.Duration{}}
}

// fail reports that something does not hold, with what happened before, and ends the soak. What does not hold comes
// last, too: who sees only the end of a long output needs it.
func (m *machine) fail(format string, args ...any) {
	m.mu.Lock()
	journal := ""
	if !m.failed { // else it has been shown
		journal = "before:\n" + strings.Join(m.journal[max(0, len(m.journal)-40):], "\n") + "\nall of it: " + m.keepJournal()
	}
	m.failed = true
	m.mu.Unlock()
	what := fmt.Sprintf("VM %s (%s): %s", m.VM.Config.Name, m.mode, fmt.Sprintf(format, args...))
	m.t.Errorf("%s\n%s\n%s", what, journal, what)
	m.stop()
}

// keepJournal writes the whole journal, and the plugins' log, to a file that stays.
func (m *machine) keepJournal() string {
	log, _ := os.ReadFile(m.LogFile("azure-vnet")) // as much as there is
	f, err := os.CreateTemp("", "soak-"+m.mode+"-*.txt")
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	_, _ = fmt.Fprintf(f, "%s\n\nlog:\n%s", strings.Join(m.journal, "\n"), log)
	return f.Name()
}

// note writes into the journal, and counts what.
func (m *machine) note(what, format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count[what]++
	m.journal = append(m.journal, time.Now().Format("05.000 ")+what+" "+fmt.Sprintf(format, args...))
}

// claim makes a pod the holder of its addresses: no other living pod may have them.
func (m *machine) claim(s *slot) {
	m.mu.Lock()
	var twice []string
	for _, a := range s.addrs {
		if other, taken := m.holders[a]; taken {
			twice = append(twice, fmt.Sprintf("%s of %s", a, other))
		}
		m.holders[a] = s.id
	}
	m.mu.Unlock()
	if len(twice) > 0 {
		m.fail("pod %s was given what living pods have: %v", s.id, twice)
	}
}

// disclaim ends that, before the addresses can be given again.
func (m *machine) disclaim(s *slot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range s.addrs {
		delete(m.holders, a)
	}
	s.addrs = nil
}

// living are the pods that must work. Only for who holds calls.
func (m *machine) living() []*slot {
	return slices.DeleteFunc(slices.Clone(m.slots), func(s *slot) bool { return s.state != live })
}

// conf is the network's configuration with further fields.
func (m *machine) conf(fields map[string]any) []byte {
	all := map[string]any{"mode": m.mode, "logLevel": "info",
		"ipam": map[string]any{"type": "azure-vnet-ipam", "families": []string{"ipv4", "ipv6"}}}
	for k, v := range fields {
		all[k] = v
	}
	b, err := json.Marshal(m.Conf(all))
	if err != nil {
		panic(err) // strings and maps
	}
	return b
}

// sh runs a script in the VM.
func (m *machine) sh(script string) (string, error) {
	cmd := m.VM.Ns.Command(context.Background(), "/bin/sh", "-c", script)
	cmd.Dir, cmd.Env = m.Dir, append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", script, err, out)
	}
	return string(out), err
}

// try sends one ping.
func try(ns *fabric.Namespace, v6 bool) error {
	to := netip.MustParseAddr("10.240.0.1") // the gateway
	if v6 {
		to = fabric.RemoteHost6
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := ns.Ping(ctx, to, fabric.PingOptions{})
	return err
}
