package linux

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/nft"
)

// Remedies that several findings share.
const (
	remedyTakeOver = "start a pod on this node: the first ADD takes it over"
	remedyPod      = network.RepairCommand + "; if the pod still has no network, restart it"
)

// Examine implements network.Dataplane.
func (l *Dataplane) Examine(known []*network.Network) []finding.Finding {
	networks := viewsOf(known)
	k, err := l.openKernel()
	if err != nil {
		return finding.Report("kernel", "",
			[]finding.Finding{{Level: finding.Failure, Found: err.Error(),
				Remedy: "run doctor as root, on a kernel with nftables"}})
	}
	defer k.close()
	out := examineKernel(k, networks)
	for _, n := range networks {
		if n.Made() || n.Imported {
			out = append(out, examineNetwork(k, n)...)
		}
	}
	return slices.Concat(out, examineStrays(k, networks), examineForwarding(networks), examineFirewall(k, networks),
		examineMasquerade(k, networks), examineServices(networks), examineOthers(k))
}

// examineNetwork is the check of a network that was made: its bridge, its rules, its endpoints.
func examineNetwork(k *kernel, n *view) []finding.Finding {
	if n.Imported {
		return finding.Report("takeover", "",
			[]finding.Finding{{Level: finding.Warning,
				Found: fmt.Sprintf("network %s is still as the classic plugin made it", n.Name), Remedy: remedyTakeOver}})
	}
	master, err := k.nl.Link(n.Master)
	if err != nil {
		return nil // the check of the masters says so
	}
	r, out := n.mode.examine(k, n, master)
	if r == nil {
		return out
	}
	var wrong []finding.Finding
	if !k.nft.RulesInPlace(*r) {
		wrong = []finding.Finding{{Level: finding.Failure,
			Found:  fmt.Sprintf("the nftables rules of %s (table %s %s) are not in place", r.Name, r.Family, nft.TableName),
			Remedy: network.RepairCommand}}
	}
	out = append(out, finding.Report("rules",
		fmt.Sprintf("the rules of %s are in table %s %s", r.Name, r.Family, nft.TableName), wrong)...)
	return append(out, examineEndpoints(k, n)...)
}

// examineBridge is the check of the bridge. Its index is 0 if there is none that could be looked at further.
func examineBridge(k *kernel, n *view) (netlink.Bridge, []finding.Finding) {
	b, _, err := k.nl.Bridge(n.Bridge, n.Master)
	fail := func(found, remedy string) finding.Finding {
		return finding.Finding{Level: finding.Failure, Found: found, Remedy: remedy}
	}
	var wrong []finding.Finding
	switch {
	case errors.Is(err, netlink.ErrMasterTaken):
		wrong = append(wrong, fail(err.Error(), fmt.Sprintf("ip link set %s nomaster; %s", n.Master, network.RepairCommand)))
	case errors.Is(err, netlink.ErrExists):
		wrong = append(wrong, fail(err.Error(),
			fmt.Sprintf("ip link del %s; %s; or name another bridge in the configuration", n.Bridge, network.RepairCommand)))
	case err != nil:
		wrong = append(wrong, fail(err.Error(), "run doctor as root"))
	case b.Link.Index == 0:
		wrong = append(wrong, fail("bridge "+n.Bridge+" is gone, and what it carried of the host's", network.RepairCommand))
	}
	if len(wrong) > 0 {
		return netlink.Bridge{}, finding.Report("bridge", "", wrong)
	}
	if !b.Link.Up {
		wrong = append(wrong, fail("bridge "+n.Bridge+" is down, which takes the host's routes, too", network.RepairCommand))
	}
	if b.Master.Master != b.Link.Index {
		wrong = append(wrong, fail(n.Master+" is not a port of bridge "+n.Bridge, network.RepairCommand))
	}
	if !bytes.Equal(b.Link.MAC, b.Master.MAC) {
		wrong = append(wrong, fail(fmt.Sprintf("bridge %s has MAC %s instead of %s, that of %s", n.Bridge, b.Link.MAC,
			b.Master.MAC, n.Master), network.RepairCommand))
	}
	if b.Link.MTU != b.Master.MTU {
		wrong = append(wrong, fail(fmt.Sprintf("bridge %s has MTU %d instead of %d, that of %s", n.Bridge, b.Link.MTU,
			b.Master.MTU, n.Master), network.RepairCommand))
	}
	if left, aerr := k.nl.Addresses(b.Master); aerr == nil && len(left) > 0 {
		wrong = append(wrong, fail(fmt.Sprintf("somebody gave %s the host's %v again, which belongs to %s",
			n.Master, left, n.Bridge),
			network.RepairCommand+"; so that it does not come back: docs/host.md, systemd-networkd, NetworkManager"))
	}
	known := netlink.SnapshotAddresses(n.Snapshot)
	bereft := b.Bereft(n.Snapshot)
	if bereft {
		wrong = append(wrong, fail(fmt.Sprintf("bridge %s has %v of the host's %v, and not one of a family", n.Bridge,
			b.Primary, known), network.RepairCommand))
	}
	for _, a := range known {
		if !slices.Contains(b.Primary, a) && !bereft {
			wrong = append(wrong, finding.Finding{Level: finding.Warning,
				Found: fmt.Sprintf("bridge %s does not have the host's %s any more", n.Bridge, a),
				Remedy: fmt.Sprintf("if the host shall have it: ip addr add %s dev %s; else: %s", a,
					n.Bridge, network.RepairCommand)})
		}
	}
	return b, finding.Report("bridge",
		fmt.Sprintf("%s has %s as its port, its MAC %s, and the host's %v", n.Bridge, n.Master, b.Link.MAC, b.Primary), wrong)
}

