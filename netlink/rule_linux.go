package netlink

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

func (m kernelMessage) ruleNames(name string) bool {
	return slices.ContainsFunc(m.Attrs, func(a wire.Attr) bool { return isRuleName(a.Type) && string(bytes.TrimRight(a.Value, "\x00")) == name })
}

func (m kernelMessage) newRule(typ, flags int, from, to device) *nl.NetlinkRequest {
	header := append([]byte(nil), m.Header...)
	const invert = 2 // FIB_RULE_INVERT; the other flags are state
	binary.NativeEndian.PutUint32(header[8:], binary.NativeEndian.Uint32(header[8:])&invert)
	return m.request(typ, flags, header, func(typ uint16, data []byte) ([]byte, bool) {
		if isRuleName(typ) && string(bytes.TrimRight(data, "\x00")) == from.name {
			return nl.ZeroTerminated(to.name), true
		}
		return data, true
	})
}

func (m kernelMessage) rule(verb string, dev device) string {
	return fmt.Sprintf("%s rule %d for %s", verb, m.U32(unix.FRA_PRIORITY), dev.name)
}
