package netlink

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/hostconf"
	"github.com/Azure/azure-container-networking/netlink/rtnl"
)

// Snapshot reads what the host has on the bridge, with the lifetimes that it had on the master. It returns known itself
// if that says the same, lifetimes that pass aside. Left out is what others bring back: neighbours that are learnt,
// those of pods, and policy rules, which outlive their interface.
func (h *Handle) Snapshot(b Bridge, known []byte) ([]byte, error) {
	c, err := hostconf.ReadCarried(h.socket, b.Link.device())
	if err != nil {
		return known, fmt.Errorf("read the configuration of %s: %w", b.Link.Name, err)
	}
	if err := c.Extend(h.socket); err != nil {
		return known, fmt.Errorf("extend the leases on %s: %w", b.Link.Name, err)
	}
	c.Neighs = slices.DeleteFunc(c.Neighs, func(m rtnl.Message) bool {
		return !m.Stays() || m.IsPods()
	})
	now, err := rtnl.Centiseconds()
	if err != nil {
		return known, err
	}
	for _, from := range append([]hostconf.Conf{c}, b.moved...) {
		for _, m := range from.Addrs {
			m.WholeLifetimes(now)
		}
	}
	old := hostconf.Decode(known)
	seen := c.OnTerms(append(slices.Clone(b.moved), old)...).Encode(false)
	if bytes.Equal(hostconf.Decode(seen).Encode(true), old.Encode(true)) {
		return known, nil
	}
	return seen, nil
}

// SnapshotAddresses are the addresses in a snapshot, without link-local ones of IPv6.
func SnapshotAddresses(data []byte) []netip.Prefix { return hostconf.Addresses(data) }
