package fabric

import (
	"fmt"
	"strings"

	"github.com/google/nftables"
)

// Counters are the numbers of frames that the fabric dropped, by reason. Each
// dropped frame is counted once, by the first reason in the order of the
// fields. Plugins must keep those at zero that [Counters.Violations] keeps.
type Counters struct {
	// ForeignSource: the frame's source MAC is not the NIC's.
	ForeignSource uint64
	// ForeignARPSender: the sender MAC inside an ARP packet is not the NIC's.
	ForeignARPSender uint64
	// ForeignNDPSender: the link-layer option of an IPv6 neighbour
	// solicitation or advertisement is not the NIC's MAC.
	ForeignNDPSender uint64
	// ForeignAddress: the IP source, or the ARP sender IP, is no address of
	// the NIC. Unspecified and IPv6 link-local sources are exempt.
	ForeignAddress uint64
	// OwnAddressARP: an ARP request for the NIC's own primary address.
	OwnAddressARP uint64
	// Misdirected: a unicast frame to another MAC than the virtual one, such
	// as a bridge floods when it does not know where a pod is.
	Misdirected uint64
	// UnknownDestination: an IP packet to an address that nobody owns.
	UnknownDestination uint64
	// FabricQuery: an ARP request or neighbour solicitation by the fabric
	// itself. Anything but zero is a defect of this package.
	FabricQuery uint64
}

// Names of the counters in the nftables table.
const (
	foreignSource      = "foreign_source"
	foreignARPSender   = "foreign_arp_sender"
	foreignNDPSender   = "foreign_ndp_sender"
	foreignAddress     = "foreign_address"
	ownAddressARP      = "own_address_arp"
	misdirected        = "misdirected"
	unknownDestination = "unknown_destination"
	fabricQuery        = "fabric_query"
)

var counterKinds = []struct {
	name string
	in   func(*Counters) *uint64
}{
	{foreignSource, func(c *Counters) *uint64 { return &c.ForeignSource }},
	{foreignARPSender, func(c *Counters) *uint64 { return &c.ForeignARPSender }},
	{foreignNDPSender, func(c *Counters) *uint64 { return &c.ForeignNDPSender }},
	{foreignAddress, func(c *Counters) *uint64 { return &c.ForeignAddress }},
	{ownAddressARP, func(c *Counters) *uint64 { return &c.OwnAddressARP }},
	{misdirected, func(c *Counters) *uint64 { return &c.Misdirected }},
	{unknownDestination, func(c *Counters) *uint64 { return &c.UnknownDestination }},
	{fabricQuery, func(c *Counters) *uint64 { return &c.FabricQuery }},
}

// Violations returns the counters without OwnAddressARP and
// UnknownDestination, which a well-behaved VM can raise, too.
func (c Counters) Violations() Counters {
	c.OwnAddressARP, c.UnknownDestination = 0, 0
	return c
}

// Sub returns the growth since an earlier reading.
func (c Counters) Sub(earlier Counters) Counters {
	for _, k := range counterKinds {
		*k.in(&c) -= *k.in(&earlier)
	}
	return c
}

// String lists the counters that are not zero.
func (c Counters) String() string {
	var list []string
	for _, k := range counterKinds {
		if v := *k.in(&c); v != 0 {
			list = append(list, fmt.Sprintf("%s=%d", k.name, v))
		}
	}
	if list == nil {
		return "none"
	}
	return strings.Join(list, " ")
}

// Counters returns the sums over all NICs.
func (f *Fabric) Counters() (Counters, error) { return f.counters(f.ports) }

// Counters returns the sums over the VM's NICs.
func (vm *VM) Counters() (Counters, error) { return vm.fabric.counters(vm.ports) }

func (f *Fabric) counters(ports []*port) (Counters, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return Counters{}, fmt.Errorf("read counters: %w", ErrClosed)
	}
	objects, err := f.nft.GetObjects(f.rules.table)
	if err != nil {
		return Counters{}, fmt.Errorf("read counters: %w", err)
	}
	values := make(map[string]uint64, len(objects))
	for _, o := range objects {
		if c, ok := o.(*nftables.CounterObj); ok {
			values[c.Name] = c.Packets
		}
	}
	var sum Counters
	for _, p := range ports {
		for _, k := range counterKinds {
			*k.in(&sum) += values[p.counter(k.name)]
		}
	}
	return sum, nil
}
