package netlink

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/netlink/hostconf"
	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/lab"
	"golang.org/x/sys/unix"
)

// routes gives eth0 routes, nexthop objects, policy rules and neighbours of every kind, among those of a second
// interface.
func (h *host) routes() {
	h.Helper()
	h.IP("link add eth9 address 02:00:00:00:09:09 type veth peer name peer9")
	h.Run("sysctl", "-qw", "net.ipv6.conf.eth9.accept_dad=0", "net.ipv6.conf.peer9.accept_dad=0") // nothing is to become usable meanwhile
	for _, args := range []string{
		"link set peer9 addrgenmode none",
		"link set peer9 up",
		"link set eth9 addrgenmode none", // a link-local address would come when duplicates have been looked for
		"link set eth9 up",
		"addr add 10.90.0.1/24 dev eth9",
		"-6 addr add fd90::1/64 dev eth9 nodad",
		"-6 addr add fd00::9/64 dev eth0 nodad",
		"-6 addr change fd00::9/64 dev eth0", // with nodad no more, but usable at once
		"-6 addr add fd99::9/64 dev eth0 nodad noprefixroute",
		"-6 addr add fe80::5/64 dev eth0 nodad", // a person's, not the kernel's
		"-6 addr add fd98::9/64 dev eth0 nodad valid_lft 86400 preferred_lft 43200",
		// One prefix and metric over both interfaces: the kernel takes the first one.
		"route add 10.70.0.0/16 via 10.240.0.1 metric 5",
		"route append 10.70.0.0/16 via 10.90.0.9 metric 5",
		"route add 10.71.0.0/16 via 10.90.0.9 metric 5",
		"route append 10.71.0.0/16 via 10.240.0.1 metric 5",
		// Several paths.
		"route add 10.72.0.0/16 nexthop via 10.240.0.1 weight 3 nexthop via 10.90.0.9 weight 2",
		"route add 10.73.0.0/16 nexthop via 10.240.0.1 nexthop via 172.16.0.1 dev eth0 onlink weight 7",
		"-6 route add fd72::/64 metric 7 nexthop via fd00::1 weight 3 nexthop via fd90::9 weight 2",
		"-6 route add fd73::/64 metric 7 nexthop via fd00::1 dev eth0 nexthop via fd00::2 dev eth0",
		// Attributes and types.
		"route add 10.74.0.0/16 via 10.240.0.1 table 1000 mtu lock 1300 window 9000 rtt 20ms initcwnd 20 quickack 1 congctl lock reno",
		"route add 10.75.0.0/16 via 10.240.0.1 tos 0x10 src 10.240.0.4 realm 7",
		"route add 10.76.0.0/16 via inet6 fd00::1 dev eth0",
		"route add local 10.77.0.0/16 dev eth0 table 77",
		"route add broadcast 10.78.255.255 dev eth0 table 77",
		"route add multicast 239.1.0.0/16 dev eth0 table 77",
		"route add blackhole 10.79.0.0/16",
		"-6 route add fd74::/64 via fd00::1 dev eth0 src fd00::9 mtu 1300 table 1000 pref high proto static",
		"-6 route add fd75::/64 dev eth0 metric 9",
		"-6 route add fd76::/64 via fd75::1 dev eth0", // needs the one before
		"-6 route add fd77::/64 via fd66::1 dev eth0 onlink",
		"-6 route add fd78::/64 via fd00::1 dev eth0 expires 86400",
		"-6 route add fd70::/64 dev eth0 proto ra metric 100 expires 86400", // its address has a single one, by DHCPv6
		"-6 addr add fd70::9/128 dev eth0 noprefixroute nodad valid_lft 86400 preferred_lft 43200",
		"-6 route add fd70::9 dev eth0 proto kernel metric 100",
		"-6 route add default via fd70::1 dev eth0 proto ra metric 100 expires 86400",
		"-6 route del fd70::/64 dev eth0 proto ra metric 100",
		// Nexthop objects, of routes and of groups.
		"nexthop add id 10 via 10.240.0.1 dev eth0",
		"nexthop add id 11 via 10.90.0.9 dev eth9",
		"nexthop add id 12 group 10,3/11,2",
		"nexthop add id 13 via 172.16.0.1 dev eth0 onlink",
		"nexthop add id 14 dev eth0",
		"nexthop add id 15 group 10/11 type resilient buckets 32 idle_timer 50",
		"-6 nexthop add id 20 via fd00::1 dev eth0",
		"route add 10.80.0.0/16 nhid 10",
		"route add 10.81.0.0/16 nhid 12 metric 50 table 81",
		"route add 10.82.0.0/16 nhid 13",
		"route add 10.83.0.0/16 nhid 14 src 10.240.0.4",
		"route add 10.84.0.0/16 nhid 15",
		"-6 route add fd80::/64 nhid 20",
		// Policy rules.
		"rule add iif eth0 lookup 77 pref 1000",
		"rule add not from 10.1.0.0/16 oif eth0 fwmark 0x7/0xff ipproto 6 dport 80-90 lookup 1000 pref 1001",
		"rule add iif eth0 goto 30000 pref 999",
		"rule add iif eth9 lookup 77 pref 1002",
		"-6 rule add iif eth0 oif eth0 lookup 1000 pref 1003",
		"rule add pref 30000 lookup 81",
		"neigh add proxy 10.240.0.99 dev eth0",
		"-6 neigh add proxy fd00::99 dev eth0",
		"neigh add 10.240.0.98 lladdr 02:00:00:00:00:98 nud noarp dev eth0 protocol static",
		"-6 neigh add fd00::97 lladdr 02:00:00:00:00:97 nud permanent dev eth0 router",
	} {
		h.IP(args)
	}
}

