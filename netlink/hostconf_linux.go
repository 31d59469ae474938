package netlink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// device is an end of a move.
type device struct {
	index int
	name  string
}

// hostConf is what a host interface carries, as the kernel's own messages. To move it, the messages are sent back
// with another interface in them, so labels, lifetimes, metrics, tables, source addresses and whatever the kernel
// adds in future come along.
type hostConf struct {
	dev    device // where it was read
	addrs  []kernelMessage
	routes hostRoutes
	neighs []kernelMessage
	rules  []kernelMessage // that name the interface
}

// of is the part of the configuration that is wanted, without policy rules.
func (c hostConf) of(wanted func(kernelMessage) bool) hostConf {
	part := func(list []kernelMessage) []kernelMessage {
		return slices.DeleteFunc(slices.Clone(list), func(m kernelMessage) bool { return !wanted(m) })
	}
	out := hostConf{dev: c.dev, addrs: part(c.addrs), routes: c.routes, neighs: part(c.neighs)}
	for _, list := range append(out.routes.all(), &out.routes.onLink) {
		*list = part(*list)
	}
	return out
}

// besides marks as lost what a device has not of the nexthop objects and of the routes by them: the kernel flushes
// those of a bridge without a port (net/ipv4/nexthop.c, nh_netdev_event), and they are not sent otherwise.
func (c hostConf) besides(have hostConf) hostConf {
	there := map[string]bool{}
	for _, m := range have.all() {
		there[m.keys()[0]] = true
	}
	mark := func(m kernelMessage) kernelMessage {
		m.lost = !there[m.keys()[0]]
		return m
	}
	c.routes.groups, c.routes.byObject = each(c.routes.groups, mark), each(c.routes.byObject, mark)
	return c
}

// all lists addresses and routes.
func (c hostConf) all() []kernelMessage {
	list := slices.Clone(c.addrs)
	for _, routes := range c.routes.all() {
		list = append(list, *routes...)
	}
	return list
}

// keys are what an address, a route or a nexthop object is known by on its interface. A route of several paths is known
// by each, too: IPv6 has only one route for a prefix and metric.
func (m kernelMessage) keys() []string {
	switch m.Type {
	case unix.RTM_NEWADDR:
		return []string{"address " + m.addrKey()}
	case unix.RTM_NEWROUTE:
		list := []string{"route " + m.pathKey()}
		for _, l := range m.legs() {
			if attrs, err := wire.ParseAttrs(l[rtnexthopLen:]); err == nil {
				one := m
				one.Attrs = slices.Concat(attrs, m.Attrs)
				list = append(list, "route "+one.pathKey())
			}
		}
		return list
	}
	return []string{fmt.Sprintf("nexthop %d", m.U32(nhaID))}
}

// name names them for messages.
func (m kernelMessage) name() string {
	switch m.Type {
	case unix.RTM_NEWADDR:
		return fmt.Sprintf("address %s/%d", m.Prefix().Addr(), m.Header[1])
	case unix.RTM_NEWROUTE:
		return "route " + m.route()
	}
	return m.keys()[0]
}

// ifaProto is IFA_PROTO (include/uapi/linux/if_addr.h, Linux 5.18): who made the address. 1 to 3 is the kernel.
const ifaProto, ifaProtoKernel = 11, 3

// readHostConf reads what the interface carries. What the kernel makes by itself is left out: its link-local IPv6
// addresses, connected and local routes, neighbours that are not resolved.
func (h *Handle) readHostConf(dev device) (hostConf, error) {
	c, err := h.readCarried(dev)
	if err == nil {
		c.rules, err = h.readRules(dev.name)
	}
	if err != nil {
		return hostConf{}, fmt.Errorf("read the configuration of %s: %w", dev.name, err)
	}
	return c, nil
}

