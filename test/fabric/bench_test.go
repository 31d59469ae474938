//go:build linux

package fabric

import (
	"fmt"
	"testing"
)

func BenchmarkNew(b *testing.B) {
	for _, c := range []struct {
		vms, pods int
		config    func(int, int) Config
	}{{2, 3, Default}, {2, 256, Default}, {2, 256, DefaultDual}, {10, 250, Default}} {
		cfg := c.config(c.vms, c.pods)
		b.Run(fmt.Sprintf("vms=%d,pods=%d,dual=%v", c.vms, c.pods, cfg.dual()), func(b *testing.B) {
			for b.Loop() {
				f, err := New(cfg)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := f.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func BenchmarkNewPod(b *testing.B) {
	f := Start(b, Default(1, 1))
	for b.Loop() {
		n, err := f.VMs[0].NewPod("pod")
		if err != nil {
			b.Fatal(err)
		}
		if err := n.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCounters(b *testing.B) {
	f := Start(b, Default(2, 250))
	for b.Loop() {
		if _, err := f.Counters(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDo(b *testing.B) {
	f := Start(b, Default(1, 1))
	for b.Loop() {
		if err := f.Ns().Do(func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPing(b *testing.B) {
	f := Start(b, Default(2, 1))
	target := f.VMs[1].Config.PrimaryNIC().Address
	for b.Loop() {
		if _, err := f.VMs[0].Ns.Ping(b.Context(), target, PingOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
