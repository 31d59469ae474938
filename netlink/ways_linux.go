package netlink

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"golang.org/x/sys/unix"
)

// Ways are the NICs of a host, as far as pods of one of them are concerned.
type Ways struct {
	Own     Link     // the pods' NIC, or the bridge that has its configuration
	Other   Link     // by which the host sends what is for anybody, or else another NIC; zero if there is none
	Listens []string // the names of all NICs but Own
}

// Ways looks at the host. The pods' NIC is the master, and the bridge that has its configuration, if there is one;
// others are known to be NICs, or to have the configuration of such. What was read with the bridge is not read again.
func (h *Handle) Ways(b Bridge, others []string) (w Ways, err error) {
	w.Own = b.Link
	if b.Link.Index == 0 {
		w.Own = b.Master
	}
	if b.all == nil {
		if b.all, err = h.hostAddresses(); err != nil {
			return w, err
		}
	}
	first := h.wayOut(0, false).index
	if first == 0 {
		first = h.wayOut(0, true).index
	}
	seen := map[int]bool{b.Link.Index: true, b.Master.Index: true}
	look := func(index int, certain bool) error {
		if index == 0 || seen[index] {
			return nil
		}
		seen[index] = true
		l, lerr := h.link(rtnl.LinkMessage(unix.RTM_GETLINK, 0, index, false, rtnl.WithoutStats()))
		if errors.Is(lerr, unix.ENODEV) {
			return nil
		}
		if lerr != nil {
			return fmt.Errorf("look up link %d: %w", index, lerr)
		}
		if certain || l.facesFabric() || slices.Contains(others, l.Name) {
			w.Listens = append(w.Listens, l.Name)
			if w.Other.Index == 0 {
				w.Other = l
			}
		}
		return nil
	}
	err = look(first, true)
	for _, m := range b.all {
		if a := m.Prefix().Addr(); !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			err = errors.Join(err, look(m.Index(), false))
		}
	}
	return w, err
}

// facesFabric says whether a link is a NIC, by what the kernel says of its kind.
func (l Link) facesFabric() bool {
	return len(l.MAC) == 6 && slices.ContainsFunc(l.MAC, func(b byte) bool { return b != 0 }) &&
		slices.Contains([]string{"", "macvlan", "bond", "team"}, l.Kind)
}

// way is where the host sends what is for anybody.
type way struct {
	index   int
	gateway netip.Addr
}

// Addresses that nobody has (RFC 5737, 3849).
var (
	anybody4 = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	anybody6 = netip.MustParseAddr("2001:db8::1")
)

// wayOut asks the kernel: by an interface, or by any (0). It is zero where there is no way.
func (h *Handle) wayOut(index int, v6 bool) way {
	to := anybody4
	if v6 {
		to = anybody6
	}
	m, err := h.lookUp(to, index)
	if err != nil { // no route, or no such family
		return way{}
	}
	return way{int(m.U32(unix.RTA_OIF)), m.Gateway()}
}
