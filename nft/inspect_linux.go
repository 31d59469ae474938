package nft

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// What a person asks when pods have no network ("azure-vnet doctor"). Nothing here changes anything.

// Supports says whether the kernel has what the family needs. It tries in a transaction that fails at its end in any
// case, since it makes the same table twice, so the kernel keeps nothing of it.
// Error: ErrFeature.
func (n *Conn) Supports(f Family) error {
	if f == FamilyBridge && bridgeFamily != "yes" {
		return fmt.Errorf("%w: no bridge family", ErrFeature)
	}
	return n.probe(f.table().Family, f == FamilyNetdev)
}

func (n *Conn) probe(family nftables.TableFamily, egress bool) error {
	if _, err := n.library().ListTablesOfFamily(family); err != nil {
		return fmt.Errorf("list nftables tables: %w", listError(err))
	}
	table := &nftables.Table{Family: family, Name: TableName + "-probe"}
	n.library().AddTable(table)
	if egress {
		n.library().AddChain(&nftables.Chain{Table: table, Name: "egress", Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookEgress, Priority: nftables.ChainPriorityFilter, Device: "lo"})
	}
	n.library().CreateTable(table)
	err := n.library().Flush()
	if unsupported(err) {
		return fmt.Errorf("%w: family %d of nftables: %w", ErrFeature, family, err)
	}
	if !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("probe nftables: %w", err)
	}
	return nil
}

// Block is a chain at the forward hook that drops what it does not accept, and accepts nothing of the scope's pods.
type Block struct {
	Family, Table, Chain string // as nft wants them
	Policy               bool   // its policy drops; else a rule does
}

// Blocks lists them. Rules for interfaces whose names begin as the scope's, or for all, count as acceptance.
func (n *Conn) Blocks(s Scope) ([]Block, error) {
	chains, err := n.forwardChains()
	if err != nil {
		return nil, err
	}
	name := []byte(s.Name)
	if s.Routed() {
		name = []byte(azure.HostVethPrefix)
	}
	var out []Block
	for _, c := range chains {
		rules, err := n.library().GetRules(c.Table, c)
		if err != nil {
			return nil, fmt.Errorf("list nftables rules of %s: %w", c.Name, err)
		}
		b := Block{familyName(c.Table.Family), c.Table.Name, c.Name, c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop}
		refuses, err := n.refuses(c)
		if err != nil {
			return nil, err
		}
		refuses = refuses && !slices.ContainsFunc(rules, func(r *nftables.Rule) bool { return accepts(r, name) })
		if refuses {
			out = append(out, b)
		}
	}
	return out, nil
}

// ShutOut lists the chains at the input hook that accept what comes by the master and refuse the rest, and have no such
// rule for the bridge: when the bridge is there, what comes to the host comes by that. bridge may be "", of one that
// has no name yet.
func (n *Conn) ShutOut(master, bridge string) ([]Block, error) {
	chains, err := n.filterChains(nftables.ChainHookInput)
	if err != nil {
		return nil, err
	}
	var out []Block
	for _, c := range chains {
		rules, err := n.library().GetRules(c.Table, c)
		if err != nil {
			return nil, fmt.Errorf("list nftables rules of %s: %w", c.Name, err)
		}
		lets := func(name string) bool {
			return name != "" && slices.ContainsFunc(rules,
				func(r *nftables.Rule) bool { return accepts(r, []byte(name+"\x00")) })
		}
		if !lets(master) || lets(bridge) {
			continue
		}
		refuses, err := n.refuses(c)
		if err != nil {
			return nil, err
		}
		if refuses {
			out = append(out, Block{familyName(c.Table.Family), c.Table.Name, c.Name,
				c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop})
		}
	}
	return out, nil
}

func familyName(f nftables.TableFamily) string {
	return map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
		nftables.TableFamilyINet: "inet"}[f]
}

func accepts(r *nftables.Rule, name []byte) bool {
	v := verdictOf(r)
	return v != nil && v.Kind == expr.VerdictAccept && slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		c, ok := e.(*expr.Cmp)
		return ok && c.Op == expr.CmpOpEq && bytes.HasPrefix(c.Data, name)
	})
}

// unconditional says that the rule is for every packet.
func unconditional(r *nftables.Rule) bool {
	return !slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		switch e := e.(type) {
		case *expr.Counter, *expr.Verdict, *expr.Reject, *expr.Target, *expr.Log:
			return false
		case *expr.Match:
			return e.Name != "comment"
		}
		return true
	})
}

func drops(r *nftables.Rule) bool {
	return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		switch e := e.(type) {
		case *expr.Verdict:
			return e.Kind == expr.VerdictDrop
		case *expr.Reject:
			return true
		case *expr.Target:
			return e.Name == "REJECT" || e.Name == "DROP"
		}
		return false
	})
}

// Masquerades says whether the host translates the sources of what leaves it, by a rule of nftables or iptables-nft
// that is not for services alone.
func (n *Conn) Masquerades() (bool, error) {
	for _, f := range []nftables.TableFamily{nftables.TableFamilyIPv4,
		nftables.TableFamilyIPv6, nftables.TableFamilyINet} {
		chains, err := n.library().ListChainsOfTableFamily(f)
		if err != nil {
			return false, fmt.Errorf("list nftables chains: %w", listError(err))
		}
		for _, c := range chains {
			c.Table.Family = f
			// kube-proxy and portmap translate only what they marked: their own traffic.
			if c.Table.Name == "kube-proxy" || strings.HasPrefix(c.Name, "KUBE-") || strings.HasPrefix(c.Name, "CNI-") {
				continue
			}
			rules, err := n.library().GetRules(c.Table, c)
			if err != nil {
				return false, fmt.Errorf("list nftables rules of %s: %w", c.Name, err)
			}
			if slices.ContainsFunc(rules, translatesSource) {
				return true, nil
			}
		}
	}
	return false, nil
}

func translatesSource(r *nftables.Rule) bool {
	return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		switch e := e.(type) {
		case *expr.Masq:
			return true
		case *expr.NAT:
			return e.Type == expr.NATTypeSourceNAT
		case *expr.Target:
			return e.Name == "MASQUERADE" || e.Name == "SNAT"
		}
		return false
	})
}

// ClassicRules counts the rules of ebtables (its nftables form) that write a MAC, as the classic plugin's do.
func (n *Conn) ClassicRules() (int, error) {
	table := &nftables.Table{Family: nftables.TableFamilyBridge, Name: "nat"}
	chains, err := n.library().ListChainsOfTableFamily(table.Family)
	if err != nil {
		return 0, fmt.Errorf("list nftables chains: %w", listError(err))
	}
	count := 0
	for _, c := range chains {
		if c.Table.Name != table.Name {
			continue
		}
		rules, err := n.library().GetRules(table, c)
		if err != nil {
			return 0, fmt.Errorf("list the rules of ebtables: %w", err)
		}
		for _, r := range rules {
			if written(r) != nil {
				count++
			}
		}
	}
	return count, nil
}
