package netlink

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// ErrNoBridgeFamily says that the kernel has no nftables bridge family, or not what the rules need of it.
var ErrNoBridgeFamily = errors.New("the kernel lacks nftables for bridges (CONFIG_NF_TABLES_BRIDGE)")

// NFT speaks nftables over one socket.
type NFT struct{ conn *nftables.Conn }

// OpenNFT opens the socket in the process's network namespace.
func OpenNFT() (*NFT, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open a netfilter socket: %w", err)
	}
	return &NFT{conn}, nil
}

// Close closes the socket. After a deletion the kernel makes it wait for an RCU grace period, 8–18 ms.
func (n *NFT) Close() { _ = n.conn.CloseLasting() }

// RulesInPlace says whether the kernel's rules are the wanted ones. Whatever cannot be read counts as a
// difference: EnsureRules will tell what is wrong.
func (n *NFT) RulesInPlace(r Rules) bool {
	for _, c := range r.chains() {
		have, err := n.conn.GetRules(table(), &c.Chain)
		if err != nil || len(have) != len(c.rules) {
			return false
		}
		for i, k := range have {
			if text, _ := userdata.GetString(k.UserData, userdata.TypeComment); text != c.rules[i].comment() {
				return false
			}
		}
	}
	have, err := n.conn.GetSetElements(host4(r.Bridge))
	if err != nil {
		return false
	}
	var hosts []netip.Addr
	for _, e := range have {
		a, _ := netip.AddrFromSlice(e.Key)
		hosts = append(hosts, a)
	}
	want := r.host4()
	slices.SortFunc(hosts, netip.Addr.Compare)
	return slices.Equal(hosts, want)
}

func (r Rules) host4() []netip.Addr {
	var out []netip.Addr
	for _, p := range r.Host {
		if p.Addr().Is4() {
			out = append(out, p.Addr())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// EnsureRules makes the bridge's chains and sets as wanted, in one transaction that loses no packet: what
// the maps hold stays. It takes an RCU grace period, so RulesInPlace is asked first.
// Error: ErrNoBridgeFamily.
func (n *NFT) EnsureRules(r Rules) error {
	n.conn.AddTable(table())
	hosts := host4(r.Bridge)
	for _, s := range []*nftables.Set{pods4(r.Bridge), owned4(r.Bridge), ports(r.Bridge), hosts} {
		if err := n.conn.AddSet(s, nil); err != nil {
			return fmt.Errorf("nftables set %s: %w", s.Name, err)
		}
	}
	n.conn.FlushSet(hosts)
	var elements []nftables.SetElement
	for _, a := range r.host4() {
		elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
	}
	if err := n.conn.SetAddElements(hosts, elements); err != nil {
		return fmt.Errorf("nftables set %s: %w", hosts.Name, err)
	}
	for _, c := range r.chains() {
		n.conn.AddChain(&c.Chain)
		n.conn.FlushChain(&c.Chain)
	}
	for _, c := range r.chains() {
		for _, rule := range c.rules {
			n.conn.AddRule(&nftables.Rule{Table: table(), Chain: &c.Chain, Exprs: rule.exprs, UserData: userdata.AppendString(nil, userdata.TypeComment, rule.comment())})
		}
	}
	if err := n.conn.Flush(); err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT) {
			return fmt.Errorf("%w: %w", ErrNoBridgeFamily, err)
		}
		return fmt.Errorf("install nftables rules of %s: %w", r.Bridge, err)
	}
	return nil
}

// RemoveRules removes the bridge's chains and sets, and the table with the last of them.
func (n *NFT) RemoveRules(bridge string) error {
	chains, err := n.conn.ListChainsOfTableFamily(nftables.TableFamilyBridge)
	if err != nil {
		return fmt.Errorf("list nftables chains: %w", err)
	}
	own := map[string]bool{}
	others := false
	for _, c := range (Rules{Bridge: bridge}).chains() {
		own[c.Name] = true
	}
	var mine []*nftables.Chain
	for _, c := range chains {
		if c.Table.Name != TableName {
			continue
		}
		if own[c.Name] {
			mine = append(mine, c)
		} else {
			others = true
		}
	}
	if !others {
		n.conn.AddTable(table()) // so that deleting one that is gone is no error
		n.conn.DelTable(table())
	} else {
		for _, c := range mine {
			n.conn.FlushChain(c)
		}
		for _, c := range slices.Backward(mine) {
			n.conn.DelChain(c)
		}
		for _, s := range []*nftables.Set{pods4(bridge), owned4(bridge), ports(bridge), host4(bridge)} {
			n.conn.AddSet(s, nil) //nolint:errcheck // only builds a message: so that deleting one that is gone is no error
			n.conn.DelSet(s)
		}
	}
	if err := n.conn.Flush(); err != nil {
		return fmt.Errorf("remove nftables rules of %s: %w", bridge, err)
	}
	return nil
}

// Element is what the tables know about one address of a pod.
type Element struct {
	Bridge  string
	Address netip.Addr
	MAC     net.HardwareAddr
	Port    string // the host veth
	Comment string // the owner

	Complete bool // Elements found it in every set, the same in each
}

// ownedKey is the 28 bytes of (port, MAC, address); the MAC is padded to a register's size.
func (e Element) ownedKey() []byte {
	key := append(append(ifNameKey(e.Port), e.MAC...), 0, 0)
	return append(key, e.Address.AsSlice()...)
}

// AddElements makes pods reachable and lets them send. An element that is there already is success; one
// with another MAC for the same address is replaced in the same transaction.
func (n *NFT) AddElements(elements ...Element) error {
	err := n.add(false, elements)
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
		err = n.add(true, elements)
	}
	return err
}

