//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/libcni"
)

// BenchmarkAgainstReference compares ADD and DEL with those of the reference plugins that a user would take instead, in
// the same simulated VM: bridge and host-local for bridge mode, ptp and host-local for transparent mode. The calls alternate,
// so that whatever else the machine does hits both alike; medians and their ratio are shown.
func BenchmarkAgainstReference(b *testing.B) {
	const rounds, present = 60, 250
	for mode, plugin := range map[string]map[string]any{
		"bridge":      {"type": "bridge", "bridge": "cni0", "isGateway": true},
		"transparent": {"type": "ptp"},
	} {
		for _, there := range []int{0, present} {
			b.Run(fmt.Sprintf("%s/%d-pods-there", mode, there), func(b *testing.B) {
				f, err := fabric.New(fabric.Default(1, present+10))
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = f.Close() })
				dir, err := os.MkdirTemp("/dev/shm", "azure-vnet-bench")
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = os.RemoveAll(dir) })
				n, err := node.New(f.VMs[0], dir, binaries, reference)
				if err != nil {
					b.Fatal(err)
				}
				list := func(conf map[string]any) *libcni.NetworkConfigList {
					l, err := node.List(conf)
					if err != nil {
						b.Fatal(err)
					}
					return l
				}
				plugin["cniVersion"], plugin["name"] = "1.0.0", "reference"
				plugin["ipam"] = map[string]any{"type": "host-local", "dataDir": dir + "/host-local", "ranges": [][]map[string]any{{{"subnet": "10.88.0.0/16"}}}}
				ours, theirs := list(n.Conf(map[string]any{"mode": mode, "logLevel": "info"})), list(plugin)
				for range there {
					for _, l := range []*libcni.NetworkConfigList{ours, theirs} {
						if _, err := n.AddPod(context.Background(), l); err != nil {
							b.Fatal(err)
						}
					}
				}
				took := map[string][2][]time.Duration{}
				measure := func(command string, i int, call func() error) {
					begun := time.Now()
					if err := call(); err != nil {
						b.Fatalf("%s: %v", command, err)
					}
					of := took[command]
					of[i] = append(of[i], time.Since(begun))
					took[command] = of
				}
				for b.Loop() {
					for range rounds {
						pods := make([]*node.Pod, 2)
						for i, l := range []*libcni.NetworkConfigList{ours, theirs} {
							if pods[i], err = n.NewPod(l); err != nil {
								b.Fatal(err)
							}
						}
						for i, p := range pods {
							measure("ADD", i, func() error { return p.Add(context.Background()) })
						}
						for i, p := range pods {
							measure("DEL", i, func() error { return p.Del(context.Background()) })
							_ = p.NS.Close()
						}
					}
				}
				b.ReportMetric(0, "ns/op") // of all rounds together: says nothing
				for command, of := range took {
					own, reference := median(of[0]), median(of[1])
					b.ReportMetric(float64(own.Microseconds()), command+"-µs")
					b.ReportMetric(float64(reference.Microseconds()), command+"-reference-µs")
					b.ReportMetric(float64(own)/float64(reference), command+"-ratio")
				}
			})
		}
	}
}
