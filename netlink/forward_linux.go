package netlink

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// A verdict of ours cannot save a packet from a chain of somebody else that drops: each chain at a hook decides for
// itself. So the rules that accept what pods send and get have to stand in the chain that drops, at its beginning. They are
// written as iptables-nft writes its own, which therefore shows and saves them.

// dropChains are the chains at the forward hook, other people's, that drop what nothing accepts.
func (n *NFT) dropChains() ([]*nftables.Chain, error) {
	return n.forwardChains(func(c *nftables.Chain) bool { return c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop })
}

func (n *NFT) forwardChains(want func(*nftables.Chain) bool) ([]*nftables.Chain, error) {
	var out []*nftables.Chain
	for _, f := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6, nftables.TableFamilyINet} {
		chains, err := n.conn.ListChainsOfTableFamily(f)
		if err != nil {
			return nil, fmt.Errorf("list nftables chains: %w", featureError(err))
		}
		for _, c := range chains {
			if c.Table.Name != TableName && c.Type == nftables.ChainTypeFilter && c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && want(c) {
				c.Table.Family = f
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// forwardRules accept what arrives from pods, and what leaves to them.
func (r Rules) forwardRules() []rule {
	name := r.Name + "\x00"
	if r.Routed() {
		name = "azv" // the beginning of a host veth's name
	}
	accept := func(key expr.MetaKey, text string) rule {
		return rule{r.forwardPrefix() + text, []expr.Any{
			&expr.Meta{Key: key, Register: 1}, equal(name), &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept},
		}}
	}
	return []rule{accept(expr.MetaKeyIIFNAME, "what pods send"), accept(expr.MetaKeyOIFNAME, "what pods get")}
}

// forwardPrefix is how the comments of the scope's rules begin: those chains are not ours alone.
func (s Scope) forwardPrefix() string { return TableName + " " + s.Name + ": " }

func (n *NFT) forwardInPlace(r Rules) bool {
	if !r.AcceptForward {
		return true // rules too many show in the text of another rule
	}
	chains, err := n.dropChains()
	if err != nil {
		return false
	}
	for _, c := range chains {
		have, err := n.conn.GetRules(c.Table, c)
		if err != nil {
			return false
		}
		for _, want := range r.forwardRules() {
			if !slices.ContainsFunc(have, func(k *nftables.Rule) bool { return commentOf(k) == want.text }) {
				return false
			}
		}
	}
	return true
}

// ensureForward appends to the transaction what makes the scope's rules in other people's chains as wanted.
func (n *NFT) ensureForward(r Rules) error {
	chains, err := n.forwardChains(func(*nftables.Chain) bool { return true })
	if err != nil {
		return err
	}
	for _, c := range chains {
		have, err := n.conn.GetRules(c.Table, c)
		if err != nil && !r.AcceptForward {
			continue // what cannot be read there does not concern us
		}
		if err != nil {
			return fmt.Errorf("list nftables rules of %s: %w", c.Name, err)
		}
		for _, k := range have {
			if strings.HasPrefix(commentOf(k), r.forwardPrefix()) {
				k.Table, k.Chain = c.Table, c
				if err := n.conn.DelRule(k); err != nil {
					return fmt.Errorf("delete nftables rule in %s: %w", c.Name, err)
				}
			}
		}
		if r.AcceptForward && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			for _, rule := range r.forwardRules() {
				n.conn.InsertRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: rule.exprs, UserData: userdata.AppendString(nil, userdata.TypeComment, rule.text)})
			}
		}
	}
	return nil
}
