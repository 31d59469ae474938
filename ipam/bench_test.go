package ipam

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
)

// pool lists n addresses, as Azure assigns them, and reserves as many as used says.
func benchState(b *testing.B, n, used int) *State {
	b.Helper()
	s := &State{Answer: SourceStatus{Refreshed: testTime, Attempted: testTime}}
	sub := source.Subnet{MAC: classicMAC, Primary: true, Prefix: prefix("10.240.0.0/16")}
	for a := addr("10.240.0.5"); len(sub.Addresses) < n; a = a.Next() {
		sub.Addresses = append(sub.Addresses, a)
	}
	s.Refresh([]source.Subnet{sub}, hostOf(iface("eth0", classicMAC)))
	for range n - used { // an old node: every address was in use once
		if _, err := s.Allocate(Request{Owner: benchOwner(0)}, testTime); err != nil {
			b.Fatal(err)
		}
		s.Release(benchOwner(0))
	}
	for i := range used {
		if _, err := s.Allocate(Request{Owner: benchOwner(i)}, testTime); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func benchOwner(i int) Owner { return Owner{"azure", fmt.Sprintf("%064x", i), "eth0"} }

// BenchmarkAllocate is one ADD and the DEL that makes it possible again, on pools of different sizes and use.
func BenchmarkAllocate(b *testing.B) {
	for _, use := range []struct {
		name string
		used func(size int) int
	}{{"mostly-free", func(int) int { return 10 }}, {"mostly-used", func(size int) int { return size - 10 }}} {
		for _, size := range []int{100, 10_000} {
			b.Run(fmt.Sprintf("pure/%s/%d", use.name, size), func(b *testing.B) {
				s := benchState(b, size, use.used(size))
				o := Owner{"azure", "new", "eth0"}
				for b.Loop() {
					if _, err := s.Allocate(Request{Owner: o}, testTime); err != nil {
						b.Fatal(err)
					}
					s.Release(o)
				}
			})
			b.Run(fmt.Sprintf("store/%s/%d", use.name, size), func(b *testing.B) { benchStore(b, benchState(b, size, use.used(size))) })
		}
	}
}

func benchStore(b *testing.B, s *State) {
	dir := b.TempDir()
	m := &Manager{
		Source: &fakeSource{}, Interval: DefaultQueryInterval, RefreshLock: filepath.Join(dir, "refresh.lock"),
		Store:      store.New(store.Options[State]{Path: filepath.Join(dir, "azure-vnet-ipam.json"), Boot: "boot", Schema: Schema}),
		Interfaces: func() ([]platform.Interface, error) { return nil, nil },
		InUse:      func() (map[netip.Addr]Owner, error) { return nil, nil },
		Now:        func() time.Time { return testTime },
		Log:        slog.New(slog.DiscardHandler),
	}
	if err := m.Store.Update(context.Background(), func(v *State) error { *v = *s; return nil }); err != nil {
		b.Fatal(err)
	}
	o := Owner{"azure", "new", "eth0"}
	for b.Loop() {
		if _, err := m.Allocate(context.Background(), []Request{{Owner: o}}); err != nil {
			b.Fatal(err)
		}
		if _, err := m.Release(context.Background(), o, netip.Addr{}); err != nil {
			b.Fatal(err)
		}
	}
}
