package netlink

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The fabric takes from a NIC only what comes from an address of that NIC. A host with several sends all by the one
// that has its default route, or by the one whose subnet a packet is for; so pods of another NIC need rules of their
// own.

// Bits of a packet's mark; the first is also one of a connection's. kube-proxy (0x4000, 0x8000), Calico (0xffff0000),
// Cilium (0x0f00) and Istio (0x539) have others.
const (
	AnswersMark = 0x40 // an answer to what came by the other NIC and was translated, so that it has to leave there
	PodsMark    = 0x80 // from a pod, or for one: its way is that of the pods' NIC
)

// The priorities of our rules: before those that somebody may have for the host's own addresses, which know nothing of
// pods.
const (
	priorityToPods  = 60 + iota // to a pod of this host: as the main table says
	priorityAnswers             // from pods' addresses, with AnswersMark: by the other NIC
	priorityPods                // from pods' addresses, with PodsMark: by theirs
)

// Policy is how the host routes what pods of a NIC send and get.
type Policy struct {
	Ways
	Pods   []netip.Prefix // their subnets
	Routed bool           // the host routes all that they send; else only what it translates

	Router6 netip.Addr // the fabric's IPv6 router, where the host knows none
}

// EnsurePolicy makes the policy rules, and the tables to which they lead, where they are missing. Several processes may
// do so at once. A host with one NIC and without policy rules of its own needs none.
// Error: ErrRoute if nobody says what the gateway of a NIC is.
func (h *Handle) EnsurePolicy(p Policy) error {
	b, err := h.planPolicy(p)
	if err != nil {
		return err
	}
	return b.Send(h.socket)
}

// PolicyInPlace says whether EnsurePolicy would do nothing.
// Error: that of EnsurePolicy.
func (h *Handle) PolicyInPlace(p Policy) (bool, error) {
	b, err := h.planPolicy(p)
	return err == nil && b.Empty(), err
}

func (h *Handle) planPolicy(p Policy) (*rtnl.Batch, error) {
	b := &rtnl.Batch{}
	all, err := rtnl.PolicyRules(h.socket, func(rtnl.PolicyRule) bool { return true })
	if err != nil {
		return nil, err
	}
	want := p.rules(slices.ContainsFunc(all, isSomebodys))
	have := ourRules(all)
	if len(want) == 0 && len(have) == 0 {
		return b, nil
	}
	if err := h.fillTables(b, p, want); err != nil {
		return nil, err
	}
	replacePolicy(b, p.Pods, have, want)
	return b, nil
}

// RemovePolicy takes away what EnsurePolicy made for pods of these subnets.
func (h *Handle) RemovePolicy(pods []netip.Prefix) error {
	all, err := rtnl.PolicyRules(h.socket, func(rtnl.PolicyRule) bool { return true })
	if err != nil {
		return err
	}
	have := ourRules(all)
	if len(have) == 0 {
		return nil
	}
	b := &rtnl.Batch{}
	left := replacePolicy(b, pods, have, nil)
	for table := range tablesOf(have) {
		if tablesOf(left)[table] {
			continue
		}
		routes, err := rtnl.Dump(h.socket, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, rtnl.Listing{Table: table}, rtnl.Everything)
		if err != nil {
			return fmt.Errorf("list the routes of table %d: %w", table, err)
		}
		for _, m := range routes {
			dev := rtnl.Device{Index: int(m.U32(unix.RTA_OIF))}
			b.Add("delete route "+m.Route(), m.NewRoute(unix.RTM_DELROUTE, 0, dev, dev), unix.ESRCH, unix.ENOENT)
		}
	}
	return b.Send(h.socket)
}

// isSomebodys says whether the rule is neither ours nor the kernel's own.
func isSomebodys(r rtnl.PolicyRule) bool {
	return r.Priority != 0 && r.Priority < 32766 && !isOurs(r)
}

// isOurs knows our rules by all that somebody else's would not have.
func isOurs(r rtnl.PolicyRule) bool {
	switch r.Priority {
	case priorityToPods:
		return r.Table == unix.RT_TABLE_MAIN && r.To.IsValid() && r.Longer == r.To.Addr().BitLen()-1
	case priorityAnswers, priorityPods:
		return rtnl.IsTable(r.Table)
	}
	return false
}

func ourRules(all []rtnl.PolicyRule) []rtnl.PolicyRule {
	return slices.DeleteFunc(slices.Clone(all), func(r rtnl.PolicyRule) bool { return !isOurs(r) })
}

func tablesOf(rules []rtnl.PolicyRule) map[uint32]bool {
	found := map[uint32]bool{}
	for _, r := range rules {
		if r.Table != 0 && r.Table != unix.RT_TABLE_MAIN {
			found[r.Table] = true
		}
	}
	return found
}

