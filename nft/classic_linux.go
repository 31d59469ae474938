package nft

import (
	"bytes"
	"fmt"
	"net"
	"slices"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// The classic plugin has rules of ebtables, in the table "bridge nat" of ebtables' nftables form: two for each pod, and
// four for all of them. They are told by the MAC that they write into a frame.

// forgetClassic appends to the transaction what deletes the classic plugin's rules for the master that write one of the
// MACs, its own, or one of the fabric's.
func (n *Conn) forgetClassic(master string, macs []net.HardwareAddr) error {
	return n.forgetRules(func(r *nftables.Rule) bool { return isClassic(r, master, macs) })
}

// RemoveClassicRules deletes those of the rules that ClassicRules counts that write one of the MACs; without any, all.
func (n *Conn) RemoveClassicRules(macs ...net.HardwareAddr) error {
	which := func(r *nftables.Rule) bool {
		mac := written(r)
		return mac != nil && (len(macs) == 0 ||
			slices.ContainsFunc(macs, func(m net.HardwareAddr) bool { return bytes.Equal(m, mac) }))
	}
	if err := again(func() error { return n.commit(n.forgetRules(which)) }); err != nil {
		return fmt.Errorf("delete rules of ebtables: %w", err)
	}
	return nil
}

func (n *Conn) forgetRules(which func(*nftables.Rule) bool) error {
	table := &nftables.Table{Family: nftables.TableFamilyBridge, Name: "nat"}
	chains, err := n.library().ListChainsOfTableFamily(table.Family)
	if err != nil {
		return fmt.Errorf("list nftables chains: %w", listError(err))
	}
	for _, c := range chains {
		if c.Table.Name != table.Name {
			continue
		}
		rules, err := n.library().GetRules(table, c)
		if err != nil {
			return fmt.Errorf("list the rules of ebtables: %w", err)
		}
		for _, r := range rules {
			if !which(r) {
				continue
			}
			r.Table, r.Chain = table, c
			if err := n.library().DelRule(r); err != nil {
				return fmt.Errorf("delete a rule of ebtables: %w", err)
			}
		}
	}
	return nil
}

func isClassic(r *nftables.Rule, master string, macs []net.HardwareAddr) bool {
	mac := written(r)
	switch {
	case mac == nil:
		return false
	case bytes.Equal(mac, net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff,
		0xff}): // ARP replies from the fabric, to everybody
		return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
			cmp, ok := e.(*expr.Cmp)
			return ok && bytes.Equal(bytes.TrimRight(cmp.Data, "\x00"), []byte(master))
		})
	}
	return bytes.Equal(mac, azure.FabricMAC) ||
		slices.ContainsFunc(macs, func(m net.HardwareAddr) bool { return bytes.Equal(m, mac) })
}

// written is the MAC that a rule's target writes: ebt_nat_info and ebt_arpreply_info begin with it
// (include/uapi/linux/netfilter_bridge).
func written(r *nftables.Rule) net.HardwareAddr {
	for _, e := range r.Exprs {
		target, ok := e.(*expr.Target)
		if !ok || !slices.Contains([]string{"dnat", "snat", "arpreply"}, target.Name) {
			continue
		}
		if info, ok := target.Info.(*xt.Unknown); ok && len(*info) >= 6 {
			return net.HardwareAddr((*info)[:6])
		}
	}
	return nil
}
