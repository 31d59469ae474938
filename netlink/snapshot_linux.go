package netlink

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
)

// A snapshot is what an interface carries as a list of netlink requests that would give it that again, as "ip route
// save" has them; the first message says which interface it was. It is for the time after somebody deleted the
// interface, in the same boot: interface indexes in it are this boot's.

// Snapshot reads what the host has on the bridge, with the lifetimes that it had on the master. It returns known itself
// if that says the same, lifetimes that pass aside. Left out is what others bring back: neighbours that are learnt,
// those of pods, and policy rules, which outlive their interface.
func (h *Handle) Snapshot(b Bridge, known []byte) ([]byte, error) {
	c, err := readCarried(h.socket, b.Link.device())
	if err != nil {
		return known, fmt.Errorf("read the configuration of %s: %w", b.Link.Name, err)
	}
	if err := c.extend(h.socket); err != nil {
		return known, fmt.Errorf("extend the leases on %s: %w", b.Link.Name, err)
	}
	c.neighs = slices.DeleteFunc(c.neighs, func(m rtnl.Message) bool {
		return !m.Stays() || m.IsPods()
	})
	now, err := rtnl.Centiseconds()
	if err != nil {
		return known, err
	}
	for _, from := range append([]hostConf{c}, b.moved...) {
		for _, m := range from.addrs {
			m.WholeLifetimes(now)
		}
	}
	old := decodeSnapshot(known)
	seen := c.onTerms(append(slices.Clone(b.moved), old)...).encode(false)
	if bytes.Equal(decodeSnapshot(seen).encode(true), old.encode(true)) {
		return known, nil
	}
	return seen, nil
}
