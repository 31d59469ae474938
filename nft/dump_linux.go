package nft

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// What every ADD asks of nftables: are the rules still there? The library decodes every expression of every rule for
// that, which took a tenth of an ADD; the comments tell as well, since they have a hash of the rule (rule.comment).

// dump asks for all objects of a kind in a chain or set of ours. It returns the attributes of each answer.
func (n *Conn) dump(kind, answer uint16, t *nftables.Table, nameAttr uint16, name string) ([]wire.Attrs, error) {
	if n.raw == nil {
		s, err := wire.Open(unix.NETLINK_NETFILTER)
		if err != nil {
			return nil, err
		}
		n.raw = s
	}
	const subsystem, tableAttr = unix.NFNL_SUBSYS_NFTABLES << 8, 1                              // the table is the first attribute of all that are asked for
	body := wire.AppendText([]byte{byte(t.Family), unix.NFNETLINK_V0, 0, 0}, tableAttr, t.Name) // struct nfgenmsg first
	request := wire.Request(subsystem|kind, unix.NLM_F_DUMP, wire.AppendText(body, nameAttr, name))
	bodies, err := n.raw.Dump(request, subsystem|answer)
	if err != nil {
		return nil, err
	}
	var out []wire.Attrs
	for _, b := range bodies {
		if len(b) < nfgenmsgLen {
			return nil, fmt.Errorf("nftables answer of %d bytes", len(b))
		}
		attrs, err := wire.ParseAttrs(b[nfgenmsgLen:])
		if err != nil {
			return nil, err
		}
		out = append(out, attrs)
	}
	return out, nil
}

// nfgenmsgLen is the length of a struct nfgenmsg (include/uapi/linux/netfilter/nfnetlink.h).
const nfgenmsgLen = 4

// commentsOf are the comments of a chain's rules, in order.
func (n *Conn) commentsOf(c chain) ([]string, error) {
	rules, err := n.dump(unix.NFT_MSG_GETRULE, unix.NFT_MSG_NEWRULE, c.Table, unix.NFTA_RULE_CHAIN, c.Name)
	if err != nil {
		return nil, fmt.Errorf("list nftables rules of %s: %w", c.Name, err)
	}
	out := make([]string, 0, len(rules))
	for _, r := range rules {
		text, _ := userdata.GetString(r.Get(unix.NFTA_RULE_USERDATA), userdata.TypeComment)
		out = append(out, text)
	}
	return out, nil
}

// addressesIn are the elements of a set of addresses, sorted.
func (n *Conn) addressesIn(s *nftables.Set) ([]netip.Addr, error) {
	answers, err := n.dump(unix.NFT_MSG_GETSETELEM, unix.NFT_MSG_NEWSETELEM, s.Table, unix.NFTA_SET_ELEM_LIST_SET, s.Name)
	if err != nil {
		return nil, fmt.Errorf("list nftables set %s: %w", s.Name, err)
	}
	var out []netip.Addr
	for _, a := range answers {
		elements, err := wire.ParseAttrs(a.Get(unix.NFTA_SET_ELEM_LIST_ELEMENTS))
		if err != nil {
			return nil, err
		}
		for _, e := range elements {
			fields, ferr := wire.ParseAttrs(e.Value)
			key, kerr := wire.ParseAttrs(fields.Get(unix.NFTA_SET_ELEM_KEY))
			addr, ok := netip.AddrFromSlice(bytes.Clone(key.Get(unix.NFTA_DATA_VALUE)))
			if ferr != nil || kerr != nil || !ok {
				return nil, fmt.Errorf("an element of nftables set %s is no address", s.Name)
			}
			out = append(out, addr)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out, nil
}