// readCarried leaves out the policy rules.
func (h *Handle) readCarried(dev device) (hostConf, error) {
	c := hostConf{dev: dev}
	var errs [4]error
	all, err := h.dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, listing{index: dev.index}, kernelMessage.isIP)
	errs[0] = err
	c.addrs = slices.DeleteFunc(slices.Clone(all), func(m kernelMessage) bool { return !m.isAddress() })
	// The kernel lists the newest IPv6 address first, and prefers it: the oldest one goes first.
	v6 := slices.IndexFunc(c.addrs, func(m kernelMessage) bool { return m.Family() == unix.AF_INET6 })
	if v6 >= 0 {
		slices.Reverse(c.addrs[v6:])
	}
	c.routes, errs[1] = h.readRoutes(dev.index, all)
	c.neighs, errs[2] = h.dump(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, listing{index: dev.index}, kernelMessage.isNeighbour)
	proxies, err := h.dump(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, listing{index: dev.index, flags: unix.NTF_PROXY}, func(m kernelMessage) bool {
		return m.Header[10]&unix.NTF_PROXY != 0
	})
	c.neighs, errs[3] = append(c.neighs, proxies...), err
	return c, errors.Join(errs[:]...)
}

// isIP says whether the message is about IPv4 or IPv6.
func (m kernelMessage) isIP() bool { return m.Family() == unix.AF_INET || m.Family() == unix.AF_INET6 }

// isAddress leaves out the kernel's own link-local addresses.
func (m kernelMessage) isAddress() bool {
	if m.Family() != unix.AF_INET6 {
		return true
	}
	proto := m.Get(ifaProto)
	byKernel := len(proto) == 1 && proto[0] <= ifaProtoKernel || m.U32(unix.IFA_FLAGS)&unix.IFA_F_STABLE_PRIVACY != 0
	return m.Header[3] != unix.RT_SCOPE_LINK || !byKernel
}

// readRules reads the policy rules that name the interface, whether it is there or not.
func (h *Handle) readRules(name string) ([]kernelMessage, error) {
	return h.dump(unix.RTM_GETRULE, unix.RTM_NEWRULE, listing{}, func(m kernelMessage) bool { return m.ruleNames(name) })
}

// isNeighbour leaves out what is not resolved, and what the kernel notes of multicast addresses.
func (m kernelMessage) isNeighbour() bool {
	mac, state := m.Get(unix.NDA_LLADDR), m.neighbourState()
	return m.isIP() && len(mac) == 6 && mac[0]&1 == 0 && state&(unix.NUD_INCOMPLETE|unix.NUD_FAILED) == 0 && state != unix.NUD_NONE
}

// neighbourState is struct ndmsg's: NUD_….
func (m kernelMessage) neighbourState() uint16 { return binary.NativeEndian.Uint16(m.Header[8:]) }

// stays says whether the neighbour, or proxy, is there until somebody removes it.
func (m kernelMessage) stays() bool {
	return m.Header[10]&unix.NTF_PROXY != 0 || m.neighbourState()&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0
}

// addTo appends the requests that give the configuration to a device. What is there already is updated: a DHCP
// client that renewed its lease on the old device meant this address.
func (c hostConf) addTo(b *batch, to device) {
	for _, m := range c.addrs {
		what := fmt.Sprintf("add address %s to %s", m.Addr(unix.IFA_ADDRESS), to.name)
		flags := unix.NLM_F_CREATE | unix.NLM_F_REPLACE
		if m.lost {
			flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
		}
		// A new IPv6 address would be checked for duplicates, and be of no use for a second, though it is ours already.
		b.add(what, m.newAddr(flags, unix.IFA_F_NODAD, c.dev, to), m.ignore()...)
		if m.Family() == unix.AF_INET6 && m.U32(unix.IFA_FLAGS)&unix.IFA_F_NODAD == 0 {
			b.add(what, m.newAddr(unix.NLM_F_REPLACE, 0, c.dev, to), m.ignore()...)
		}
	}
	c.routes.addTo(b, c.dev, to)
	for _, m := range c.neighs {
		b.add(fmt.Sprintf("add neighbour %s to %s", m.Addr(unix.NDA_DST), to.name), m.newNeigh(to), m.ignore()...)
	}
	for _, m := range c.rules {
		b.add(m.rule("add", to), m.newRule(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, c.dev, to), m.ignore(unix.EEXIST)...)
	}
}

