package netlink

import (
	"errors"
	"fmt"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// hostConf is what a host interface carries, as the kernel's own messages. To move it, the messages are sent back
// with another interface in them, so labels, lifetimes, metrics, tables, source addresses and whatever the kernel
// adds in future come along.
type hostConf struct {
	dev    rtnl.Device // where it was read
	addrs  []rtnl.Message
	routes hostRoutes
	neighs []rtnl.Message
	rules  []rtnl.Message // that name the interface
}

// of is the part of the configuration that is wanted, without policy rules.
func (c hostConf) of(wanted func(rtnl.Message) bool) hostConf {
	part := func(list []rtnl.Message) []rtnl.Message {
		return slices.DeleteFunc(slices.Clone(list), func(m rtnl.Message) bool { return !wanted(m) })
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
		there[m.Keys()[0]] = true
	}
	mark := func(m rtnl.Message) rtnl.Message {
		m.Lost = !there[m.Keys()[0]]
		return m
	}
	c.routes.groups, c.routes.byObject = each(c.routes.groups, mark), each(c.routes.byObject, mark)
	return c
}

// all lists addresses and routes.
func (c hostConf) all() []rtnl.Message {
	list := slices.Clone(c.addrs)
	for _, routes := range c.routes.all() {
		list = append(list, *routes...)
	}
	return list
}

// readHostConf reads what the interface carries. What the kernel makes by itself is left out: its link-local IPv6
// addresses, connected and local routes, neighbours that are not resolved.
func readHostConf(s *wire.Socket, dev rtnl.Device) (hostConf, error) {
	c, err := readCarried(s, dev)
	if err == nil {
		c.rules, err = readRules(s, dev.Name)
	}
	if err != nil {
		return hostConf{}, fmt.Errorf("read the configuration of %s: %w", dev.Name, err)
	}
	return c, nil
}

// readCarried leaves out the policy rules.
func readCarried(s *wire.Socket, dev rtnl.Device) (hostConf, error) {
	c := hostConf{dev: dev}
	var errs [4]error
	all, err := rtnl.Dump(s, unix.RTM_GETADDR, unix.RTM_NEWADDR, rtnl.Listing{Index: dev.Index}, rtnl.Message.IsIP)
	errs[0] = err
	c.addrs = slices.DeleteFunc(slices.Clone(all), func(m rtnl.Message) bool { return !m.IsAddress() })
	// The kernel lists the newest IPv6 address first, and prefers it: the oldest one goes first.
	v6 := slices.IndexFunc(c.addrs, func(m rtnl.Message) bool { return m.Family() == unix.AF_INET6 })
	if v6 >= 0 {
		slices.Reverse(c.addrs[v6:])
	}
	c.routes, errs[1] = readRoutes(s, dev.Index, all)
	c.neighs, errs[2] = rtnl.Dump(s, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, rtnl.Listing{Index: dev.Index}, rtnl.Message.IsNeighbour)
	proxies, err := rtnl.Dump(s, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, rtnl.Listing{Index: dev.Index, Flags: unix.NTF_PROXY}, func(m rtnl.Message) bool {
		return m.Header[10]&unix.NTF_PROXY != 0
	})
	c.neighs, errs[3] = append(c.neighs, proxies...), err
	return c, errors.Join(errs[:]...)
}

// readRules reads the policy rules that name the interface, whether it is there or not.
func readRules(s *wire.Socket, name string) ([]rtnl.Message, error) {
	return rtnl.Dump(s, unix.RTM_GETRULE, unix.RTM_NEWRULE, rtnl.Listing{}, func(m rtnl.Message) bool { return m.RuleNames(name) })
}

// addTo appends the requests that give the configuration to a device. What is there already is updated: a DHCP
// client that renewed its lease on the old device meant this address.
func (c hostConf) addTo(b *rtnl.Batch, to rtnl.Device) {
	for _, m := range c.addrs {
		what := fmt.Sprintf("add address %s to %s", m.Addr(unix.IFA_ADDRESS), to.Name)
		flags := unix.NLM_F_CREATE | unix.NLM_F_REPLACE
		if m.Lost {
			flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
		}
		// A new IPv6 address would be checked for duplicates, and be of no use for a second, though it is ours already.
		b.Add(what, m.NewAddr(flags, unix.IFA_F_NODAD, c.dev, to), m.Ignore()...)
		if m.Family() == unix.AF_INET6 && m.U32(unix.IFA_FLAGS)&unix.IFA_F_NODAD == 0 {
			b.Add(what, m.NewAddr(unix.NLM_F_REPLACE, 0, c.dev, to), m.Ignore()...)
		}
	}
	c.routes.addTo(b, c.dev, to)
	for _, m := range c.neighs {
		b.Add(fmt.Sprintf("add neighbour %s to %s", m.Addr(unix.NDA_DST), to.Name), m.NewNeigh(to), m.Ignore()...)
	}
	for _, m := range c.rules {
		b.Add(m.Rule("add", to), m.NewRule(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, c.dev, to), m.Ignore(unix.EEXIST)...)
	}
}

// remove appends the requests that take the configuration off the device that it was read from. Secondary
// addresses go before their primary, and what disappears along with something else is no failure.
func (c hostConf) remove(b *rtnl.Batch) {
	c.removeRules(b, c.dev)
	c.routes.remove(b, c.dev)
	for _, m := range slices.Backward(c.addrs) {
		req := m.Request(unix.RTM_DELADDR, 0, m.Header, func(typ uint16, data []byte) ([]byte, bool) {
			return data, typ == unix.IFA_LOCAL || typ == unix.IFA_ADDRESS
		})
		b.Add(fmt.Sprintf("delete address %s from %s", m.Addr(unix.IFA_ADDRESS), c.dev.Name), req, unix.EADDRNOTAVAIL)
	}
	for _, m := range c.neighs {
		if !m.Stays() {
			continue // ages out by itself
		}
		req := m.Request(unix.RTM_DELNEIGH, 0, m.Header, func(typ uint16, data []byte) ([]byte, bool) { return data, typ == unix.NDA_DST })
		b.Add(fmt.Sprintf("delete neighbour %s from %s", m.Addr(unix.NDA_DST), c.dev.Name), req, unix.ENOENT)
	}
}

// removeRules takes the policy rules away that name the device instead of the one where they were read: they do not
// go with their interface.
func (c hostConf) removeRules(b *rtnl.Batch, dev rtnl.Device) {
	for _, m := range c.rules {
		b.Add(m.Rule("delete", dev), m.NewRule(unix.RTM_DELRULE, 0, c.dev, dev), unix.ENOENT)
	}
}

// podRoute is the protocol of those routes (struct rtmsg, rtm_protocol): they are the pods' and no part of the host's
// own configuration.
const podRoute = 0x7a
