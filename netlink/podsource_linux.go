package netlink

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"golang.org/x/sys/unix"
)

// A pod in several networks has a default route by the first, and answers by it what came by another one: from an
// address that nobody there lets it use. So whatever the pod sends from an address goes by that address' interface, as
// far as that has a route.

// sourcePriority is that of the pod's rules.
const sourcePriority = 1000

// bySource gives each interface of a pod with several a table with its routes, and a rule for each of its addresses. A
// pod with one needs none; what is left of interfaces that are gone is deleted. others are the routes that were there
// before this interface's.
func (h *Handle) bySource(l Link, others []rtnl.Message) error {
	if !slices.ContainsFunc(others,
		func(m rtnl.Message) bool { return m.U32(unix.RTA_OIF) != uint32(l.Index) && !m.IsLinkLocals() }) {
		return nil
	}
	routes, err := h.mainRoutes()
	if err != nil {
		return fmt.Errorf("list routes in the pod: %w", err)
	}
	addrs, err := rtnl.Dump(h.socket, unix.RTM_GETADDR, unix.RTM_NEWADDR, rtnl.Listing{}, rtnl.Message.IsIP)
	if err != nil {
		return fmt.Errorf("list addresses in the pod: %w", err)
	}
	have, err := rtnl.PolicyRules(h.socket, isSource)
	if err != nil {
		return err
	}
	b := &rtnl.Batch{}
	for _, viaGateway := range []bool{false, true} { // a gateway has to be known when it is named
		for _, m := range routes {
			dev := rtnl.Device{Index: int(m.U32(unix.RTA_OIF))}
			if dev.Index == 0 || m.IsLinkLocals() || m.ViaGateway() != viaGateway {
				continue
			}
			var ignore []syscall.Errno
			if dev.Index != l.Index { // as far as others' routes fit
				ignore = append(ignore, rtnl.Anything)
			}
			b.Add("copy route "+m.Route(),
				inTable(m, rtnl.TableOf(dev.Index)).NewRoute(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, dev, dev),
				ignore...)
		}
	}
	rtnl.ReplaceRules(b, have, sourceRules(addrs))
	return b.Send(h.socket)
}

func isSource(r rtnl.PolicyRule) bool { return r.Priority == sourcePriority && rtnl.IsTable(r.Table) }

func sourceRules(addrs []rtnl.Message) (list []rtnl.PolicyRule) {
	for _, m := range addrs {
		a := m.Prefix().Addr()
		if a.IsValid() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			list = append(list, rtnl.PolicyRule{Priority: sourcePriority, Family: m.Family(),
				From: netip.PrefixFrom(a, a.BitLen()), Table: rtnl.TableOf(m.Index()), Longer: -1})
		}
	}
	return list
}

// inTable is a route as another table has it.
func inTable(m rtnl.Message, table uint32) rtnl.Message {
	m.Header = slices.Clone(m.Header)
	m.Header[4] = unix.RT_TABLE_UNSPEC // struct rtmsg: rtm_table; the attribute counts
	m.Attrs = slices.Clone(m.Attrs)
	for i, a := range m.Attrs {
		if a.Type == unix.RTA_TABLE {
			m.Attrs[i].Value = rtnl.U32(unix.RTA_TABLE, table).Data
		}
	}
	return m
}