// remove appends the requests that take the configuration off the device that it was read from. Secondary
// addresses go before their primary, and what disappears along with something else is no failure.
func (c hostConf) remove(b *batch) {
	c.removeRules(b, c.dev)
	c.routes.remove(b, c.dev)
	for _, m := range slices.Backward(c.addrs) {
		req := m.request(unix.RTM_DELADDR, 0, m.Header, func(typ uint16, data []byte) ([]byte, bool) {
			return data, typ == unix.IFA_LOCAL || typ == unix.IFA_ADDRESS
		})
		b.add(fmt.Sprintf("delete address %s from %s", m.Addr(unix.IFA_ADDRESS), c.dev.name), req, unix.EADDRNOTAVAIL)
	}
	for _, m := range c.neighs {
		if !m.stays() {
			continue // ages out by itself
		}
		req := m.request(unix.RTM_DELNEIGH, 0, m.Header, func(typ uint16, data []byte) ([]byte, bool) { return data, typ == unix.NDA_DST })
		b.add(fmt.Sprintf("delete neighbour %s from %s", m.Addr(unix.NDA_DST), c.dev.name), req, unix.ENOENT)
	}
}

// removeRules takes the policy rules away that name the device instead of the one where they were read: they do not
// go with their interface.
func (c hostConf) removeRules(b *batch, dev device) {
	for _, m := range c.rules {
		b.add(m.rule("delete", dev), m.newRule(unix.RTM_DELRULE, 0, c.dev, dev), unix.ENOENT)
	}
}

// newAddr adds flag to those of an IPv6 address.
func (m kernelMessage) newAddr(nlFlags int, flag uint32, from, to device) *nl.NetlinkRequest {
	header := append([]byte(nil), m.Header...)
	binary.NativeEndian.PutUint32(header[4:], uint32(to.index))
	if m.Family() != unix.AF_INET6 {
		flag = 0
	}
	header[2] = header[2]&^byte(addrState&0xff) | byte(flag)
	return m.request(unix.RTM_NEWADDR, nlFlags, header, func(typ uint16, data []byte) ([]byte, bool) {
		switch typ {
		case unix.IFA_LABEL:
			label := strings.TrimRight(string(data), "\x00")
			if label == from.name || strings.HasPrefix(label, from.name+":") {
				label = to.name + strings.TrimPrefix(label, from.name)
			}
			return nl.ZeroTerminated(label), len(label) < unix.IFNAMSIZ
		case unix.IFA_FLAGS:
			return binary.NativeEndian.AppendUint32(nil, wire.U32(data)&^addrState|flag), true
		}
		return data, true
	})
}

// addrState are the flags by which the kernel says how an address is doing.
const addrState = unix.IFA_F_PERMANENT | unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_SECONDARY | unix.IFA_F_DEPRECATED

func (m kernelMessage) newNeigh(to device) *nl.NetlinkRequest {
	const ndaProtocol = 12 // include/uapi/linux/neighbour.h
	header := append([]byte(nil), m.Header...)
	binary.NativeEndian.PutUint32(header[4:], uint32(to.index))
	if !m.stays() {
		binary.NativeEndian.PutUint16(header[8:], unix.NUD_STALE) // used at once, verified soon
	}
	return m.request(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, header, func(typ uint16, data []byte) ([]byte, bool) {
		return data, typ == unix.NDA_DST || typ == unix.NDA_LLADDR || typ == ndaProtocol
	})
}

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
