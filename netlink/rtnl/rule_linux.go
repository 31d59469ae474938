package rtnl

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Where a rule names an interface (include/uapi/linux/fib_rules.h, FRA_IIFNAME and FRA_OIFNAME).
func isRuleName(typ uint16) bool { return typ == unix.FRA_IIFNAME || typ == unix.FRA_OIFNAME }

// RuleNames says whether the policy rule names the interface.
func (m Message) RuleNames(name string) bool {
	return slices.ContainsFunc(m.Attrs,
		func(a wire.Attr) bool { return isRuleName(a.Type) && string(bytes.TrimRight(a.Value, "\x00")) == name })
}

// NewRule is the request that makes or deletes the rule for an interface, in place of the one that it names.
func (m Message) NewRule(typ, flags int, from, to Device) *nl.NetlinkRequest {
	header := append([]byte(nil), m.Header...)
	const invert = 2 // FIB_RULE_INVERT; the other flags are state
	binary.NativeEndian.PutUint32(header[8:], binary.NativeEndian.Uint32(header[8:])&invert)
	return m.Request(typ, flags, header, func(typ uint16, data []byte) ([]byte, bool) {
		if isRuleName(typ) && string(bytes.TrimRight(data, "\x00")) == from.Name {
			return nl.ZeroTerminated(to.Name), true
		}
		return data, true
	})
}

// Rule names a change of the rule for messages.
func (m Message) Rule(verb string, dev Device) string {
	return fmt.Sprintf("%s rule %d for %s", verb, m.U32(unix.FRA_PRIORITY), dev.Name)
}
