//go:build linux

package soak

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
)

const workers = 32

// setting is a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%s is no number: %v", name, text, err)
	}
	return n
}

// Workers on three VMs of one fabric, one for each mode, with both families, and trouble on each of them. Whatever
// comes together: no address twice, nothing left, the host has its network, each call says one thing and in time, and
// living pods work.
func TestSoak(t *testing.T) {
	seed := setting(t, "SOAK_SEED", rand.Uint64()>>32)
	lasts := time.Duration(setting(t, "SOAK_SECONDS", 40)) * time.Second
	t.Logf("seed %d, %s: again by make soak SEED=%[1]d", seed, lasts)
	// An address that nobody is sure of stays reserved until a GC, so there are more than pods.
	f, err := fabric.New(fabric.DefaultDual(3, 4*workers))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var machines []*machine
	for i, mode := range []string{"bridge", "tunnel", "transparent"} {
		m := newMachine(t, stop, f.VMs[i], mode)
		machines = append(machines, m)
		if err := m.quiet(); err != nil { // makes the network, and learns the addresses
			t.Fatalf("before anything goes wrong: %s: %v", mode, err)
		}
	}
	end := time.AfterFunc(lasts, stop)
	defer end.Stop()
	var all sync.WaitGroup
	for i, m := range machines {
		all.Go(func() { m.trouble(ctx, stream(seed, chaosStream, i)) })
		all.Go(func() { m.watch(ctx) })
	}
	for i := range workers {
		all.Go(func() { machines[i%len(machines)].work(ctx, i, stream(seed, workerStream, i)) })
	}
	all.Wait()
	for _, m := range machines {
		if !t.Failed() {
			m.end()
		}
		t.Logf("%-11s %s; slowest call %s, violations that faults explain: %s", m.mode, m.counted(),
			m.slowest.Round(time.Millisecond), m.forgiven)
	}
}

// counted is how often what was done.
func (m *machine) counted() string {
	var list []string
	for _, what := range slices.Sorted(maps.Keys(m.count)) {
		list = append(list, fmt.Sprintf("%s %d", what, m.count[what]))
	}
	return strings.Join(list, ", ")
}
