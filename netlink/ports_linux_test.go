package netlink

import (
	"maps"
	"slices"
	"testing"
)

// The ioctl and the dump name the same ports, and an error means that nothing is known.
func TestPortIndexesAreThoseOfThePorts(t *testing.T) {
	h := newHost(t)
	h.kernel(func(nl *Handle, _ *NFT) {
		_, err := nl.EnsureBridge("azure0", "eth0", Lost{})
		h.must(err)
	})
	veths := []string{"azv1", "azv2"}
	for _, v := range veths {
		h.ip("link add " + v + " type veth peer name " + v + "p")
	}
	for _, ports := range [][]string{{"eth0"}, {"eth0", "azv1", "azv2"}, {"eth0", "azv2"}} {
		for _, v := range veths {
			if slices.Contains(ports, v) {
				h.ip("link set " + v + " master azure0")
			} else {
				h.ip("link set " + v + " nomaster")
			}
		}
		h.kernel(func(nl *Handle, _ *NFT) {
			indexes, err := PortIndexes("azure0")
			h.must(err)
			bridge, err := nl.Link("azure0")
			h.must(err)
			names, err := nl.Ports(bridge)
			h.must(err)
			want := map[int]bool{}
			for _, p := range ports {
				l, err := nl.Link(p)
				h.must(err)
				want[l.Index] = true
			}
			if !maps.Equal(indexes, want) || len(names) != len(ports) {
				h.Errorf("ports %v: indexes %v, want %v; names %v", ports, indexes, want, names)
			}
		})
	}
	h.kernel(func(*Handle, *NFT) {
		for _, none := range []string{"eth0", "azure9", "azv1"} {
			if got, err := PortIndexes(none); err == nil || len(got) > 0 {
				h.Errorf("%s has ports %v", none, got)
			}
		}
	})
}