// changing is what the kernel counts.
var changing = regexp.MustCompile(`"(valid_life_time|preferred_life_time|expires|used|confirmed|probes|refcnt|unbalanced_time|linkdown|promiscuity|allmulti|bcqueuelen|usedbcqueuelen|[a-z_]*_timer)":[^,}\]]*,?|"linkdown",?`)

// everything is what a person sees of the host: all of it, as text to compare.
func (h *host) everything() string {
	h.Helper()
	var b strings.Builder
	for _, show := range []string{"addr", "-4 route show table all", "-6 route show table all", "link", "neigh show nud permanent nud noarp",
		"neigh show proxy", "-6 neigh show proxy", "nexthop", "rule", "-6 rule"} {
		var list []json.RawMessage
		if out := h.IP("-d -j " + show); strings.TrimSpace(out) != "" {
			h.Must(json.Unmarshal([]byte(out), &list))
		}
		if strings.Contains(show, "neigh") { // lies in a hash table
			slices.SortFunc(list, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
		}
		b.WriteString(show + "\n")
		for _, item := range list {
			if line := string(item); !strings.Contains(line, `"ff00::/8"`) && !strings.Contains(line, `"33:33:`) { // groups that the kernel joins
				b.WriteString("  " + changing.ReplaceAllString(line, "") + "\n")
			}
		}
	}
	return b.String()
}

func newDualHost(t *testing.T) *host {
	t.Helper()
	t.Parallel()
	return &host{Host: &lab.Host{T: t, VM: fabric.Start(t, fabric.DefaultDual(1, 3)).VMs[0]}}
}

func TestEveryKindOfRouteAndRuleMovesAndComesBackExactly(t *testing.T) {
	h := newDualHost(t)
	h.configure()
	h.routes()
	before, conf := h.everything(), h.Conf("eth0")
	if !strings.Contains(before, "10.84.0.0/16") || !strings.Contains(before, `"iif":"eth0"`) {
		t.Fatalf("the host has not got all that: %s", before)
	}
	h.ensureBridge()
	h.Same("azure0 has what eth0 had", h.Conf("azure0"), lab.Sorted(lab.Endless(conf)))
	if !strings.Contains(h.IP("addr show dev azure0"), "fe80::5/64") {
		t.Error("the link-local address that somebody gave the host is not on azure0")
	}
	if left := lines(h.everything(), `"[io]if":"eth0"|"dev":"eth0"`); len(left) > 0 {
		t.Errorf("something still names eth0:\n%s", left)
	}
	h.Ping(h.VM.Ns, lab.Gateway)
	h.removeBridge()
	if after := h.everything(); after != before {
		t.Errorf("the host is not as it was:\n%s", diff(before, after))
	}
	h.Ping(h.VM.Ns, lab.Gateway)
}

// A batch that fails in the middle moves nothing, whatever kind it is.
func TestAMoveThatFailsLeavesRoutesAndRulesAlone(t *testing.T) {
	h := newDualHost(t)
	h.configure()
	h.routes()
	before := h.everything()
	h.IP("link add azure0 type veth peer name other")
	h.IP("link del azure0")
	h.kernel(func(nl *Handle) {
		eth0, err := nl.Link("eth0")
		h.Must(err)
		conf, err := hostconf.Read(nl.socket, rtnl.Device{Index: eth0.Index, Name: "eth0"})
		h.Must(err)
		bridge, err := nl.createBridge("azure0", eth0, firstIndex)
		h.Must(err)
		to := rtnl.Device{Index: bridge.Index, Name: "azure0"}
		do := &rtnl.Batch{}
		do.Add("set up", bridgeMessage(Bridge{Master: eth0, Link: bridge}))
		do.Add("enslave", rtnl.LinkMessage(unix.RTM_NEWLINK, 0, eth0.Index, true, rtnl.U32(unix.IFLA_MASTER, uint32(to.Index))))
		conf.AddTo(do, to)
		conf.Remove(do)
		h.Must(do.Send(nl.socket))
		h.Must(nl.undoMove(conf, hostconf.Conf{}, Bridge{Link: bridge, Master: eth0}))
	})
	if after := h.everything(); after != before {
		t.Errorf("the host is not as it was:\n%s", diff(before, after))
	}
}

// lines are those that match, but for the kernel's own link-local routes.
func lines(text, pattern string) string {
	var out []string
	for line := range strings.Lines(text) {
		if regexp.MustCompile(pattern).MatchString(line) && !strings.Contains(line, `"dst":"fe80::`) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

func diff(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	var out []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			out = append(out, "- "+line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			out = append(out, "+ "+line)
		}
	}
	if len(out) == 0 {
		for i := range a {
			if a[i] != b[i] {
				return "other order from here:\n- " + a[i] + "\n+ " + b[i]
			}
		}
	}
	for i, line := range out {
		out[i] = line[:min(len(line), 1500)]
	}
	return strings.Join(out, "\n")
}

// A batch may be larger than what a socket holds by default, and so may its acknowledgements be.
func TestALargeBatch(t *testing.T) {
	h := newHost(t)
	h.kernel(func(nl *Handle) {
		eth0, err := nl.Link("eth0")
		h.Must(err)
		b := &rtnl.Batch{}
		for i := range 900 {
			a := netip.AddrFrom4([4]byte{10, 240, byte(100 + i/250), byte(1 + i%250)})
			b.Add("add "+a.String(), neighRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE, neighbour(eth0, a), a.AsSlice(), azure.FabricMAC))
		}
		h.Must(b.Send(nl.socket))
	})
	if n := strings.Count(h.IP("neigh show nud permanent dev eth0"), "lladdr"); n != 900 {
		t.Errorf("%d neighbours", n)
	}
}
