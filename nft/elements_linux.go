package nft

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Element is what the tables know about one address of a pod.
type Element struct {
	Scope
	Address netip.Addr // not valid where Elements found no more than a port
	MAC     net.HardwareAddr
	Port    string // the host veth
	Comment string // the owner

	Complete bool // Elements found it in every set, the same in each
	Shared   bool // Elements found that another owner's port may send from the address, too
}

// entry is one element of one set.
type entry struct {
	set     *nftables.Set
	element nftables.SetElement
}

// entries are what an element is in the sets: where the pod is, what it may send, by which port. With an IPv6 address
// it may also send from the link-local one that Linux makes of its MAC. Without an address only the port is known.
func (e Element) entries() []entry {
	port := entry{e.ports(), nftables.SetElement{Key: ifNameKey(e.Port), Comment: e.Comment}}
	if !e.Address.IsValid() {
		return []entry{port}
	}
	v6 := e.Address.Is6()
	pod := nftables.SetElement{Key: e.Address.AsSlice(), Comment: e.Comment}
	if !e.Routed() {
		pod.Val = e.MAC
	}
	list := []entry{
		{e.pods(v6), pod},
		{e.owned(v6), nftables.SetElement{Key: e.ownedKey(e.Address), Comment: e.Comment}},
		port,
	}
	if !e.Routed() {
		list = append(list, entry{e.known(v6), pod})
	}
	if v6 {
		list = append(list, entry{e.owned(v6), nftables.SetElement{Key: e.ownedKey(linkLocal(e.MAC)), Comment: e.Comment}})
	}
	return list
}

// macAt and addrAt are where MAC and address lie in the key of an owned set; the MAC is padded to 8 bytes.
const (
	macAt  = unix.IFNAMSIZ
	addrAt = unix.IFNAMSIZ + 8
)

func (e Element) ownedKey(a netip.Addr) []byte {
	key := append(append(ifNameKey(e.Port), e.MAC...), 0, 0)
	return append(key, a.AsSlice()...)
}

// linkLocal is the address that Linux makes of a MAC (RFC 4291, appendix A).
func linkLocal(m net.HardwareAddr) netip.Addr {
	if len(m) != 6 {
		return netip.IPv6Unspecified()
	}
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe,
		13: m[3], 14: m[4], 15: m[5]})
}

// AddElements makes pods reachable and lets them send. An element that is there already is success; one
// with another MAC for the same address is replaced in the same transaction.
func (n *Conn) AddElements(elements ...Element) error {
	err := n.insert(elements)
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
		err = n.TakeElements(elements...)
	}
	return err
}

// TakeElements takes addresses, which are in all sets, from whoever else has them there.
func (n *Conn) TakeElements(elements ...Element) error {
	err := again(func() (err error) {
		for _, e := range elements {
			err = errors.Join(err, n.forget(e))
		}
		return n.commit(errors.Join(err, n.addPods(elements)))
	})
	if err != nil {
		return fmt.Errorf("take nftables elements: %w", err)
	}
	return nil
}

// maxElements keeps a message below what a netlink attribute can hold, 64 KiB.
const maxElements = 200

// addPods appends to the transaction what makes the pods known, in few messages: there may be hundreds.
func (n *Conn) addPods(pods []Element) error {
	elements := map[string][]nftables.SetElement{}
	sets := map[string]*nftables.Set{}
	for _, e := range pods {
		for _, part := range e.entries() {
			sets[part.set.Name] = part.set
			if have := elements[part.set.Name]; !slices.ContainsFunc(have,
				func(h nftables.SetElement) bool { return bytes.Equal(h.Key, part.element.Key) }) {
				elements[part.set.Name] = append(have, part.element)
			}
		}
		if e.Family == FamilyNetdev {
			n.addPodChain(e)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		for some := range slices.Chunk(elements[name], maxElements) {
			if err := n.library().SetAddElements(sets[name], some); err != nil {
				return fmt.Errorf("nftables elements of %s: %w", name, err)
			}
		}
	}
	return nil
}

func (n *Conn) addPodChain(e Element) {
	c := e.podChain(e.Port, e.Comment)
	n.library().AddChain(&c.Chain)
	n.library().FlushChain(&c.Chain)
	n.addRules(c)
}

// forget appends to the transaction what takes the address from whoever had it, who must not send from it
// any longer, either; and what the port may send from another MAC.
func (n *Conn) forget(e Element) error {
	v6 := e.Address.Is6()
	var errs error
	drop := func(set *nftables.Set, anothers func(key []byte) bool) {
		have, err := n.list(set)
		have = slices.DeleteFunc(have, func(k nftables.SetElement) bool { return !anothers(k.Key) })
		errs = errors.Join(errs, err, n.library().SetDeleteElements(set, have))
	}
	drop(e.owned(v6), func(key []byte) bool {
		has := len(key) >= addrAt && bytes.Equal(key[addrAt:], e.Address.AsSlice())
		former := len(key) >= addrAt && portName(key) == e.Port && !bytes.Equal(key[macAt:macAt+6],
			e.MAC) // it had another MAC
		return has || former
	})
	same := []nftables.SetElement{{Key: e.Address.AsSlice()}}
	sets := []*nftables.Set{e.pods(v6)}
	if !e.Routed() {
		sets = append(sets, e.known(v6))
	}
	for _, set := range sets {
		_, there, err := n.lookUp(set, same[0].Key)
		if errs = errors.Join(errs, err); there {
			errs = errors.Join(errs, n.library().SetDeleteElements(set, same))
		}
	}
	return errs
}
