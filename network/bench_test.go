package network

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/store"
)

func podNumber(i int) *Endpoint {
	a := netip.AddrFrom4([4]byte{10, 240, byte(i >> 8), byte(i)})
	return &Endpoint{
		Owner: Owner{"azure", fmt.Sprintf("%064x", i), "eth0"}, State: Ready, PodNamespace: "default",
		PodName: fmt.Sprintf("web-5c9f8d7b6-%05d", i),
		NetNS:   fmt.Sprintf("/var/run/netns/cni-%08x-1234-5678-9abc-def012345678", i), HostIfName: fmt.Sprintf("azv%011x", i), HostIfIndex: i,
		HostMAC: "aa:bb:cc:dd:ee:ff",
		MAC:     "0a:58:0a:f0:00:05", MTU: 1500, Addresses: []netip.Prefix{netip.PrefixFrom(a, 16)}, Created: time.Unix(1700000000, 5e6).UTC(),
		Routes: []Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: netip.MustParseAddr("10.240.0.1")}},
	}
}

// storedWith is the state of a node with so many pods.
func storedWith(b *testing.B, pods int) store.Options[State] {
	b.Helper()
	o := store.Options[State]{Path: filepath.Join(b.TempDir(), "azure-vnet.json"), Schema: Schema, Boot: "boot"}
	err := store.New(o).Update(b.Context(), func(s *State) error {
		n := &Network{Name: "azure"}
		for i := range pods {
			n.Endpoints.Set(podNumber(i))
		}
		s.Networks = map[string]*Network{"azure": n}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return o
}

// BenchmarkRead is how a command reads the state first, on a node with one NIC and on one with eight.
func BenchmarkRead(b *testing.B) {
	for _, pods := range []int{250, 2048} {
		b.Run(fmt.Sprint(pods), func(b *testing.B) {
			o := storedWith(b, pods)
			for b.Loop() {
				if err := store.New(o).View(b.Context(), func(*State) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUpdate is what a command does to the state of a node with 250 pods: one endpoint comes, and goes.
func BenchmarkUpdate(b *testing.B) {
	s := store.New(storedWith(b, 250))
	for b.Loop() {
		for _, change := range []func(*State) error{
			func(s *State) error { s.Networks["azure"].Endpoints.Set(podNumber(250)); return nil },
			func(s *State) error { s.Networks["azure"].Endpoints.Delete(podNumber(250).Key()); return nil },
		} {
			if err := s.Update(b.Context(), change); err != nil {
				b.Fatal(err)
			}
		}
	}
}
