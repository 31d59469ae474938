package netlink

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The fabric takes from a NIC only what comes from an address of that NIC. A host with several sends all by the one that has its default
// route, or by the one whose subnet a packet is for; so pods of another NIC need rules of their own.

// Ways are the NICs of a host, as far as pods of one of them are concerned.
type Ways struct {
	Own   Link         // the pods' NIC, or the bridge that has its configuration
	Other Link         // by which the host sends what is for anybody, or else another NIC; zero if there is none
	Hosts []netip.Addr // the addresses of the host

	Listens []string // the names of all NICs but Own
}

// Ways looks at the host. The pods' NIC is the master, and the bridge that has its configuration, if there is one (zero: none); others are known
// to be NICs, or to have the configuration of such.
func (h *Handle) Ways(bridge, master Link, others []string) (Ways, error) {
	w := Ways{Own: bridge}
	if bridge.Index == 0 {
		w.Own = master
	}
	list, err := h.dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, listing{}, kernelMessage.isIP)
	if err != nil {
		return w, fmt.Errorf("list the host's addresses: %w", err)
	}
	first := h.wayOut(0, false).index
	if first == 0 {
		first = h.wayOut(0, true).index
	}
	seen := map[int]bool{bridge.Index: true, master.Index: true}
	look := func(index int, certain bool) error {
		if index == 0 || seen[index] {
			return nil
		}
		seen[index] = true
		l, err := h.link(linkMessage(unix.RTM_GETLINK, 0, index, false, brief()))
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look up link %d: %w", index, err)
		}
		if certain || l.facesFabric() || slices.Contains(others, l.Name) {
			w.Listens = append(w.Listens, l.Name)
			if w.Other.Index == 0 {
				w.Other = l
			}
		}
		return nil
	}
	err = look(first, true)
	for _, m := range list {
		if a := m.ownAddress(); !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			w.Hosts = append(w.Hosts, a)
			err = errors.Join(err, look(m.index(), false))
		}
	}
	return w, err
}

// facesFabric says whether a link is a NIC, by what the kernel says of its kind.
func (l Link) facesFabric() bool {
	return len(l.MAC) == 6 && slices.ContainsFunc(l.MAC, func(b byte) bool { return b != 0 }) && slices.Contains([]string{"", "macvlan", "bond", "team"}, l.Kind)
}

// way is where the host sends what is for anybody.
type way struct {
	index   int
	gateway netip.Addr
}

// Addresses that nobody has (RFC 5737, 3849).
var (
	anybody4 = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	anybody6 = netip.MustParseAddr("2001:db8::1")
)

// wayOut asks the kernel: by an interface, or by any (0). It is zero where there is no way.
func (h *Handle) wayOut(index int, v6 bool) way {
	to := anybody4
	if v6 {
		to = anybody6
	}
	header := make([]byte, headerLen[unix.RTM_NEWROUTE])
	header[0], header[1] = protocolFamily(to), byte(to.BitLen())
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	req.AddRawData(header)
	req.AddRawData(bytesAttr(unix.RTA_DST, to.AsSlice()).Serialize())
	if index != 0 {
		req.AddRawData(u32(unix.RTA_OIF, uint32(index)).Serialize())
	}
	m, err := h.get(req, unix.RTM_NEWROUTE)
	if err != nil { // no route, or no such family
		return way{}
	}
	return way{int(m.u32(unix.RTA_OIF)), m.gateway()}
}

// AnswersMark is the bit of a connection's mark, and of its packets', that says: it came by the other NIC, and its answers have to leave there.
// None of kube-proxy's (0x4000, 0x8000), Calico's (0xffff0000) and Cilium's (0x0f00) bits is this.
const AnswersMark = 0x40

// The priorities of our rules: before those that somebody may have for the host's own addresses, which know nothing of pods.
const (
	priorityAnswers = 60 + iota // what is marked, from pods: by the other NIC
	priorityToPods              // to a pod of this host: as the main table says
	priorityOwn                 // from the host's own addresses in the pods' subnet: on behind our rules
	priorityPods                // from pods: by their NIC
	priorityEnd                 // where priorityOwn leads
)

