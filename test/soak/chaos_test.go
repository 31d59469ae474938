//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
)

// trouble makes trouble on a VM until the soak ends, one at a time. What a fault explains is not held against the
// plugins until a quiet moment has shown that all is well again.
func (m *machine) trouble(ctx context.Context, r *rand.Rand) {
	for {
		t := drawTrouble(r)
		if !pause(ctx, t.pause) {
			return
		}
		m.note(t.what, "%d for %s", t.n, t.lasts)
		if err := m.make(ctx, t); err != nil {
			m.fail("%s: %v", t.what, err)
		}
	}
}

var stateFiles = []string{"azure-vnet.json", "azure-vnet-ipam.json"}

func (m *machine) make(ctx context.Context, t trouble) error {
	file := filepath.Join(m.DataDir(), stateFiles[t.n%2])
	switch t.what {
	case "damage the state": // at any time: the mirror serves
		return m.damage(file, t.n/2)
	case "damage the mirror", "lose a state":
		// Without both copies the state is rebuilt from what there is, which must not change meanwhile: an address between
		// IPAM and pod is nowhere else.
		m.calls.Lock()
		defer m.calls.Unlock()
		if err := m.damage(file+".bak", t.n/2); err != nil {
			return err
		}
		if t.what == "lose a state" {
			if err := m.damage(file, t.n/2); err != nil {
				return err
			}
		}
		return m.quiet()
	case "host agent":
		m.VM.Agent.SetFault(agentFaults[t.n%len(agentFaults)])
		pause(ctx, t.lasts)
		m.VM.Agent.SetFault(ipamtest.Fault{})
		return nil
	case "flush the rules":
		return m.explained(func() error { _, err := m.sh("nft flush ruleset"); return err }, m.callFault.begin, m.dataFault.begin)
	case "master down":
		return m.explained(func() error { return m.flap(ctx, t.lasts) }, m.callFault.begin, m.dataFault.begin, m.hostFault.begin)
	case "full disk":
		return m.explained(func() error { return m.fillDisk(ctx, t.lasts) }, m.callFault.begin)
	case "clock jump":
		m.calls.Lock()
		defer m.calls.Unlock()
		if err := m.shiftTimes(time.Duration(t.n-1<<15) * time.Hour); err != nil { // 3.7 years either way
			return err
		}
		return m.quiet()
	}
	m.calls.Lock()
	defer m.calls.Unlock()
	return m.quiet()
}

// explained does what explains things that otherwise must not happen, while the workers go on.
func (m *machine) explained(fault func() error, begin ...func() (end func())) error {
	before, err := m.VM.Counters()
	if err != nil {
		return err
	}
	for _, b := range begin {
		defer b()()
	}
	if err := fault(); err != nil {
		return err
	}
	m.calls.Lock()
	defer m.calls.Unlock()
	if err := m.repaired(); err != nil {
		return err
	}
	after, err := m.VM.Counters()
	if err != nil {
		return err
	}
	grown := after.Sub(before).Violations()
	m.forgiven.ForeignSource += grown.ForeignSource
	m.forgiven.ForeignARPSender += grown.ForeignARPSender
	m.forgiven.ForeignNDPSender += grown.ForeignNDPSender
	m.forgiven.ForeignAddress += grown.ForeignAddress
	m.forgiven.Misdirected += grown.Misdirected
	return m.quiet()
}

// damages are what happens to a state file.
var damages = []func(file string, content []byte) error{
	func(f string, _ []byte) error { return os.WriteFile(f, nil, 0o600) },
	func(f string, b []byte) error { return os.WriteFile(f, b[:len(b)/2], 0o600) },
	func(f string, _ []byte) error { return os.WriteFile(f, make([]byte, 4096), 0o600) },
	func(f string, _ []byte) error { return os.WriteFile(f, []byte("[]"), 0o600) },
	func(f string, _ []byte) error { return os.Remove(f) },
}

func (m *machine) damage(file string, how int) error {
	content, err := os.ReadFile(file)
	if err == nil {
		err = damages[how%len(damages)](file, content)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // set aside, or not written yet
	}
	return err
}

var garbage, nothing = "<Interfaces><Interface", "<Interfaces></Interfaces>"

var agentFaults = []ipamtest.Fault{{Status: 500}, {Hangup: true}, {Delay: 300 * time.Millisecond}, {Delay: time.Minute},
	{Truncate: true}, {Body: &garbage},
	{Body: &nothing}, {HugeBytes: 8 << 20}, {Redirect: "http://10.241.0.1/"}}

// flap takes the master down and up again. What the kernel takes from it meanwhile comes back as networkd or cloud-init
// give it.
func (m *machine) flap(ctx context.Context, lasts time.Duration) error {
	if _, err := m.sh("ip -4 route save dev eth0 table main >r4; ip -6 route save dev eth0 table main >r6; echo 1 " +
		">/proc/sys/net/ipv6/conf/eth0/keep_addr_on_down; ip link set eth0 down"); err != nil {
		return err
	}
	pause(ctx, lasts)
	if _, err := m.sh("ip link set eth0 up && ip -4 route restore <r4 && ip -6 route restore <r6"); err != nil {
		return err
	}
	return m.recovered()
}

// recovered waits until the host has its network again: a link that has come up is not ready at once.
func (m *machine) recovered() error {
	end := time.Now().Add(10 * time.Second)
	for _, v6 := range []bool{false, true} {
		for {
			err := try(m.VM.Ns, v6)
			if err == nil {
				break
			}
			if time.Now().After(end) {
				shown, _ := m.sh("ip addr show; ip route; ip -6 route; ip neigh")
				return fmt.Errorf("the host does not reach the fabric ten seconds after the master came up: %w\n%s", err, shown)
			}
			pause(context.Background(), 20*time.Millisecond)
		}
	}
	return nil
}

// fillDisk leaves no room where the state lies.
func (m *machine) fillDisk(ctx context.Context, lasts time.Duration) error {
	ballast := filepath.Join(m.DataDir(), "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		return err
	}
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	pause(ctx, lasts)
	return errors.Join(f.Close(), os.Remove(ballast))
}

var timestamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)`)

// shiftTimes is a jump of the clock, seen from the state: all its times are others now. The machine's own clock cannot
// be moved, nor can a time namespace move that of a process.
func (m *machine) shiftTimes(by time.Duration) error {
	for _, f := range stateFiles {
		for _, suffix := range []string{"", ".bak"} {
			name := filepath.Join(m.DataDir(), f+suffix)
			content, err := os.ReadFile(name)
			if err != nil {
				continue // damaged just before
			}
			content = timestamp.ReplaceAllFunc(content, func(b []byte) []byte {
				t, err := time.Parse(time.RFC3339Nano, string(b))
				if err != nil || t.IsZero() {
					return b
				}
				return []byte(t.Add(by).Format(time.RFC3339Nano))
			})
			if err := os.WriteFile(name, content, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