// examineEndpoints compares the network's endpoints with what CHECK would want.
func examineEndpoints(k *kernel, n *view) []finding.Finding {
	have, err := k.nft.Elements(n.scope())
	if err != nil {
		return finding.Report("endpoints", "",
			[]finding.Finding{{Level: finding.Failure, Found: err.Error(), Remedy: network.RepairCommand}})
	}
	var wrong []finding.Finding
	for e := range n.Endpoints.All() {
		add := func(level finding.Level, remedy string, owner *network.Owner, format string, args ...any) {
			wrong = append(wrong, finding.Finding{Level: level,
				Found: fmt.Sprintf("%s: ", e.Who()) + fmt.Sprintf(format, args...), Remedy: remedy,
				Owner: (*finding.Owner)(owner), Transient: true})
		}
		if e.State != network.Ready {
			add(finding.Warning, "", &e.Owner, "an ADD did not end, or is under way")
			continue
		}
		if _, serr := os.Stat(e.NetNS); e.NetNS != "" && errors.Is(serr, os.ErrNotExist) {
			add(finding.Warning, "", &e.Owner, "its namespace %s is gone, and nobody called DEL", e.NetNS)
			continue
		}
		diff, cerr := checkPod(k, n, e, among(have))
		switch {
		case cerr != nil:
			add(finding.Failure, remedyPod, nil, "%v", cerr)
		case diff.Chain:
			add(finding.Warning, "none, if a plugin further back in the chain does that (tuning, sbr, multus); else restart "+
				"the pod", nil, "%s", diff.Text)
		case diff.Text != "":
			add(finding.Failure, remedyPod, nil, "%s", diff.Text)
		}
	}
	return finding.Report("endpoints",
		fmt.Sprintf("%d endpoints of network %s are as they were made", n.Endpoints.Len(), n.Name), wrong)
}

// examineStrays finds what is on the host of pods that the state does not know.
func examineStrays(k *kernel, networks []*view) []finding.Finding {
	s := strays{owners: map[network.Owner]*network.Endpoint{}, veths: map[string]bool{}, addrs: map[netip.Addr]bool{},
		scopes: map[nft.Scope]bool{}}
	for _, n := range networks {
		s.scopes[n.scope()] = true
		for _, f := range n.Former {
			s.scopes[viewOf(&network.Network{Master: f.Master, Bridge: f.Bridge,
				Observed: network.Observed{Family: f.Family}}).scope()] = true
		}
		for e := range n.Endpoints.All() {
			s.owners[e.Owner], s.veths[e.HostIfName] = e, true
			for _, a := range e.Addresses {
				s.addrs[a.Addr()] = true
			}
		}
	}
	err := errors.Join(s.inLinks(k, networks), s.inRules(k))
	if err != nil {
		s.add(nil, "run doctor as root", "%v", err)
	}
	return finding.Report("leftovers", "nothing on the host belongs to a pod that is not known", s.wrong)
}

