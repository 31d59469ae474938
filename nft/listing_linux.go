package nft

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Elements lists what a network's sets hold of pods, one entry for each address. Where there are no rules, there
// are none.
func (n *Conn) Elements(s Scope) ([]Element, error) {
	ports, err := n.list(s.ports())
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, k := range ports {
		known[portName(k.Key)] = true
	}
	if s.Family == FamilyNetdev {
		if err := n.withChains(s, known); err != nil {
			return nil, err
		}
	}
	var out []Element
	for _, v6 := range []bool{false, true} {
		pods, err := n.list(s.pods(v6))
		if err != nil {
			return nil, err
		}
		owned, err := n.list(s.owned(v6))
		if err != nil {
			return nil, err
		}
		var copied []nftables.SetElement
		if !s.Routed() {
			if copied, err = n.list(s.known(v6)); err != nil {
				return nil, err
			}
		}
		out = append(out, s.join(pods, owned, copied, known)...)
	}
	return s.withPorts(out, ports), nil
}

// withPorts adds the ports of which nothing else is known, or gives them to their owners' addresses that nothing else
// has a port for.
func (s Scope) withPorts(found []Element, ports []nftables.SetElement) []Element {
	seen := map[string]bool{}
	for _, e := range found {
		seen[e.Port] = true
	}
	for _, k := range ports {
		name := portName(k.Key)
		if seen[name] {
			continue
		}
		i := slices.IndexFunc(found, func(e Element) bool { return e.Port == "" && e.Comment == k.Comment })
		if i < 0 {
			found = append(found, Element{Scope: s, Port: name, Comment: k.Comment})
			continue
		}
		found[i].Port = name
	}
	return found
}

// withChains leaves the ports that have a chain.
func (n *Conn) withChains(s Scope, ports map[string]bool) error {
	chains, err := n.library().ListChainsOfTableFamily(s.table().Family)
	if err != nil {
		return fmt.Errorf("list nftables chains: %w", listError(err))
	}
	for port := range ports {
		ports[port] = slices.ContainsFunc(chains,
			func(c *nftables.Chain) bool { return c.Table.Name == TableName && c.Name == s.chainName(port) })
	}
	return nil
}

// join brings together what the sets of a family say about each address. On a bridge the addresses have a copy.
func (s Scope) join(pods, owned, copied []nftables.SetElement, ports map[string]bool) []Element {
	byAddress := map[netip.Addr]*Element{}
	var order []netip.Addr
	at := func(a netip.Addr, mac []byte, comment string) *Element {
		if byAddress[a] == nil {
			order = append(order, a)
			byAddress[a] = &Element{Scope: s, Address: a, MAC: mac, Comment: comment}
		}
		return byAddress[a]
	}
	reachable := map[netip.Addr]bool{}
	var local []nftables.SetElement
	for _, k := range pods {
		a, _ := netip.AddrFromSlice(k.Key)
		at(a, k.Val, k.Comment)
		reachable[a] = true
	}
	for _, k := range owned {
		if len(k.Key) < addrAt {
			continue
		}
		a, ok := netip.AddrFromSlice(k.Key[addrAt:])
		mac, port := k.Key[macAt:macAt+6], portName(k.Key)
		if ok && a.IsLinkLocalUnicast() && a.Is6() {
			local = append(local, k)
		}
		if !ok || a.IsLinkLocalUnicast() && a.Is6() {
			continue // goes with the address that it was added for
		}
		e := at(a, mac, k.Comment)
		if len(e.MAC) == 0 { // the host routes: no map tells
			e.MAC = mac
		}
		// Two ports with one address: only one is the owner's.
		own := k.Comment == e.Comment && bytes.Equal(e.MAC, mac)
		if e.Port == "" || own {
			e.Port = port
		}
		e.Complete = e.Complete || own && reachable[a] && ports[port]
		e.Shared = e.Shared || k.Comment != e.Comment
	}
	same := map[netip.Addr]bool{} // the copy says the same
	for _, k := range copied {
		a, _ := netip.AddrFromSlice(k.Key)
		same[a] = bytes.Equal(at(a, k.Val, k.Comment).MAC, k.Val)
	}
	ends := map[string]bool{}
	for a, e := range byAddress {
		e.Complete = e.Complete && (s.Routed() || same[a])
		ends[e.Port+" "+string(e.MAC)] = true
	}
	for _, k := range local {
		mac, port := k.Key[macAt:macAt+6], portName(k.Key)
		if !ends[port+" "+string(mac)] { // the address that it was added for is gone
			a, _ := netip.AddrFromSlice(k.Key[addrAt:])
			at(a, mac, k.Comment).Port = port
		}
	}
	out := make([]Element, 0, len(order))
	for _, a := range order {
		out = append(out, *byAddress[a])
	}
	return out
}

// list lists a set's elements; a set that is not there has none. The kernel goes through a hash table that it may be
// resizing at the same time, after many additions or deletions, and then leaves elements out (lib/rhashtable.c). So it
// is asked until an answer brings nothing new.
func (n *Conn) list(s *nftables.Set) ([]nftables.SetElement, error) {
	return gather(func() (iter.Seq[element], error) { return n.elementsIn(s) })
}

func gather(listing func() (iter.Seq[element], error)) ([]nftables.SetElement, error) {
	var all []nftables.SetElement
	seen := map[string]bool{}
	const enough = 5
	for range enough {
		elements, err := listing()
		if errors.Is(err, unix.ENOENT) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		before := len(all)
		for e := range elements {
			if !seen[string(e.key)] {
				seen[string(e.key)] = true
				all = append(all, nftables.SetElement{Key: e.key, Val: e.value, Comment: e.comment()})
			}
		}
		if len(all) == before {
			break
		}
	}
	return all, nil
}

func portName(key []byte) string {
	return strings.TrimRight(string(key[:min(len(key), unix.IFNAMSIZ)]), "\x00")
}

// Scopes lists where there are rules or elements of ours: nowhere, on a kernel without nftables.
func (n *Conn) Scopes() ([]Scope, error) {
	var scopes []Scope
	for _, f := range families {
		table := f.table()
		tables, err := n.library().ListTablesOfFamily(table.Family)
		if err = listError(err); errors.Is(err, ErrNoTables) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list nftables tables: %w", err)
		}
		if !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == TableName }) {
			continue
		}
		sets, err := n.library().GetSets(table)
		if err != nil {
			return nil, fmt.Errorf("list nftables sets: %w", err)
		}
		for _, s := range sets {
			if name, ok := strings.CutSuffix(s.Name, "-pods4"); ok {
				scopes = append(scopes, Scope{name, f})
			}
		}
	}
	return scopes, nil
}
