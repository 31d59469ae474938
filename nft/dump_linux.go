package nft

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// What every ADD asks of nftables: are the rules still there? The library decodes every expression of every rule for
// that, which took a tenth of an ADD; the comments tell as well, since they have a hash of the rule (rule.comment).

// dump asks for all objects of a kind in a chain or set of ours, or in the table if the name is "". It returns the
// attributes of each answer.
func (n *Conn) dump(kind, answer uint16, t *nftables.Table, nameAttr uint16, name string) ([]wire.Attrs, error) {
	if err := n.openRaw(); err != nil {
		return nil, err
	}
	bodies, err := n.raw.Dump(wire.Request(subsystem|kind, unix.NLM_F_DUMP, about(t, nameAttr, name)), subsystem|answer)
	if err != nil {
		return nil, err
	}
	var out []wire.Attrs
	for _, b := range bodies {
		if b, err = behindHeader(b); err != nil {
			return nil, err
		}
		attrs, err := wire.ParseAttrs(b)
		if err != nil {
			return nil, err
		}
		out = append(out, attrs)
	}
	return out, nil
}

// subsystem is that of nftables in the types of its messages.
const subsystem = unix.NFNL_SUBSYS_NFTABLES << 8

// about begins the body of a question about a chain or set: a struct nfgenmsg, the table, and the name if there is one.
func about(t *nftables.Table, nameAttr uint16, name string) []byte {
	const tableAttr = 1 // the first attribute of all that are asked for
	body := wire.AppendText([]byte{byte(t.Family), unix.NFNETLINK_V0, 0, 0}, tableAttr, t.Name)
	if name == "" {
		return body
	}
	return wire.AppendText(body, nameAttr, name)
}

// behindHeader are the attributes of an answer.
func behindHeader(body []byte) ([]byte, error) {
	if len(body) < nfgenmsgLen {
		return nil, fmt.Errorf("nftables answer of %d bytes", len(body))
	}
	return body[nfgenmsgLen:], nil
}

// openRaw opens the socket for questions.
func (n *Conn) openRaw() (err error) {
	if n.raw == nil {
		n.raw, err = n.sockets.Open(unix.NETLINK_NETFILTER)
	}
	return err
}

// nfgenmsgLen is the length of a struct nfgenmsg (include/uapi/linux/netfilter/nfnetlink.h).
const nfgenmsgLen = 4

// comments are those of the rules in a table, in order, by the name of their chain; with a name, only that chain's.
func (n *Conn) comments(t *nftables.Table, chain string) (map[string][]string, error) {
	rules, err := n.dump(unix.NFT_MSG_GETRULE, unix.NFT_MSG_NEWRULE, t, unix.NFTA_RULE_CHAIN, chain)
	if err != nil {
		return nil, fmt.Errorf("list nftables rules: %w", err)
	}
	out := map[string][]string{}
	for _, r := range rules {
		text, _ := userdata.GetString(r.Get(unix.NFTA_RULE_USERDATA), userdata.TypeComment)
		in := r.Text(unix.NFTA_RULE_CHAIN)
		out[in] = append(out[in], text)
	}
	return out, nil
}

// element is one of a set as the kernel lists it.
type element struct{ key, value, userdata []byte }

// elementsIn lists the elements of a set once, and keeps none of them. The library's listing looks at each for all that
// one may have, which took half of a CHECK.
func (n *Conn) elementsIn(s *nftables.Set) (iter.Seq[element], error) {
	answers, err := n.dump(unix.NFT_MSG_GETSETELEM, unix.NFT_MSG_NEWSETELEM, s.Table, unix.NFTA_SET_ELEM_LIST_SET, s.Name)
	if err != nil {
		return nil, fmt.Errorf("list nftables set %s: %w", s.Name, err)
	}
	return func(yield func(element) bool) {
		for _, a := range answers {
			for e := range listed(a.Get(unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
				if !yield(e) {
					return
				}
			}
		}
	}, nil
}

// listed goes through a list of elements.
func listed(list []byte) iter.Seq[element] {
	return func(yield func(element) bool) {
		for each := range wire.Walk(list) {
			var e element
			for field := range wire.Walk(each.Value) {
				switch field.Kind() {
				case unix.NFTA_SET_ELEM_KEY:
					e.key = wire.Find(field.Value, unix.NFTA_DATA_VALUE)
				case unix.NFTA_SET_ELEM_DATA:
					e.value = wire.Find(field.Value, unix.NFTA_DATA_VALUE)
				case unix.NFTA_SET_ELEM_USERDATA:
					e.userdata = field.Value
				}
			}
			if !yield(e) {
				return
			}
		}
	}
}

// addressesIn are the elements of a set of addresses, sorted.
func (n *Conn) addressesIn(s *nftables.Set) (list []netip.Addr, err error) {
	elements, err := n.elementsIn(s)
	if err != nil {
		return nil, err
	}
	for e := range elements {
		addr, ok := netip.AddrFromSlice(e.key)
		if !ok {
			return nil, fmt.Errorf("an element of nftables set %s is no address", s.Name)
		}
		list = append(list, addr)
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list, nil
}
