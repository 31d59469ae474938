//go:build linux

package e2e

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/Azure/azure-container-networking/test/traffic"
)

// BenchmarkPerPacket compares what a packet costs on a VM with one pod and on one with 250: throughput up and down,
// round trips, and small packets. The two VMs are measured in turn, so that whatever else the machine does hits both
// alike, and medians are compared. It fails when 250 pods make anything more than a tenth dearer.
func BenchmarkPerPacket(b *testing.B) {
	const pods, rounds = 250, 25
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		b.Run(mode, func(b *testing.B) {
			f, err := fabric.New(fabric.Default(2, pods))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = f.Close() })
			lone, full := benchPods(b, f.VMs[0], mode, 1), benchPods(b, f.VMs[1], mode, pods)
			var ends [2]*traffic.Path
			for i, p := range []*node.Pod{lone[0], full[len(full)-1]} {
				if ends[i], err = traffic.Open(b.Context(), p.NS, f.Ns(), net.JoinHostPort(remoteHost.String(), strconv.Itoa(7001+i))); err != nil {
					b.Fatal(err)
				}
				b.Cleanup(ends[i].Close)
			}
			took := map[string][2][]time.Duration{}
			for b.Loop() {
				for range rounds {
					for _, measure := range traffic.Measures {
						name := strings.ReplaceAll(measure.Name, " ", "-")
						of := took[name]
						for i, e := range ends {
							begun := time.Now()
							if err := measure.Run(e); err != nil {
								b.Fatalf("%s: %v", name, err)
							}
							of[i] = append(of[i], time.Since(begun))
						}
						took[name] = of
					}
				}
			}
			b.ReportMetric(0, "ns/op") // of all rounds together: says nothing
			for name, of := range took {
				one, many := median(of[0]), median(of[1])
				ratio := float64(many) / float64(one)
				b.ReportMetric(ratio, name+"-ratio")
				if ratio > 1.1 {
					b.Errorf("%s mode, %s: %s with %d pods, %s with one: %.2f times as long, 1.10 is the limit", mode, name, many, pods, one, ratio)
				}
			}
		})
	}
}

func benchPods(b *testing.B, vm *fabric.VM, mode string, count int) []*node.Pod {
	b.Helper()
	n, err := node.New(vm, b.TempDir(), binaries, reference)
	if err != nil {
		b.Fatal(err)
	}
	list, err := node.List(n.Conf(map[string]any{"mode": mode, "logLevel": "error"}))
	if err != nil {
		b.Fatal(err)
	}
	pods := make([]*node.Pod, count)
	for i := range pods {
		if pods[i], err = n.AddPod(context.Background(), list); err != nil {
			b.Fatal(err)
		}
	}
	return pods
}
