package nft

import (
	"fmt"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// What every ADD tells nftables: that there is one more pod. The library would open a second socket for that.

// insert adds elements, all or none. What is there already is success.
// Errors: EEXIST or EBUSY if an address has another MAC.
func (n *Conn) insert(elements []Element) error {
	var err error
	if slices.ContainsFunc(elements, func(e Element) bool { return e.Family == FamilyNetdev }) {
		err = n.commit(n.addPods(elements)) // with a chain for each, which the library makes
	} else if err = n.openRaw(); err == nil {
		var requests [][]byte
		for _, e := range elements {
			for _, part := range e.entries() {
				requests = append(requests, wire.Request(subsystem|unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, part.body()))
			}
		}
		err = n.raw.Transact(unix.NFNL_SUBSYS_NFTABLES, requests...)
	}
	if err != nil {
		return fmt.Errorf("add nftables elements: %w", err)
	}
	return nil
}

// body is that of a request about the entry. Where it has a key only, it asks for the rest.
func (e entry) body() []byte {
	nested := func(typ uint16, value []byte) []byte { return wire.AppendAttr(nil, typ|unix.NLA_F_NESTED, value) }
	data := func(typ uint16, b []byte) []byte { return nested(typ, wire.AppendAttr(nil, unix.NFTA_DATA_VALUE, b)) }
	parts := data(unix.NFTA_SET_ELEM_KEY, e.element.Key)
	if len(e.element.Val) > 0 {
		parts = append(parts, data(unix.NFTA_SET_ELEM_DATA, e.element.Val)...)
	}
	if e.element.Comment != "" {
		parts = wire.AppendAttr(parts, unix.NFTA_SET_ELEM_USERDATA,
			userdata.AppendString(nil, userdata.NFTNL_UDATA_SET_ELEM_COMMENT, e.element.Comment))
	}
	const first = 1 // the elements of a list have numbers
	return append(about(e.set.Table, unix.NFTA_SET_ELEM_LIST_SET, e.set.Name),
		nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, nested(first, parts))...)
}