// Policy is how the host routes what pods of a NIC send and get.
type Policy struct {
	Ways
	Pods   []netip.Prefix // their subnets
	Routed bool           // the host routes all that they send; else only answers for the other NIC

	Router6 netip.Addr // the fabric's IPv6 router, where the host knows none
}

// EnsurePolicy makes the policy rules, and the tables to which they lead, where they are missing. Several processes may do so at once.
// A host with one NIC and without policy rules of its own needs none.
// Error: ErrRoute if nobody says what the gateway of a NIC is.
func (h *Handle) EnsurePolicy(p Policy) error {
	b, err := h.planPolicy(p)
	if err != nil {
		return err
	}
	return b.send(h.socket)
}

// PolicyInPlace says whether EnsurePolicy would do nothing.
// Error: that of EnsurePolicy.
func (h *Handle) PolicyInPlace(p Policy) (bool, error) {
	b, err := h.planPolicy(p)
	return err == nil && b.empty(), err
}

func (h *Handle) planPolicy(p Policy) (*batch, error) {
	b := &batch{}
	all, err := h.policyRules(func(policyRule) bool { return true })
	if err != nil {
		return nil, err
	}
	want := p.rules(slices.ContainsFunc(all, policyRule.isSomebodys))
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
	all, err := h.policyRules(func(policyRule) bool { return true })
	if err != nil {
		return err
	}
	have := ourRules(all)
	if len(have) == 0 {
		return nil
	}
	b := &batch{}
	left := replacePolicy(b, pods, have, nil)
	for table := range tables(have) {
		if tables(left)[table] {
			continue
		}
		routes, err := h.dump(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, listing{table: table}, everything)
		if err != nil {
			return fmt.Errorf("list the routes of table %d: %w", table, err)
		}
		for _, m := range routes {
			dev := device{index: int(m.u32(unix.RTA_OIF))}
			b.add("delete route "+m.route(), m.newRoute(unix.RTM_DELROUTE, 0, dev, dev), unix.ESRCH, unix.ENOENT)
		}
	}
	return b.send(h.socket)
}

// isSomebodys says whether the rule is neither ours nor the kernel's own.
func (r policyRule) isSomebodys() bool {
	return r.priority != 0 && r.priority < 32766 && !r.isOurs()
}

func (r policyRule) isOurs() bool {
	return r.priority >= priorityAnswers && r.priority <= priorityEnd
}

func ourRules(all []policyRule) []policyRule {
	return slices.DeleteFunc(slices.Clone(all), func(r policyRule) bool { return !r.isOurs() })
}

func tables(rules []policyRule) map[uint32]bool {
	found := map[uint32]bool{}
	for _, r := range rules {
		if r.table != 0 && r.table != unix.RT_TABLE_MAIN {
			found[r.table] = true
		}
	}
	return found
}

// rules are what the pods need. Without a second NIC that is only that the host's own rules do not lead what is for them astray.
func (p Policy) rules(somebodys bool) (list []policyRule) {
	several := p.Other.Index != 0
	for _, subnet := range p.Pods {
		r := policyRule{family: byte(family(subnet.Addr())), longer: -1}
		add := func(priority int, change func(*policyRule)) {
			one := r
			one.priority = uint32(priority)
			change(&one)
			list = append(list, one)
		}
		if several {
			add(priorityAnswers, func(r *policyRule) { r.from, r.mark, r.table = subnet, AnswersMark, tableOf(p.Other.Index) })
		}
		if !p.Routed {
			continue
		}
		if several || somebodys {
			// The routes to pods are for single addresses; what else the main table says is not for this rule.
			add(priorityToPods, func(r *policyRule) { r.to, r.table, r.longer = subnet, unix.RT_TABLE_MAIN, subnet.Addr().BitLen()-1 })
		}
		if several {
			for _, a := range p.Hosts {
				if subnet.Contains(a) {
					add(priorityOwn, func(r *policyRule) { r.from, r.jump = netip.PrefixFrom(a, a.BitLen()), priorityEnd })
				}
			}
			add(priorityPods, func(r *policyRule) { r.from, r.table = subnet, tableOf(p.Own.Index) })
		}
	}
	return list
}

