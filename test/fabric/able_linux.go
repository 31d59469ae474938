package fabric

import (
	"errors"
	"fmt"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// abilities are what the fabric can do without, at a cost that the tests of plugins do not see.
type abilities struct {
	egress bool // hooks of nftables where frames leave (5.16)
	dup    bool // CONFIG_NFT_DUP_NETDEV: ARP is answered where it arrives, else by a process
}

// able says what the kernel has. It has to be called in a namespace of the fabric's.
var able = sync.OnceValues(func() (can abilities, err error) {
	conn, err := nftables.New()
	if err != nil {
		return can, fmt.Errorf("open nftables: %w", err)
	}
	if can.egress, err = takes(conn, nftables.ChainHookEgress); err != nil {
		return can, err
	}
	can.dup, err = takes(conn, nftables.ChainHookIngress, &expr.Immediate{Register: 1, Data: []byte{1, 0, 0, 0}},
		&expr.Dup{RegDev: 1, IsRegDevSet: true})
	return can, err
})

// takes says whether the kernel takes a chain at the hook, with a rule. It tries in a transaction that fails at its end
// in any case, since it makes the same table twice, so the kernel keeps nothing of it.
func takes(conn *nftables.Conn, hook *nftables.ChainHook, rule ...expr.Any) (bool, error) {
	table := &nftables.Table{Name: "probe", Family: nftables.TableFamilyNetdev}
	conn.AddTable(table)
	chain := conn.AddChain(&nftables.Chain{Table: table, Name: "probe", Type: nftables.ChainTypeFilter, Hooknum: hook,
		Priority: nftables.ChainPriorityFilter, Device: "lo"})
	if len(rule) > 0 {
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule})
	}
	conn.CreateTable(table)
	err := conn.Flush()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return false, fmt.Errorf("probe nftables: %w", err)
	}
	return true, nil
}
