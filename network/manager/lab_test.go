package manager_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/manager"
	"github.com/Azure/azure-container-networking/network/networktest"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
)

// lab is a host in memory with a state file, and processes that work on both.
type lab struct {
	*testing.T
	*networktest.Host
	path string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	return &lab{t, networktest.New("/ns/c1", "/ns/c2", "/ns/c3"), filepath.Join(memory(t), "azure-vnet.json")}
}

// memory is a folder in memory if there is one: the tests are thousands of commands, and each syncs the disk.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "network-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	return dir
}

// process is one start of the plugin.
type process struct {
	*manager.Manager
	host *networktest.Process
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func now() time.Time { return noon }

func (l *lab) start() process {
	p := l.Process()
	started := process{&manager.Manager{
		Store:      store.New(store.Options[network.State]{Path: l.path, Now: p.Clock(now)}),
		Dataplane:  p,
		Interfaces: func() ([]platform.Interface, error) { return nics(), nil },
		Now:        now,
		Log:        slog.New(slog.DiscardHandler),
	}, p}
	l.Cleanup(func() {
		if knows, is := endpointsIn(l.T, started.Store), endpointsIn(l.T, store.New(store.Options[network.State]{Path: l.path})); knows != is {
			l.Errorf("a command has changed endpoints that it knew of the file:\n%s\nand the file has\n%s", knows, is)
		}
	})
	return started
}

// endpointsIn are those that a store reads, one a line.
func endpointsIn(t *testing.T, s *store.Store[network.State]) string {
	t.Helper()
	var b strings.Builder
	check(t, s.View(context.Background(), func(have *network.State) error {
		for _, name := range slices.Sorted(maps.Keys(have.Networks)) {
			for e := range have.Networks[name].Endpoints.All() {
				line, err := json.Marshal(e)
				check(t, err)
				fmt.Fprintf(&b, "%s\n", line)
			}
		}
		return nil
	}))
	return b.String()
}

func nics() []platform.Interface {
	return []platform.Interface{
		{Index: 1, Name: "lo", Loopback: true, Up: true},
		{Index: 2, Name: "eth0", MAC: net.HardwareAddr{0, 0x0d, 0x3a, 0, 0, 1}, MTU: 1500, Up: true, Prefixes: prefixes("10.240.0.4/16")},
		{Index: 3, Name: "eth1", MAC: net.HardwareAddr{0, 0x0d, 0x3a, 0, 0, 2}, MTU: 1500, Up: true, Prefixes: prefixes("10.241.0.4/16")},
	}
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// The configuration and the pods of the tests.
var (
	bridgeMode = network.Config{Mode: network.ModeBridge, Settings: network.Settings{AntiSpoof: true}}
	c1         = network.Owner{Network: "azure", ContainerID: "c1", IfName: "eth0"}
	c2         = network.Owner{Network: "azure", ContainerID: "c2", IfName: "eth0"}
	c3         = network.Owner{Network: "azure", ContainerID: "c3", IfName: "eth0"}
	addressOf  = map[string]string{"c1": "10.240.1.1/16", "c2": "10.240.1.2/16", "c3": "10.240.1.3/16"}
)

// pod is what an ADD brings for the owner.
func pod(o network.Owner) *network.Endpoint {
	return &network.Endpoint{
		Owner: o, NetNS: "/ns/" + o.ContainerID, PodNamespace: "default", PodName: "pod-" + o.ContainerID,
		Addresses: prefixes(addressOf[o.ContainerID]),
		Routes:    []network.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: netip.MustParseAddr("10.240.0.1")}},
	}
}

func (l *lab) add(owners ...network.Owner) {
	l.Helper()
	for _, o := range owners {
		if _, err := l.start().Add(l.Context(), bridgeMode, pod(o)); err != nil {
			l.Fatalf("add %s: %v", o, err)
		}
	}
}

