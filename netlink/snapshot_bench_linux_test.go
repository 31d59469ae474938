package netlink

import (
	"net/netip"
	"testing"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/test/fabric"
	"golang.org/x/sys/unix"
)

// What every ADD pays for knowing the host's configuration, on a bridge with the neighbours of 250 pods.
func BenchmarkSnapshot(b *testing.B) {
	f, err := fabric.New(fabric.Default(1, 1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	err = f.VMs[0].Ns.Do(func() error {
		nl, err := Open(nil)
		if err != nil {
			return err
		}
		defer nl.Close()
		bridge, err := nl.EnsureBridge("azure0", "eth0", Lost{})
		if err != nil {
			return err
		}
		pods := &rtnl.Batch{}
		for i := range 250 {
			a := netip.AddrFrom4([4]byte{10, 240, 1, byte(i)})
			pods.Add("neighbour", neighRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE, neighbour(bridge.Link, a), a.AsSlice(),
				[]byte{0x0a, 0x58, 10, 240, 1, byte(i)}))
		}
		if err := pods.Send(nl.socket); err != nil {
			return err
		}
		known, err := nl.Snapshot(bridge, nil)
		for b.Loop() && err == nil {
			_, err = nl.Snapshot(bridge, known)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}
