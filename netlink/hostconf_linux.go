package netlink

import (
	"errors"
	"fmt"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

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

// readHostConf reads what the interface carries. What the kernel makes by itself is left out: its link-local IPv6
// addresses, connected and local routes, neighbours that are not resolved.
func readHostConf(s *wire.Socket, dev device) (hostConf, error) {
	c, err := readCarried(s, dev)
	if err == nil {
		c.rules, err = readRules(s, dev.name)
	}
	if err != nil {
		return hostConf{}, fmt.Errorf("read the configuration of %s: %w", dev.name, err)
	}
	return c, nil
}

// readCarried leaves out the policy rules.
func readCarried(s *wire.Socket, dev device) (hostConf, error) {
	c := hostConf{dev: dev}
	var errs [4]error
	all, err := dump(s, unix.RTM_GETADDR, unix.RTM_NEWADDR, listing{index: dev.index}, kernelMessage.isIP)
	errs[0] = err
	c.addrs = slices.DeleteFunc(slices.Clone(all), func(m kernelMessage) bool { return !m.isAddress() })
	// The kernel lists the newest IPv6 address first, and prefers it: the oldest one goes first.
	v6 := slices.IndexFunc(c.addrs, func(m kernelMessage) bool { return m.Family() == unix.AF_INET6 })
	if v6 >= 0 {
		slices.Reverse(c.addrs[v6:])
	}
	c.routes, errs[1] = readRoutes(s, dev.index, all)
	c.neighs, errs[2] = dump(s, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, listing{index: dev.index}, kernelMessage.isNeighbour)
	proxies, err := dump(s, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, listing{index: dev.index, flags: unix.NTF_PROXY}, func(m kernelMessage) bool {
		return m.Header[10]&unix.NTF_PROXY != 0
	})
	c.neighs, errs[3] = append(c.neighs, proxies...), err
	return c, errors.Join(errs[:]...)
}

// readRules reads the policy rules that name the interface, whether it is there or not.
func readRules(s *wire.Socket, name string) ([]kernelMessage, error) {
	return dump(s, unix.RTM_GETRULE, unix.RTM_NEWRULE, listing{}, func(m kernelMessage) bool { return m.ruleNames(name) })
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

// podRoute is the protocol of those routes (struct rtmsg, rtm_protocol): they are the pods' and no part of the host's
// own configuration.
const podRoute = 0x7a
