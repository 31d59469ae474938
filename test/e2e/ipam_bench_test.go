//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// BenchmarkAddOfTenThousand executes ADD as a runtime does, on pools of 100 and of 10,000 addresses, and fails when the
// large pool takes more than twice as long. The calls alternate, so that whatever else the machine does hits both
// alike, and medians are compared. The DEL that makes the next ADD possible is measured but not judged.
//
// The state lies in memory, as it does on a node, where /var/run is a tmpfs.
func BenchmarkAddOfTenThousand(b *testing.B) {
	const small, large, rounds = 100, 10_000, 101
	for _, use := range []struct {
		name string
		held func(size int) int
	}{{"mostly-free", func(int) int { return 10 }}, {"mostly-used", func(size int) int { return size - 10 }}} {
		b.Run(use.name, func(b *testing.B) {
			f, err := fabric.New(fabric.Default(1, 1))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = f.Close() })
			took := map[string]map[int][]time.Duration{"ADD": {}, "DEL": {}}
			nodes := map[int]*node.Node{}
			for _, size := range []int{small, large} {
				nodes[size] = filledNode(b, f.VMs[0], size, use.held(size))
			}
			calls := 0
			for b.Loop() {
				for range rounds {
					for _, command := range []string{"ADD", "DEL"} {
						for _, size := range []int{small, large} {
							took[command][size] = append(took[command][size], timed(b, nodes[size], command))
							calls++
						}
					}
				}
			}
			b.ReportMetric(0, "ns/op") // of all rounds together: says nothing
			for command, of := range took {
				s, l := median(of[small]), median(of[large])
				b.ReportMetric(float64(s.Microseconds()), command+"-100-µs")
				b.ReportMetric(float64(l.Microseconds()), command+"-10000-µs")
				if ratio := float64(l) / float64(s); command == "ADD" && ratio > 2 {
					b.Fatalf("an ADD in a pool of %d addresses takes %s, in one of %d it takes %s: %.2f times as long, 2 is the limit", large, l, small,
						s, ratio)
				}
			}
		})
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// filledNode makes a node whose pool has as many addresses as size says. All of them were given once, and as many are
// held as held says.
func filledNode(b *testing.B, vm *fabric.VM, size, held int) *node.Node {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "azure-vnet-ipam-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	n, err := node.New(vm, dir, binaries, reference)
	if err != nil {
		b.Fatal(err)
	}
	boot, err := platform.BootID()
	if err != nil {
		b.Fatal(err)
	}
	s := store.New(store.Options[ipam.State]{Path: filepath.Join(n.DataDir(), "azure-vnet-ipam.json"), Schema: ipam.Schema,
		Boot: boot, Log: slog.Default()})
	sub := source.Subnet{MAC: "00:0d:3a:00:00:01", Primary: true, Prefix: netip.MustParsePrefix("10.240.0.0/16")}
	for a := addr("10.240.0.5"); len(sub.Addresses) < size; a = a.Next() {
		sub.Addresses = append(sub.Addresses, a)
	}
	err = s.Update(b.Context(), func(s *ipam.State) error {
		now := time.Now().UTC()
		s.Answer = ipam.SourceStatus{Environment: "azure", URL: azure.HostAgentURL, Refreshed: now, Attempted: now}
		s.Refresh([]source.Subnet{sub}, oneNIC{})
		for i := range size {
			if _, err := s.Allocate(ipam.Request{Owner: ipam.Owner{Network: "hand", ContainerID: fmt.Sprintf("%064x", i), IfName: "eth0"}},
				now); err != nil {
				return err
			}
		}
		s.Collect("hand", func(id, _ string) bool { return id < fmt.Sprintf("%064x", held) })
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// oneNIC is a host that has each interface that is asked for.
type oneNIC struct{}

func (oneNIC) NIC(s source.Subnet) (ipam.NIC, bool) { return ipam.NIC{Name: "eth0", MAC: s.MAC}, true }
func (oneNIC) HasMAC(string) bool                   { return true }

func timed(b *testing.B, n *node.Node, command string) time.Duration {
	b.Helper()
	conf, err := json.Marshal(map[string]any{"cniVersion": "1.1.0", "name": "hand", "type": "by-hand", "dataDir": n.DataDir(),
		"logFile": n.LogFile("azure-vnet-ipam"), "ipam": map[string]any{"type": "azure-vnet-ipam"}})
	if err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	r, err := n.Exec(context.Background(),
		node.Call{Plugin: "azure-vnet-ipam", Command: command, ContainerID: "new", NetNS: "/var/run/netns/none", IfName: "eth0", Conf: conf})
	took := time.Since(begun)
	if err != nil || r.Exit != 0 {
		b.Fatalf("%s: %v %s %s", command, err, r.Stdout, r.Stderr)
	}
	return took
}