// rules are what the pods need. Without a second NIC that is only that the host's own rules do not lead astray what is
// for them.
func (p Policy) rules(somebodys bool) (list []rtnl.PolicyRule) {
	several := p.Other.Index != 0
	for _, subnet := range p.Pods {
		f := byte(rtnl.Family(subnet.Addr()))
		if several || somebodys && p.Routed {
			// The routes to pods are for single addresses; what else the main table says is not for this rule.
			list = append(list, rtnl.PolicyRule{Priority: priorityToPods, Family: f, To: subnet, Table: unix.RT_TABLE_MAIN,
				Longer: subnet.Addr().BitLen() - 1})
		}
		if several {
			list = append(list,
				rtnl.PolicyRule{Priority: priorityAnswers, Family: f, From: subnet, Mark: AnswersMark,
					Table: rtnl.TableOf(p.Other.Index), Longer: -1},
				rtnl.PolicyRule{Priority: priorityPods, Family: f, From: subnet, Mark: PodsMark,
					Table: rtnl.TableOf(p.Own.Index), Longer: -1})
		}
	}
	return list
}

// replacePolicy makes the wanted rules for pods of these subnets of those that are there, and returns what is left
// then.
func replacePolicy(b *rtnl.Batch, pods []netip.Prefix, have, want []rtnl.PolicyRule) []rtnl.PolicyRule {
	var mine, left []rtnl.PolicyRule
	for _, r := range have {
		if slices.ContainsFunc(pods, func(p netip.Prefix) bool { return r.From.Overlaps(p) || r.To.Overlaps(p) }) {
			mine = append(mine, r)
		} else {
			left = append(left, r)
		}
	}
	rtnl.ReplaceRules(b, mine, want)
	return append(left, want...)
}

// fillTables appends the default routes that are missing in the tables to which the rules lead.
func (h *Handle) fillTables(b *rtnl.Batch, p Policy, want []rtnl.PolicyRule) error {
	done := map[uint32]map[byte]bool{}
	for _, r := range want {
		if r.Table == 0 || r.Table == unix.RT_TABLE_MAIN || done[r.Table][r.Family] {
			continue
		}
		if done[r.Table] == nil {
			done[r.Table] = map[byte]bool{}
		}
		done[r.Table][r.Family] = true
		dev := p.Own
		if r.Table == rtnl.TableOf(p.Other.Index) {
			dev = p.Other
		}
		gw, err := h.gatewayOf(dev, r.Family == unix.AF_INET6, p)
		if err != nil {
			return err
		}
		there, err := rtnl.Dump(h.socket, unix.RTM_GETROUTE, unix.RTM_NEWROUTE,
			rtnl.Listing{Table: r.Table, Family: r.Family}, func(m rtnl.Message) bool {
				return m.Header[1] == 0 && m.U32(unix.RTA_OIF) == uint32(dev.Index) && m.Gateway() == gw
			})
		if err != nil {
			return fmt.Errorf("list the routes of table %d: %w", r.Table, err)
		}
		if len(there) == 0 {
			b.Add(fmt.Sprintf("add the default route%s to table %d", by(gw), r.Table), onlyRoute(r.Table, dev, r.Family, gw))
		}
	}
	return nil
}

// gatewayOf is the router of a NIC's subnet: as the host has it, or else where Azure has it in every subnet, the first
// address. IPv6 has one for all. It is invalid where the host needs none, as over a tunnel.
func (h *Handle) gatewayOf(l Link, v6 bool, policy Policy) (netip.Addr, error) {
	if w := h.wayOut(l.Index, v6); w.index == l.Index && w.gateway.IsValid() {
		return w.gateway, nil
	}
	if w := h.wayOut(0, v6); w.index == l.Index {
		return netip.Addr{}, nil
	}
	if v6 {
		return policy.Router6, nil
	}
	own, err := h.Addresses(l)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, p := range own {
		// Of a NIC with a single address the subnet is its pods'.
		for _, subnet := range append([]netip.Prefix{p}, policy.Pods...) {
			if subnet.Addr().Is4() && !subnet.IsSingleIP() && (subnet == p || subnet.Contains(p.Addr())) && p.Addr().Is4() {
				return subnet.Masked().Addr().Next(), nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf(
		"%w: the host has no default route over %s, and no address there that tells the subnet: add one, with a high metric",
		ErrRoute, l.Name)
}

// onlyRoute is the default route of a table. The gateway need not be known otherwise.
func onlyRoute(table uint32, dev Link, family byte, gw netip.Addr) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	m := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Protocol: unix.RTPROT_KERNEL,
		Type: unix.RTN_UNICAST, Scope: unix.RT_SCOPE_LINK}}
	if gw.IsValid() {
		m.Scope, m.Flags = unix.RT_SCOPE_UNIVERSE, unix.RTNH_F_ONLINK
	}
	req.AddData(m)
	req.AddData(rtnl.U32(unix.RTA_TABLE, table))
	if gw.IsValid() {
		req.AddData(rtnl.Bytes(unix.RTA_GATEWAY, gw.AsSlice()))
	}
	req.AddData(rtnl.U32(unix.RTA_OIF, uint32(dev.Index)))
	return req
}