type strays struct {
	owners map[network.Owner]*network.Endpoint
	veths  map[string]bool
	addrs  map[netip.Addr]bool
	scopes map[nft.Scope]bool
	wrong  []finding.Finding
}

func (s *strays) add(owner *network.Owner, remedy, format string, args ...any) {
	s.wrong = append(s.wrong, finding.Finding{Level: finding.Warning, Found: fmt.Sprintf(format, args...), Remedy: remedy,
		Owner: (*finding.Owner)(owner), Transient: true})
}

// inLinks looks for host veths, and for neighbours on bridges.
func (s *strays) inLinks(k *kernel, networks []*view) error {
	links, err := k.nl.Links()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Kind != "veth" || !strings.HasPrefix(l.Name, azure.HostVethPrefix) || s.veths[l.Name] {
			continue
		}
		s.inLink(l, networks)
	}
	seen := map[string]bool{}
	for _, n := range networks {
		b, err := k.nl.Link(n.Bridge)
		if n.mode.routes() || err != nil || seen[n.Bridge] || n.Imported {
			continue
		}
		seen[n.Bridge] = true
		neighbours, err := k.nl.PodNeighbours(b)
		if err != nil {
			return err
		}
		for _, a := range neighbours {
			if !s.addrs[a] {
				s.add(nil, fmt.Sprintf("ip neigh del %s dev %s", a, n.Bridge),
					"%s is a neighbour on %s, and no pod has it", a, n.Bridge)
			}
		}
	}
	return nil
}

// inLink is about one host veth that no state names. If its other end is in a namespace that lives, a pod lives on it,
// whoever's it is.
func (s *strays) inLink(l netlink.Link, networks []*view) {
	o, ours := network.ParseOwner(l.Alias)
	made := slices.ContainsFunc(networks, func(n *view) bool { return n.Made() })
	switch {
	case ours:
		s.add(&o, "", "host veth %s is of %s, which is not known", l.Name, o)
	case l.LeadsAway() && !made:
		s.add(nil, remedyTakeOver, "host veth %s leads to a pod that no state names: the classic plugin's, whose state "+
			"was lost", l.Name)
	case l.LeadsAway():
		s.add(nil, "ip -d link show "+l.Name+" names its namespace (link-netns): delete the pod that has it",
			"host veth %s leads to a pod that no state names", l.Name)
	default:
		s.add(nil, "ip link del "+l.Name, "host veth %s is nobody's", l.Name)
	}
}

// inRules looks for elements of pods, and for rules of no network.
func (s *strays) inRules(k *kernel) error {
	scopes, err := k.nft.Scopes()
	if err != nil {
		return err
	}
	for _, scope := range scopes {
		if !s.scopes[scope] {
			s.add(nil, fmt.Sprintf("if it was lost with the state, start a pod of that network; else nft delete table %s %s",
				scope.Family, nft.TableName),
				"table %s %s has rules of %s, which no network has", scope.Family, nft.TableName, scope.Name)
		}
		found, err := k.nft.Elements(scope)
		if err != nil {
			return err
		}
		for _, e := range found {
			o, ok := network.ParseOwner(e.Comment)
			known := s.owners[o]
			switch {
			case known != nil && !e.Address.IsValid(): // the check of the endpoints says what is missing
			case known == nil && ok && !e.Address.IsValid():
				s.add(&o, "", "the rules of %s have port %s for %s, which is not known", scope.Name, e.Port, o)
			case !e.Address.IsValid():
				s.add(nil, fmt.Sprintf("nft delete element %s %s %s-ports '{ \"%s\" }'", scope.Family,
					nft.TableName, scope.Name, e.Port),
					"the rules of %s have port %s, which no pod has (comment %q)", scope.Name, e.Port, e.Comment)
			case known != nil && slices.ContainsFunc(known.Addresses,
				func(p netip.Prefix) bool { return p.Addr() == e.Address }):
			case known == nil && ok:
				s.add(&o, "", "the rules of %s have %s for %s, which is not known", scope.Name, e.Address, o)
			default:
				s.add(nil, fmt.Sprintf("nft delete element %s %s %s-pods%s { %s }", scope.Family, nft.TableName, scope.Name,
					map[bool]string{false: "4", true: "6"}[e.Address.Is6()], e.Address),
					"the rules of %s have %s, which no pod has (comment %q)", scope.Name, e.Address, e.Comment)
			}
		}
	}
	return nil
}
