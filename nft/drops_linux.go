package nft

import (
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// Drop is what a rule has dropped of what pods sent, since the rule was made.
type Drop struct {
	Name    string // the bridge, or in transparent mode the master
	Reason  string // the rule's comment
	Packets uint64
}

// Drops reads the counters of the rules that judge what pods send.
func (n *Conn) Drops() ([]Drop, error) {
	scopes, err := n.Scopes()
	if err != nil {
		return nil, err
	}
	var out []Drop
	for _, s := range scopes {
		for _, name := range chainsOfPods {
			chain := s.chainName(name)
			rules, err := n.library().GetRules(s.table(), &nftables.Chain{Table: s.table(), Name: chain})
			if err != nil {
				return nil, fmt.Errorf("list nftables rules of %s: %w", chain, listError(err))
			}
			for _, r := range rules {
				if packets, ok := dropped(r); ok {
					text, _ := userdata.GetString(r.UserData, userdata.TypeComment)
					_, reason, _ := strings.Cut(text, " ") // behind the hash
					out = append(out, Drop{s.Name, reason, packets})
				}
			}
		}
	}
	return out, nil
}

func dropped(r *nftables.Rule) (packets uint64, ok bool) {
	v := verdictOf(r)
	if v == nil || v.Kind != expr.VerdictDrop {
		return 0, false
	}
	for _, e := range r.Exprs {
		if c, is := e.(*expr.Counter); is {
			return c.Packets, true
		}
	}
	return 0, false
}
