package netlink

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// tableOf is the number of the routing table of ours that is about an interface.
func tableOf(index int) uint32 { return firstTable + uint32(index)%tables }

// Where our tables are; so far up nobody else has any. An index may be large: it grows with each interface that there
// ever was.
const firstTable, tables = 0x61000000, 1 << 24

func isTable(table uint32) bool { return table > firstTable && table < firstTable+tables }

// policyRule is a rule of ours ("ip rule"): what it matches, and the table that it leads to.
type policyRule struct {
	priority uint32
	family   byte
	from, to netip.Prefix // invalid: all
	mark     uint32       // as value and mask; 0: all
	table    uint32
	longer   int // only routes with prefixes longer than that count; -1: all
}

// request is the message that makes or deletes the rule. As the kernel's own it stays when systemd-networkd starts,
// which deletes those of others (networkd.conf(5), ManageForeignRoutingPolicyRules=).
func (r policyRule) request(typ, flags int) *nl.NetlinkRequest {
	const protocol = 21 // FRA_PROTOCOL, include/uapi/linux/fib_rules.h
	header, attrs := make([]byte, wire.HeaderLen(unix.RTM_NEWRULE)), []byte(nil)
	header[0] = r.family
	add := func(a *nl.RtAttr) { attrs = append(attrs, a.Serialize()...) }
	add(rtnl.U32(unix.FRA_PRIORITY, r.priority))
	add(rtnl.U8(protocol, unix.RTPROT_KERNEL))
	if r.from.IsValid() {
		header[2] = byte(r.from.Bits())
		add(rtnl.Bytes(unix.FRA_SRC, r.from.Addr().AsSlice()))
	}
	if r.to.IsValid() {
		header[1] = byte(r.to.Bits())
		add(rtnl.Bytes(unix.FRA_DST, r.to.Addr().AsSlice()))
	}
	if r.mark != 0 {
		add(rtnl.U32(unix.FRA_FWMARK, r.mark))
		add(rtnl.U32(unix.FRA_FWMASK, r.mark))
	}
	header[7] = unix.FR_ACT_TO_TBL
	add(rtnl.U32(unix.FRA_TABLE, r.table))
	if r.longer >= 0 {
		add(rtnl.U32(unix.FRA_SUPPRESS_PREFIXLEN, uint32(r.longer)))
	}
	req := nl.NewNetlinkRequest(typ, flags)
	req.AddRawData(header)
	req.AddRawData(attrs)
	return req
}

// policyRuleOf reads a rule. What ours do not have is left out: only rules of our own priorities are to be compared.
func policyRuleOf(m rtnl.Message) policyRule {
	r := policyRule{priority: m.U32(unix.FRA_PRIORITY), family: m.Family(), mark: m.U32(unix.FRA_FWMARK), table: m.U32(unix.FRA_TABLE), longer: -1}
	if a := m.Addr(unix.FRA_SRC); a.IsValid() {
		r.from = netip.PrefixFrom(a, int(m.Header[2]))
	}
	if a := m.Addr(unix.FRA_DST); a.IsValid() {
		r.to = netip.PrefixFrom(a, int(m.Header[1]))
	}
	if d := m.Get(unix.FRA_SUPPRESS_PREFIXLEN); len(d) >= 4 {
		r.longer = int(int32(binary.NativeEndian.Uint32(d)))
	}
	return r
}

// String is as "ip rule" names it.
func (r policyRule) String() string {
	switch {
	case r.mark != 0:
		return fmt.Sprintf("rule %d for mark %#x", r.priority, r.mark)
	case r.from.IsValid():
		return fmt.Sprintf("rule %d from %s", r.priority, r.from)
	case r.to.IsValid():
		return fmt.Sprintf("rule %d to %s", r.priority, r.to)
	}
	return fmt.Sprintf("rule %d", r.priority)
}

// policyRules lists the rules that are wanted.
func (h *Handle) policyRules(wanted func(policyRule) bool) (list []policyRule, err error) {
	found, err := rtnl.Dump(h.socket, unix.RTM_GETRULE, unix.RTM_NEWRULE, rtnl.Listing{}, func(m rtnl.Message) bool { return m.IsIP() })
	if err != nil {
		return nil, fmt.Errorf("list policy rules: %w", err)
	}
	for _, m := range found {
		if r := policyRuleOf(m); wanted(r) {
			list = append(list, r)
		}
	}
	return list, nil
}

// replaceRules appends what makes the wanted rules of those that are there. New ones come first, so that no packet
// meets neither.
func replaceRules(b *rtnl.Batch, have, want []policyRule) {
	there, wanted := map[policyRule]bool{}, map[policyRule]bool{}
	for _, r := range have {
		there[r] = true
	}
	for _, r := range want {
		if wanted[r] = true; !there[r] {
			b.Add("add "+r.String(), r.request(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL), unix.EEXIST)
			there[r] = true
		}
	}
	for _, r := range have {
		if !wanted[r] {
			b.Add("delete "+r.String(), r.request(unix.RTM_DELRULE, 0), unix.ENOENT)
		}
	}
}
