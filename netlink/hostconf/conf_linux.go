package hostconf

import (
	"errors"
	"fmt"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// Conf is what a host interface carries, as the kernel's own messages. To move it, the messages are sent back
// with another interface in them, so labels, lifetimes, metrics, tables, source addresses and whatever the kernel
// adds in future come along.
type Conf struct {
	Dev    rtnl.Device // where it was read
	Addrs  []rtnl.Message
	Routes Routes
	Neighs []rtnl.Message
	Rules  []rtnl.Message // that name the interface
}

// Of is the part of the configuration that is wanted, without policy rules.
func (c Conf) Of(wanted func(rtnl.Message) bool) Conf {
	part := func(list []rtnl.Message) []rtnl.Message {
		return slices.DeleteFunc(slices.Clone(list), func(m rtnl.Message) bool { return !wanted(m) })
	}
	out := Conf{Dev: c.Dev, Addrs: part(c.Addrs), Routes: c.Routes, Neighs: part(c.Neighs)}
	for _, list := range append(out.Routes.all(), &out.Routes.onLink) {
		*list = part(*list)
	}
	return out
}

// Besides marks as lost what a device has not of the nexthop objects and of the routes by them: the kernel flushes
// those of a bridge without a port (net/ipv4/nexthop.c, nh_netdev_event), and they are not sent otherwise.
func (c Conf) Besides(have Conf) Conf {
	there := map[string]bool{}
	for _, m := range have.All() {
		there[m.Keys()[0]] = true
	}
	mark := func(m rtnl.Message) rtnl.Message {
		m.Lost = !there[m.Keys()[0]]
		return m
	}
	c.Routes.groups, c.Routes.byObject = each(c.Routes.groups, mark), each(c.Routes.byObject, mark)
	return c
}

// All lists addresses and routes.
func (c Conf) All() []rtnl.Message {
	list := slices.Clone(c.Addrs)
	for _, routes := range c.Routes.all() {
		list = append(list, *routes...)
	}
	return list
}

// Read reads what the interface carries. What the kernel makes by itself is left out: its link-local IPv6
// addresses, connected and local routes, neighbours that are not resolved.
func Read(s *wire.Socket, dev rtnl.Device) (Conf, error) {
	c, err := ReadCarried(s, dev)
	if err == nil {
		c.Rules, err = ReadRules(s, dev.Name)
	}
	if err != nil {
		return Conf{}, fmt.Errorf("read the configuration of %s: %w", dev.Name, err)
	}
	return c, nil
}

// ReadCarried leaves out the policy rules.
func ReadCarried(s *wire.Socket, dev rtnl.Device) (Conf, error) {
	c := Conf{Dev: dev}
	var errs [4]error
	all, err := rtnl.Dump(s, unix.RTM_GETADDR, unix.RTM_NEWADDR, rtnl.Listing{Index: dev.Index}, rtnl.Message.IsIP)
	errs[0] = err
	c.Addrs = slices.DeleteFunc(slices.Clone(all), func(m rtnl.Message) bool { return !m.IsAddress() })
	// The kernel lists the newest IPv6 address first, and prefers it: the oldest one goes first.
	v6 := slices.IndexFunc(c.Addrs, func(m rtnl.Message) bool { return m.Family() == unix.AF_INET6 })
	if v6 >= 0 {
		slices.Reverse(c.Addrs[v6:])
	}
	c.Routes, errs[1] = readRoutes(s, dev.Index, all)
	c.Neighs, errs[2] = rtnl.Dump(s, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH,
		rtnl.Listing{Index: dev.Index}, rtnl.Message.IsNeighbour)
	proxies, err := rtnl.Dump(s, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH,
		rtnl.Listing{Index: dev.Index, Flags: unix.NTF_PROXY}, func(m rtnl.Message) bool {
			return m.Header[10]&unix.NTF_PROXY != 0
		})
	c.Neighs, errs[3] = append(c.Neighs, proxies...), err
	return c, errors.Join(errs[:]...)
}

// ReadRules reads the policy rules that name the interface, whether it is there or not.
func ReadRules(s *wire.Socket, name string) ([]rtnl.Message, error) {
	return rtnl.Dump(s, unix.RTM_GETRULE, unix.RTM_NEWRULE, rtnl.Listing{},
		func(m rtnl.Message) bool { return m.RuleNames(name) })
}

// AddTo appends the requests that give the configuration to a device. What is there already is updated: a DHCP
// client that renewed its lease on the old device meant this address.
func (c Conf) AddTo(b *rtnl.Batch, to rtnl.Device) {
	for _, m := range c.Addrs {
		what := fmt.Sprintf("add address %s to %s", m.Addr(unix.IFA_ADDRESS), to.Name)
		flags := unix.NLM_F_CREATE | unix.NLM_F_REPLACE
		if m.Lost {
			flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
		}
		// A new IPv6 address would be checked for duplicates, and be of no use for a second, though it is ours already.
		b.Add(what, m.NewAddr(flags, unix.IFA_F_NODAD, c.Dev, to), m.Ignore()...)
		if m.Family() == unix.AF_INET6 && m.U32(unix.IFA_FLAGS)&unix.IFA_F_NODAD == 0 {
			b.Add(what, m.NewAddr(unix.NLM_F_REPLACE, 0, c.Dev, to), m.Ignore()...)
		}
	}
	c.Routes.AddTo(b, c.Dev, to)
	for _, m := range c.Neighs {
		b.Add(fmt.Sprintf("add neighbour %s to %s", m.Addr(unix.NDA_DST), to.Name), m.NewNeigh(to), m.Ignore()...)
	}
	for _, m := range c.Rules {
		b.Add(m.Rule("add", to), m.NewRule(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, c.Dev, to),
			m.Ignore(unix.EEXIST)...)
	}
}

// Remove appends the requests that take the configuration off the device that it was read from. Secondary
// addresses go before their primary, and what disappears along with something else is no failure.
func (c Conf) Remove(b *rtnl.Batch) {
	c.RemoveRules(b, c.Dev)
	c.Routes.remove(b, c.Dev)
	for _, m := range slices.Backward(c.Addrs) {
		b.Add(fmt.Sprintf("delete address %s from %s", m.Addr(unix.IFA_ADDRESS), c.Dev.Name), m.DelAddr(), unix.EADDRNOTAVAIL)
	}
	for _, m := range c.Neighs {
		if !m.Stays() {
			continue // ages out by itself
		}
		req := m.Request(unix.RTM_DELNEIGH, 0, m.Header,
			func(typ uint16, data []byte) ([]byte, bool) { return data, typ == unix.NDA_DST })
		b.Add(fmt.Sprintf("delete neighbour %s from %s", m.Addr(unix.NDA_DST), c.Dev.Name), req, unix.ENOENT)
	}
}

// RemoveRules takes the policy rules away that name the device instead of the one where they were read: they do not
// go with their interface.
func (c Conf) RemoveRules(b *rtnl.Batch, dev rtnl.Device) {
	for _, m := range c.Rules {
		b.Add(m.Rule("delete", dev), m.NewRule(unix.RTM_DELRULE, 0, c.Dev, dev), unix.ENOENT)
	}
}