func (l *lab) del(owners ...network.Owner) {
	l.Helper()
	for _, o := range owners {
		if err := l.start().Delete(l.Context(), o); err != nil {
			l.Fatalf("delete %s: %v", o, err)
		}
	}
}

// interrupt leaves an ADD of the owner that was killed when everything was made, but not yet marked as ready.
func (l *lab) interrupt(o network.Owner) {
	l.Helper()
	p := l.start()
	p.host.Hook = func(s networktest.Step) {
		if s.Method == "CreateEndpoint" {
			p.host.KillAt(s.Call, networktest.After)
		}
	}
	if p.host.Run(func() { _, _ = p.Add(context.Background(), bridgeMode, pod(o)) }) {
		l.Fatal("the process was not killed")
	}
}

// state is the file's content.
func (l *lab) state() (s network.State) {
	l.Helper()
	err := store.New(store.Options[network.State]{Path: l.path}).View(context.Background(), func(have *network.State) error {
		s = *have
		return nil
	})
	if err != nil {
		l.Fatal(err)
	}
	return s
}

// String is state file and host as text.
func (l *lab) String() string {
	l.Helper()
	var b strings.Builder
	s := l.state()
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		n := s.Networks[name]
		fmt.Fprintf(&b, "network %s: %s on %s of %s (%s, mtu %d), %v, ip_forward was %q\n", name, n.Mode, n.Bridge, n.Master, n.MAC, n.MTU,
			n.Prefixes, n.Sysctls["net/ipv4/ip_forward"])
		endpoints := slices.SortedFunc(n.Endpoints.All(),
			func(a, b *network.Endpoint) int { return strings.Compare(a.Owner.String(), b.Owner.String()) })
		for _, e := range endpoints {
			fmt.Fprintf(&b, "  %s %s/%s: %s %s, %s in %s, %v\n", e.State, e.ContainerID, e.IfName, e.HostIfName, e.MAC,
				e.PodName, e.NetNS, e.Addresses)
		}
	}
	return b.String() + "host\n" + indent(l.Host.String())
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + line)
	}
	return b.String()
}

// want compares state file and host with a text, which is indented as the test likes.
func (l *lab) want(text string) {
	l.Helper()
	same(l.T, l.String(), text)
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if plain(got) != plain(want) {
		t.Errorf("got\n%swant\n%s", indent(plain(got)), indent(plain(want)))
	}
}

// plain is a text without indentation and empty lines.
func plain(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

func wantError(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error %v, want %v", err, target)
		}
	}
}

// errBoom is the failure that the tests provoke, errWorse one while undoing.
var (
	errBoom  = errors.New("boom")
	errWorse = errors.New("worse")
)

var moments = []networktest.Moment{networktest.Before, networktest.Midway, networktest.After}

const azureWithC1 = `
	network azure: bridge on azure2 of eth0 (00:0d:3a:00:00:01, mtu 1500), [10.240.0.0/16], ip_forward was "0"
	  ready c1/eth0: azvab9234ec104 0a:58:0a:f0:01:01, pod-c1 in /ns/c1, [10.240.1.1/16]
	host
	  ip_forward
	  bridge azure2 of eth0: bridge, anti-spoof
	  veth azvab9234ec104 on azure2: eth0 of azure/c1/eth0 in /ns/c1, 0a:58:0a:f0:01:01, mtu 1500, [10.240.1.1/16], 0.0.0.0/0 by 10.240.0.1
	  element of azure2: 10.240.1.1 is 0a:58:0a:f0:01:01 at azvab9234ec104, for azure/c1/eth0
`

// azureWithoutPods is what the last DEL leaves: networks are taken away by "azure-vnet cleanup".
const azureWithoutPods = `
	network azure: bridge on azure2 of eth0 (00:0d:3a:00:00:01, mtu 1500), [10.240.0.0/16], ip_forward was "0"
	host
	  ip_forward
	  bridge azure2 of eth0: bridge, anti-spoof
`
