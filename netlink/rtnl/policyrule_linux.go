package rtnl

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// TableOf is the number of the routing table of ours that is about an interface.
func TableOf(index int) uint32 { return firstTable + uint32(index)%tables }

// Where our tables are; so far up nobody else has any. An index may be large: it grows with each interface that there
// ever was.
const firstTable, tables = 0x61000000, 1 << 24

// IsTable says whether a table is one of ours.
func IsTable(table uint32) bool { return table > firstTable && table < firstTable+tables }

// PolicyRule is a rule of ours ("ip rule"): what it matches, and the table that it leads to.
type PolicyRule struct {
	Priority uint32
	Family   byte
	From, To netip.Prefix // invalid: all
	Mark     uint32       // as value and mask; 0: all
	Table    uint32
	Longer   int // only routes with prefixes longer than that count; -1: all
}

// request is the message that makes or deletes the rule. As the kernel's own it stays when systemd-networkd starts,
// which deletes those of others (networkd.conf(5), ManageForeignRoutingPolicyRules=).
func (r PolicyRule) request(typ, flags int) *nl.NetlinkRequest {
	const protocol = 21 // FRA_PROTOCOL, include/uapi/linux/fib_rules.h
	header, attrs := make([]byte, wire.HeaderLen(unix.RTM_NEWRULE)), []byte(nil)
	header[0] = r.Family
	add := func(a *nl.RtAttr) { attrs = append(attrs, a.Serialize()...) }
	add(U32(unix.FRA_PRIORITY, r.Priority))
	add(U8(protocol, unix.RTPROT_KERNEL))
	if r.From.IsValid() {
		header[2] = byte(r.From.Bits())
		add(Bytes(unix.FRA_SRC, r.From.Addr().AsSlice()))
	}
	if r.To.IsValid() {
		header[1] = byte(r.To.Bits())
		add(Bytes(unix.FRA_DST, r.To.Addr().AsSlice()))
	}
	if r.Mark != 0 {
		add(U32(unix.FRA_FWMARK, r.Mark))
		add(U32(unix.FRA_FWMASK, r.Mark))
	}
	header[7] = unix.FR_ACT_TO_TBL
	add(U32(unix.FRA_TABLE, r.Table))
	if r.Longer >= 0 {
		add(U32(unix.FRA_SUPPRESS_PREFIXLEN, uint32(r.Longer)))
	}
	req := nl.NewNetlinkRequest(typ, flags)
	req.AddRawData(header)
	req.AddRawData(attrs)
	return req
}

// policyRuleOf reads a rule. What ours do not have is left out: only rules of our own priorities are to be compared.
func policyRuleOf(m Message) PolicyRule {
	r := PolicyRule{Priority: m.U32(unix.FRA_PRIORITY), Family: m.Family(), Mark: m.U32(unix.FRA_FWMARK),
		Table: m.U32(unix.FRA_TABLE), Longer: -1}
	if a := m.Addr(unix.FRA_SRC); a.IsValid() {
		r.From = netip.PrefixFrom(a, int(m.Header[2]))
	}
	if a := m.Addr(unix.FRA_DST); a.IsValid() {
		r.To = netip.PrefixFrom(a, int(m.Header[1]))
	}
	if d := m.Get(unix.FRA_SUPPRESS_PREFIXLEN); len(d) >= 4 {
		r.Longer = int(int32(binary.NativeEndian.Uint32(d)))
	}
	return r
}

// String is as "ip rule" names it.
func (r PolicyRule) String() string {
	switch {
	case r.Mark != 0:
		return fmt.Sprintf("rule %d for mark %#x", r.Priority, r.Mark)
	case r.From.IsValid():
		return fmt.Sprintf("rule %d from %s", r.Priority, r.From)
	case r.To.IsValid():
		return fmt.Sprintf("rule %d to %s", r.Priority, r.To)
	}
	return fmt.Sprintf("rule %d", r.Priority)
}

// PolicyRules lists the rules that are wanted.
func PolicyRules(s *wire.Socket, wanted func(PolicyRule) bool) (list []PolicyRule, err error) {
	found, err := Dump(s, unix.RTM_GETRULE, unix.RTM_NEWRULE, Listing{}, func(m Message) bool { return m.IsIP() })
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

// ReplaceRules appends what makes the wanted rules of those that are there. New ones come first, so that no packet
// meets neither.
func ReplaceRules(b *Batch, have, want []PolicyRule) {
	there, wanted := map[PolicyRule]bool{}, map[PolicyRule]bool{}
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
