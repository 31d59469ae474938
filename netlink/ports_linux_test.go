package netlink

import (
	"maps"
	"slices"
	"testing"
)

// The ioctl and the dump name the same ports, and an error means that nothing is known.
func TestPortIndexesAreThoseOfThePorts(t *testing.T) {
	h := newHost(t)
	h.kernel(func(nl *Handle) {
		_, err := nl.EnsureBridge("azure0", "eth0", Lost{})
		h.Must(err)
	})
	veths := []string{"azv1", "azv2"}
	for _, v := range veths {
		h.IP("link add " + v + " type veth peer name " + v + "p")
	}
	for _, ports := range [][]string{{"eth0"}, {"eth0", "azv1", "azv2"}, {"eth0", "azv2"}} {
		for _, v := range veths {
			if slices.Contains(ports, v) {
				h.IP("link set " + v + " master azure0")
			} else {
				h.IP("link set " + v + " nomaster")
			}
		}
		h.kernel(func(nl *Handle) {
			indexes, err := nl.PortIndexes("azure0")
			h.Must(err)
			bridge, err := nl.Link("azure0")
			h.Must(err)
			names, err := nl.Ports(bridge)
			h.Must(err)
			want := map[int]bool{}
			for _, p := range ports {
				l, err := nl.Link(p)
				h.Must(err)
				want[l.Index] = true
			}
			if !maps.Equal(indexes, want) || len(names) != len(ports) {
				h.Errorf("ports %v: indexes %v, want %v; names %v", ports, indexes, want, names)
			}
		})
	}
	h.kernel(func(nl *Handle) {
		for _, none := range []string{"eth0", "azure9", "azv1"} {
			if got, err := nl.PortIndexes(none); err == nil || len(got) > 0 {
				h.Errorf("%s has ports %v", none, got)
			}
		}
	})
}
