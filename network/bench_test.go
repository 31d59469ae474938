package network

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/store"
)

// BenchmarkUpdate is what a command does to the state of a node with 250 pods: one endpoint comes, and goes.
func BenchmarkUpdate(b *testing.B) {
	pod := func(i int) *Endpoint {
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
	s := store.New(store.Options[State]{Path: filepath.Join(b.TempDir(), "azure-vnet.json"), Schema: Schema, Boot: "boot"})
	err := s.Update(b.Context(), func(s *State) error {
		n := &Network{Name: "azure"}
		for i := range 250 {
			n.Endpoints.Set(pod(i))
		}
		s.Networks = map[string]*Network{"azure": n}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, change := range []func(*State) error{
			func(s *State) error { s.Networks["azure"].Endpoints.Set(pod(250)); return nil },
			func(s *State) error { s.Networks["azure"].Endpoints.Delete(pod(250).Key()); return nil },
		} {
			if err := s.Update(b.Context(), change); err != nil {
				b.Fatal(err)
			}
		}
	}
}