func (n *NFT) add(replace bool, elements []Element) error {
	for _, e := range elements {
		pod := []nftables.SetElement{{Key: e.Address.AsSlice(), Val: e.MAC, Comment: e.Comment}}
		own := []nftables.SetElement{{Key: e.ownedKey(), Comment: e.Comment}}
		var errs error
		if replace {
			errs = n.forget(e)
		}
		port := []nftables.SetElement{{Key: ifNameKey(e.Port), Comment: e.Comment}}
		errs = errors.Join(errs, n.conn.SetAddElements(pods4(e.Bridge), pod), n.conn.SetAddElements(owned4(e.Bridge), own), n.conn.SetAddElements(ports(e.Bridge), port))
		if errs != nil {
			return fmt.Errorf("nftables element of %s: %w", e.Address, errs)
		}
	}
	if err := n.conn.Flush(); err != nil {
		return fmt.Errorf("add nftables elements: %w", err)
	}
	return nil
}

// forget appends to the transaction what takes the address from whoever had it, who must not send from it
// any longer, either.
func (n *NFT) forget(e Element) error {
	owned, err := n.conn.GetSetElements(owned4(e.Bridge))
	if err != nil {
		return err
	}
	owned = slices.DeleteFunc(owned, func(k nftables.SetElement) bool {
		return len(k.Key) < 28 || !bytes.Equal(k.Key[24:28], e.Address.AsSlice()) || bytes.Equal(k.Key, e.ownedKey())
	})
	return errors.Join(n.conn.SetDeleteElements(pods4(e.Bridge), []nftables.SetElement{{Key: e.Address.AsSlice()}}),
		n.conn.SetDeleteElements(owned4(e.Bridge), owned))
}

// DeleteElements removes what is there of the elements; what is gone already is success.
func (n *NFT) DeleteElements(elements ...Element) error {
	type entry struct {
		set *nftables.Set
		key []byte
	}
	var all []entry
	for _, e := range elements {
		all = append(all, entry{pods4(e.Bridge), e.Address.AsSlice()}, entry{owned4(e.Bridge), e.ownedKey()}, entry{ports(e.Bridge), ifNameKey(e.Port)})
	}
	remove := func(entries ...entry) error {
		for _, d := range entries {
			if err := n.conn.SetDeleteElements(d.set, []nftables.SetElement{{Key: d.key}}); err != nil {
				return err
			}
		}
		return n.conn.Flush()
	}
	err := remove(all...)
	if errors.Is(err, unix.ENOENT) { // a missing element fails the whole transaction: now one by one
		err = nil
		for _, d := range all {
			if derr := remove(d); !errors.Is(derr, unix.ENOENT) {
				err = errors.Join(err, derr)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("delete nftables elements: %w", err)
	}
	return nil
}

// Elements lists what a bridge's sets hold of pods, one entry for each address. A bridge without rules has none.
func (n *NFT) Elements(bridge string) ([]Element, error) {
	var lists [3][]nftables.SetElement
	for i, s := range []*nftables.Set{pods4(bridge), owned4(bridge), ports(bridge)} {
		var err error
		if lists[i], err = n.list(s); err != nil {
			return nil, fmt.Errorf("list nftables set %s: %w", s.Name, err)
		}
	}
	byAddress := map[netip.Addr]*Element{}
	var order []netip.Addr
	at := func(a netip.Addr, mac []byte, comment string) *Element {
		if byAddress[a] == nil {
			order = append(order, a)
			byAddress[a] = &Element{Bridge: bridge, Address: a, MAC: mac, Comment: comment}
		}
		return byAddress[a]
	}
	reachable, known := map[netip.Addr]bool{}, map[string]bool{}
	for _, k := range lists[0] {
		a, _ := netip.AddrFromSlice(k.Key)
		at(a, k.Val, k.Comment)
		reachable[a] = true
	}
	for _, k := range lists[2] {
		known[portName(k.Key)] = true
	}
	for _, k := range lists[1] {
		if len(k.Key) < 28 {
			continue
		}
		a, _ := netip.AddrFromSlice(k.Key[24:28])
		port := portName(k.Key)
		e := at(a, k.Key[16:22], k.Comment)
		// Two ports with one address: only one is the owner's.
		own := k.Comment == e.Comment && bytes.Equal(e.MAC, k.Key[16:22])
		if e.Port == "" || own {
			e.Port = port
		}
		e.Complete = e.Complete || own && reachable[a] && known[port]
	}
	out := make([]Element, 0, len(order))
	for _, a := range order {
		out = append(out, *byAddress[a])
	}
	return out, nil
}

// list lists a set's elements; a set that is not there has none.
func (n *NFT) list(s *nftables.Set) ([]nftables.SetElement, error) {
	elements, err := n.conn.GetSetElements(s)
	if err != nil {
		// Its error does not wrap the kernel's, that of this call does.
		if _, missing := n.conn.GetSetByName(s.Table, s.Name); errors.Is(missing, unix.ENOENT) {
			return nil, nil
		}
	}
	return elements, err
}

func portName(key []byte) string {
	return strings.TrimRight(string(key[:min(len(key), unix.IFNAMSIZ)]), "\x00")
}

// Bridges lists the bridges that have rules or elements of ours.
func (n *NFT) Bridges() ([]string, error) {
	tables, err := n.conn.ListTablesOfFamily(nftables.TableFamilyBridge)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBridgeFamily, err)
	}
	if !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == TableName }) {
		return nil, nil
	}
	sets, err := n.conn.GetSets(table())
	if err != nil {
		return nil, fmt.Errorf("list nftables sets: %w", err)
	}
	var bridges []string
	for _, s := range sets {
		if name, ok := strings.CutSuffix(s.Name, "-pods4"); ok {
			bridges = append(bridges, name)
		}
	}
	return bridges, nil
}