// replacePolicy makes the wanted rules for pods of these subnets of those that are there, and returns what is left then. The rule at the end
// is shared by all.
func replacePolicy(b *batch, pods []netip.Prefix, have, want []policyRule) []policyRule {
	var mine, left []policyRule
	for _, r := range have {
		about := r.from
		if r.to.IsValid() {
			about = r.to
		}
		switch {
		case r.priority == priorityEnd:
			mine = append(mine, r)
		case about.IsValid() && slices.ContainsFunc(pods, about.Overlaps):
			mine = append(mine, r)
		default:
			left = append(left, r)
		}
	}
	left = append(left, want...)
	var ends []policyRule
	for _, f := range []byte{unix.AF_INET, unix.AF_INET6} {
		if slices.ContainsFunc(left, func(r policyRule) bool { return r.jump != 0 && r.family == f }) {
			ends = append(ends, policyRule{priority: priorityEnd, family: f, longer: -1})
		}
	}
	// The end comes first: a jump to nowhere matches, and leads to nothing.
	replaceRules(b, mine, append(ends, want...))
	return left
}

// fillTables appends the default routes that are missing in the tables to which the rules lead.
func (h *Handle) fillTables(b *batch, p Policy, want []policyRule) error {
	done := map[uint32]map[byte]bool{}
	for _, r := range want {
		if r.table == 0 || r.table == unix.RT_TABLE_MAIN || done[r.table][r.family] {
			continue
		}
		if done[r.table] == nil {
			done[r.table] = map[byte]bool{}
		}
		done[r.table][r.family] = true
		dev := p.Own
		if r.table == tableOf(p.Other.Index) {
			dev = p.Other
		}
		gw, err := h.gatewayOf(dev, r.family == unix.AF_INET6, p)
		if err != nil {
			return err
		}
		there, err := h.dump(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, listing{table: r.table, family: r.family}, func(m kernelMessage) bool {
			return m.header[1] == 0 && m.u32(unix.RTA_OIF) == uint32(dev.Index) && m.gateway() == gw
		})
		if err != nil {
			return fmt.Errorf("list the routes of table %d: %w", r.table, err)
		}
		if len(there) == 0 {
			b.add(fmt.Sprintf("add the default route by %s to table %d", gw, r.table), onlyRoute(r.table, dev, gw))
		}
	}
	return nil
}

// gatewayOf is the router of a NIC's subnet: as the host has it, or else where Azure has it in every subnet, the first address. IPv6 has one
// for all.
func (h *Handle) gatewayOf(l Link, v6 bool, policy Policy) (netip.Addr, error) {
	if w := h.wayOut(l.Index, v6); w.index == l.Index && w.gateway.IsValid() {
		return w.gateway, nil
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
	return netip.Addr{}, fmt.Errorf("%w: the host has no default route over %s, and no address there that tells the subnet: add one, with a high metric", ErrRoute, l.Name)
}

// onlyRoute is the default route of a table. The gateway need not be known otherwise.
func onlyRoute(table uint32, dev Link, gw netip.Addr) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: protocolFamily(gw), Protocol: unix.RTPROT_KERNEL, Type: unix.RTN_UNICAST, Flags: unix.RTNH_F_ONLINK}})
	req.AddData(u32(unix.RTA_TABLE, table))
	req.AddData(bytesAttr(unix.RTA_GATEWAY, gw.AsSlice()))
	req.AddData(u32(unix.RTA_OIF, uint32(dev.Index)))
	return req
}
