package nft

import (
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// A verdict of ours cannot save a packet from a chain of somebody else that drops: each chain at a hook decides for
// itself. So the rules that accept what pods send and get have to stand in the chain that drops, at its beginning. They
// are written as iptables-nft writes its own, which therefore shows and saves them.

// refuses says whether a chain at a hook drops, or rejects, what no rule with a condition accepts: by a rule for
// everything, in a chain that everything is sent to, or by its policy.
func (n *Conn) refuses(c *nftables.Chain) (bool, error) {
	refused, decided, err := n.end(c, 0)
	if !decided {
		refused = c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
	}
	return refused, err
}

// end says what the first rule for everything decides, if one does.
func (n *Conn) end(c *nftables.Chain, depth int) (refused, decided bool, err error) {
	const deepest = 16 // NFT_JUMP_STACK_SIZE: the kernel allows no more
	rules, err := n.library().GetRules(c.Table, c)
	if err != nil {
		return false, false, fmt.Errorf("list nftables rules of %s: %w", c.Name, err)
	}
	for _, r := range rules {
		if !unconditional(r) {
			continue
		}
		v := verdictOf(r)
		switch {
		case drops(r):
			return true, true, nil
		case v == nil:
		case v.Kind == expr.VerdictAccept:
			return false, true, nil
		case v.Kind == expr.VerdictReturn:
			return false, false, nil
		case (v.Kind == expr.VerdictJump || v.Kind == expr.VerdictGoto) && depth < deepest:
			refused, decided, err = n.end(&nftables.Chain{Table: c.Table, Name: v.Chain}, depth+1)
			if decided || err != nil || v.Kind == expr.VerdictGoto {
				return refused, decided, err
			}
		}
	}
	return false, false, nil
}

func verdictOf(r *nftables.Rule) *expr.Verdict {
	for _, e := range r.Exprs {
		if v, ok := e.(*expr.Verdict); ok {
			return v
		}
	}
	return nil
}

// forwardChains are other people's chains at the forward hook.
func (n *Conn) forwardChains() ([]*nftables.Chain, error) {
	return n.filterChains(nftables.ChainHookForward)
}

// filterChains are other people's chains at a hook of IP.
func (n *Conn) filterChains(hook *nftables.ChainHook) ([]*nftables.Chain, error) {
	var out []*nftables.Chain
	for _, f := range []nftables.TableFamily{nftables.TableFamilyIPv4,
		nftables.TableFamilyIPv6, nftables.TableFamilyINet} {
		chains, err := n.library().ListChainsOfTableFamily(f)
		if err != nil {
			return nil, fmt.Errorf("list nftables chains: %w", listError(err))
		}
		for _, c := range chains {
			if c.Table.Name != TableName && c.Type == nftables.ChainTypeFilter && c.Hooknum != nil && *c.Hooknum == *hook {
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
		name = azure.HostVethPrefix // the beginning of a host veth's name
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

func (n *Conn) forwardInPlace(r Rules) bool {
	if !r.AcceptForward {
		return true // rules too many show in the text of another rule
	}
	chains, err := n.forwardChains()
	if err != nil {
		return false
	}
	for _, c := range chains {
		have, err := n.library().GetRules(c.Table, c)
		refuses, rerr := n.refuses(c)
		if err != nil || rerr != nil {
			return false
		}
		if !refuses {
			continue
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
func (n *Conn) ensureForward(r Rules) error {
	chains, err := n.forwardChains()
	if err != nil {
		return err
	}
	for _, c := range chains {
		have, err := n.library().GetRules(c.Table, c)
		if err != nil && !r.AcceptForward {
			continue // what cannot be read there does not concern us
		}
		if err != nil {
			return fmt.Errorf("list nftables rules of %s: %w", c.Name, err)
		}
		refuses := false
		if r.AcceptForward {
			if refuses, err = n.refuses(c); err != nil {
				return err
			}
		}
		for _, k := range have {
			if strings.HasPrefix(commentOf(k), r.forwardPrefix()) {
				k.Table, k.Chain = c.Table, c
				if err := n.library().DelRule(k); err != nil {
					return fmt.Errorf("delete nftables rule in %s: %w", c.Name, err)
				}
			}
		}
		if refuses {
			for _, rule := range r.forwardRules() {
				n.library().InsertRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: rule.exprs,
					UserData: userdata.AppendString(nil, userdata.TypeComment, rule.text)})
			}
		}
	}
	return nil
}
