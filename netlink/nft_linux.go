package netlink

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

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
		have, err := n.conn.GetRules(c.Table, &c.Chain)
		if err != nil || len(have) != len(c.rules) {
			return false
		}
		for i, k := range have {
			if text, _ := userdata.GetString(k.UserData, userdata.TypeComment); text != c.rules[i].comment() {
				return false
			}
		}
	}
	for _, v6 := range []bool{false, true} {
		have, err := n.conn.GetSetElements(r.Scope().host(v6))
		if err != nil {
			return false
		}
		var hosts []netip.Addr
		for _, e := range have {
			a, _ := netip.AddrFromSlice(e.Key)
			hosts = append(hosts, a)
		}
		slices.SortFunc(hosts, netip.Addr.Compare)
		if !slices.Equal(hosts, r.hosts(v6)) {
			return false
		}
	}
	return true
}

func (r Rules) hosts(v6 bool) []netip.Addr {
	var out []netip.Addr
	for _, p := range r.Host {
		if p.Addr().Is6() == v6 {
			out = append(out, p.Addr())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// EnsureRules makes the network's chains and sets as wanted, in one transaction that loses no packet: what
// the maps hold stays. It takes an RCU grace period, so RulesInPlace is asked first.
// Error: ErrNoBridgeFamily.
func (n *NFT) EnsureRules(r Rules) error {
	s := r.Scope()
	n.conn.AddTable(s.table())
	for _, set := range s.all() {
		if err := n.conn.AddSet(set, nil); err != nil {
			return fmt.Errorf("nftables set %s: %w", set.Name, err)
		}
	}
	for _, v6 := range []bool{false, true} {
		n.conn.FlushSet(s.host(v6))
		var elements []nftables.SetElement
		for _, a := range r.hosts(v6) {
			elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
		}
		if err := n.conn.SetAddElements(s.host(v6), elements); err != nil {
			return fmt.Errorf("nftables set %s: %w", s.host(v6).Name, err)
		}
	}
	for _, c := range r.chains() {
		n.conn.AddChain(&c.Chain)
		n.conn.FlushChain(&c.Chain)
	}
	for _, c := range r.chains() {
		for _, rule := range c.rules {
			n.conn.AddRule(&nftables.Rule{Table: c.Table, Chain: &c.Chain, Exprs: rule.exprs, UserData: userdata.AppendString(nil, userdata.TypeComment, rule.comment())})
		}
	}
	if err := n.conn.Flush(); err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT) {
			return fmt.Errorf("%w: %w", ErrNoBridgeFamily, err)
		}
		return fmt.Errorf("install nftables rules of %s: %w", s.Name, err)
	}
	return nil
}

// RemoveRules removes the scope's chains and sets, and the table with the last of them.
func (n *NFT) RemoveRules(s Scope) error {
	family := s.table().Family
	chains, err := n.conn.ListChainsOfTableFamily(family)
	if err != nil {
		return fmt.Errorf("list nftables chains: %w", err)
	}
	own := map[string]bool{}
	r := Rules{Master: s.Name}
	if !s.Routed {
		r.Bridge = s.Name
	}
	for _, c := range r.chains() {
		own[c.Name] = true
	}
	var mine []*nftables.Chain
	others := false
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
		n.conn.AddTable(s.table()) // so that deleting one that is gone is no error
		n.conn.DelTable(s.table())
	} else {
		for _, c := range mine {
			n.conn.FlushChain(c)
		}
		for _, c := range slices.Backward(mine) {
			n.conn.DelChain(c)
		}
		for _, set := range s.all() {
			n.conn.AddSet(set, nil) //nolint:errcheck // only builds a message: so that deleting one that is gone is no error
			n.conn.DelSet(set)
		}
	}
	if err := n.conn.Flush(); err != nil {
		return fmt.Errorf("remove nftables rules of %s: %w", s.Name, err)
	}
	return nil
}
