//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// layout is how a program leaves the network of a VM behind, as ip(8) shows it: what the fabric gave the VM goes first.
// LEASE is a lifetime in seconds. The addresses are those of the first VM.
type layout struct {
	before []string // sysctls, before there are addresses
	lines  []string
	router *fabric.Advertisement // what the router says all the time
	after  []string              // what somebody does after the first ADD
	bridge map[string]string     // sysctls that azure0 has then
}

const (
	lease    = 8 * time.Second // a lifetime of which the end is waited for, while who gave it renews it
	long     = time.Hour       // one that no test lives to see the end of
	patience = time.Minute     // with what somebody does in his own time
)

var layouts = map[string]layout{
	// NetworkManager 1.42, with DHCP and IPv6 by DHCPv6 and router advertisements: it makes the subnets' routes itself,
	// and has no lifetimes but the addresses'.
	"NetworkManager": {
		before: []string{"sysctl -qw net.ipv6.conf.eth0.addr_gen_mode=1 net.ipv6.conf.eth0.accept_ra=0"},
		lines: []string{
			"addr add 10.240.0.4/16 brd + dev eth0 noprefixroute valid_lft LEASE preferred_lft LEASE",
			"route add 10.240.0.0/16 dev eth0 proto kernel scope link src 10.240.0.4 metric 100",
			"route add default via 10.240.0.1 dev eth0 proto dhcp src 10.240.0.4 metric 100",
			"route add 168.63.129.16 via 10.240.0.1 dev eth0 proto dhcp src 10.240.0.4 metric 100",
			"-6 addr add fe80::20d:3aff:fe00:1/64 dev eth0 noprefixroute nodad",
			"-6 route add fe80::/64 dev eth0 proto kernel metric 1024",
			"-6 addr add fd00::4/128 dev eth0 noprefixroute nodad valid_lft LEASE preferred_lft LEASE",
			"-6 route add fd00::4 dev eth0 proto kernel metric 100",
			"-6 route add fd00::/64 dev eth0 proto ra metric 100",
			"-6 route add default via fe80::1234:5678:9abc dev eth0 proto ra metric 100",
		},
		bridge: map[string]string{"net.ipv6.conf.azure0.addr_gen_mode": "1", "net.ipv6.conf.azure0.accept_ra": "0"},
	},
	"NetworkManager with static addresses": {
		lines: []string{
			"addr add 10.240.0.4/16 brd + dev eth0 noprefixroute",
			"addr add 10.240.0.9/16 brd + dev eth0 noprefixroute",
			"route add 10.240.0.0/16 dev eth0 proto kernel scope link src 10.240.0.4 metric 100",
			"route append 10.240.0.0/16 dev eth0 proto kernel scope link src 10.240.0.9 metric 100",
			"route add default via 10.240.0.1 dev eth0 proto static metric 100",
			"-6 addr add fd00::4/64 dev eth0 noprefixroute nodad",
			"-6 route add fd00::/64 dev eth0 proto kernel metric 100",
			"-6 route add default via fe80::1234:5678:9abc dev eth0 proto static metric 100",
		},
	},
	// systemd-networkd 252 with DHCP, DHCPv6 and router advertisements, for which it listens itself.
	"networkd": {
		before: []string{"sysctl -qw net.ipv6.conf.eth0.accept_ra=0"},
		lines: []string{
			"addr add 10.240.0.4/16 brd + dev eth0 metric 1024 valid_lft LEASE preferred_lft LEASE",
			"route add 10.240.0.1 dev eth0 proto dhcp scope link src 10.240.0.4 metric 1024",
			"route add default via 10.240.0.1 dev eth0 proto dhcp src 10.240.0.4 metric 1024",
			"route add 168.63.129.16 via 10.240.0.1 dev eth0 proto dhcp src 10.240.0.4 metric 1024",
			"-6 addr add fd00::4/128 dev eth0 noprefixroute nodad valid_lft LEASE preferred_lft LEASE",
			"-6 route add fd00::/64 dev eth0 proto ra metric 1024 expires LEASE",
			"-6 route add default via fe80::1234:5678:9abc dev eth0 proto ra metric 1024 expires LEASE",
		},
		bridge: map[string]string{"net.ipv6.conf.azure0.accept_ra": "0"},
	},
	"dhclient": {
		lines: []string{
			"addr add 10.240.0.4/16 brd 10.240.255.255 dev eth0 label eth0 valid_lft LEASE preferred_lft LEASE",
			"addr add 10.240.0.9/16 brd + dev eth0 label eth0:1 valid_lft LEASE preferred_lft LEASE",
			"route add default via 10.240.0.1 dev eth0",
			"-6 addr add fd00::4/64 dev eth0 nodad valid_lft LEASE preferred_lft LEASE",
			"-6 route add default via fe80::1234:5678:9abc dev eth0",
		},
	},
	"cloud-init, static": {
		lines: []string{
			"addr add 10.240.0.4/16 brd + dev eth0",
			"route add default via 10.240.0.1 dev eth0 proto static",
			"-6 addr add fd00::4/64 dev eth0 nodad",
			"-6 route add default via fe80::1234:5678:9abc dev eth0 proto static",
		},
	},
	"an address without a subnet": {
		lines: []string{
			"addr add 10.240.0.4/32 dev eth0",
			"route add default via 10.240.0.1 dev eth0 onlink",
			"-6 addr add fd00::4/128 dev eth0 nodad",
			"-6 route add default via fe80::1234:5678:9abc dev eth0",
		},
	},
	// The kernel listens, and makes routes that end.
	"router advertisements": {
		lines: []string{
			"addr add 10.240.0.4/16 brd + dev eth0",
			"route add default via 10.240.0.1 dev eth0",
			"-6 addr add fd00::4/128 dev eth0 nodad",
		},
		router: &fabric.Advertisement{Every: time.Second, Lifetime: long, Prefix: netip.MustParsePrefix("fd00::/64"), Valid: long},
		after:  []string{"sysctl -qw net.ipv6.conf.all.forwarding=1"}, // kube-proxy of a node with both families
		bridge: map[string]string{"net.ipv6.conf.azure0.accept_ra": "2"},
	},
	"router advertisements to a router": {
		before: []string{"sysctl -qw net.ipv6.conf.all.forwarding=1", "sysctl -qw net.ipv6.conf.eth0.accept_ra=2"},
		lines: []string{
			"addr add 10.240.0.4/16 brd + dev eth0",
			"route add default via 10.240.0.1 dev eth0",
			"-6 addr add fd00::4/128 dev eth0 nodad",
		},
		router: &fabric.Advertisement{Every: time.Second, Lifetime: long, Prefix: netip.MustParsePrefix("fd00::/64"), Valid: long},
		bridge: map[string]string{"net.ipv6.conf.azure0.accept_ra": "2"},
	},
	"IPv6 only where it was switched on": {
		before: []string{"sysctl -qw net.ipv6.conf.default.disable_ipv6=1"},
		lines: []string{
			"addr add 10.240.0.4/16 brd + dev eth0",
			"route add default via 10.240.0.1 dev eth0",
			"-6 addr add fd00::4/64 dev eth0 nodad",
			"-6 route add default via fe80::1234:5678:9abc dev eth0",
		},
		bridge: map[string]string{"net.ipv6.conf.azure0.disable_ipv6": "0"},
	},
	"a hardened host": {
		before: []string{
			"link add other0 type veth peer name other1", "sysctl -qw net.ipv4.conf.other0.forwarding=1 net.ipv6.conf.other0.forwarding=1",
			"sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.all.secure_redirects=0 net.ipv6.conf.all.accept_redirects=0",
			"sysctl -qw net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.eth0.accept_redirects=0 net.ipv4.conf.eth0.send_redirects=0 " +
				"net.ipv4.conf.eth0.log_martians=1",
			"sysctl -qw net.ipv4.conf.eth0.arp_ignore=1 net.ipv4.conf.eth0.arp_announce=2 net.ipv6.conf.eth0.accept_redirects=0 " +
				"net.ipv6.conf.eth0.accept_ra=0 net.ipv6.conf.eth0.autoconf=0",
		},
		lines: []string{
			"addr add 10.240.0.4/16 brd + dev eth0",
			"route add default via 10.240.0.1 dev eth0",
			"-6 addr add fd00::4/64 dev eth0 nodad",
			"-6 route add default via fe80::1234:5678:9abc dev eth0",
		},
		bridge: map[string]string{
			"net.ipv4.conf.azure0.rp_filter": "1", "net.ipv4.conf.azure0.accept_redirects": "0", "net.ipv4.conf.azure0.send_redirects": "0",
			"net.ipv4.conf.azure0.log_martians": "1",
			"net.ipv4.conf.azure0.arp_ignore":   "1", "net.ipv4.conf.azure0.arp_announce": "2", "net.ipv6.conf.azure0.accept_redirects": "0",
			"net.ipv6.conf.azure0.accept_ra": "0", "net.ipv6.conf.azure0.autoconf": "0",
		},
	},
	// The kernel keeps a route whose gateway has no way any more, but does not take it again.
	"a gateway whose way is gone": {
		lines: []string{
			"addr add 10.240.0.4/16 brd + dev eth0",
			"route add default via 10.240.0.1 dev eth0",
			"addr add 10.55.0.4/16 dev eth0 noprefixroute",
			"route add 10.55.0.0/16 dev eth0",
			"route add 10.56.0.0/16 via 10.55.0.1 dev eth0",
			"route add 10.57.0.0/16 nexthop via 10.55.0.1 nexthop via 10.55.0.2 weight 3",
			"nexthop add id 7 via 10.55.0.3 dev eth0",
			"route add 10.58.0.0/16 nhid 7",
			"route del 10.55.0.0/16 dev eth0",
			"-6 addr add fd00::4/64 dev eth0 nodad",
			"-6 route add default via fe80::1234:5678:9abc dev eth0",
			"-6 route add fd56::/64 dev eth0",
			"-6 route add fd57::/64 via fd56::1 dev eth0",
			"-6 route del fd56::/64 dev eth0",
		},
	},
}

// lay gives the host a layout.
func (l *lab) lay(n *node.Node, want layout) {
	l.Helper()
	l.run(n, "ip addr flush dev eth0")
	l.run(n, "ip link set eth0 down") // takes the routes
	for _, line := range slices.Concat(want.before, []string{"link set eth0 up"}) {
		l.layLine(n, line)
	}
	l.eventually("eth0 has no link-local address", func() bool {
		return strings.Contains(strings.Join(want.before, " "), "addr_gen_mode") ||
			strings.Contains(l.run(n, "ip -6 addr show dev eth0 scope link -tentative"), "fe80::")
	})
	for _, line := range want.lines {
		l.layLine(n, line)
	}
	if want.router != nil {
		stop, err := n.VM.Advertise(*want.router)
		l.must(err)
		l.Cleanup(func() { l.must(stop()) })
		l.eventually("the router is not believed", func() bool {
			return strings.Contains(l.run(n, "ip -6 route show dev eth0"), "default via")
		})
	}
}

// layLine executes a line of a layout.
func (l *lab) layLine(n *node.Node, line string) {
	l.Helper()
	nic := n.VM.Config.NICs[0]
	line = strings.NewReplacer("LEASE", fmt.Sprint(long.Seconds()), "10.240.0.4", nic.Address.String(), "fd00::4", nic.Address6.String(),
		"fe00:1", fmt.Sprintf("fe00:%x", nic.MAC[5])).Replace(line)
	if !strings.HasPrefix(line, "sysctl") {
		line = "ip " + line
	}
	l.run(n, line)
}

// endless requires that nothing that the host has on the bridge comes to an end: nobody renews it there.
func (l *lab) endless(n *node.Node) {
	l.Helper()
	for line := range strings.Lines(l.run(n, "ip addr show dev azure0") + l.run(n, "ip route show table all dev azure0") +
		l.run(n, "ip -6 route show table all dev azure0")) {
		if ending.MatchString(line) {
			l.Errorf("it ends: %s", line)
		}
	}
}

var ending = regexp.MustCompile(`(valid|preferred)_lft \d|expires`)

// eventually waits for what the kernel does in its own time.
func (l *lab) eventually(not string, done func() bool) {
	l.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.Fatal(not)
		}
	}
}

// outlast waits until a lifetime that begins now, and so all that began before, has passed. That they do is what is
// tested; nothing but time makes them.
func (l *lab) outlast(n *node.Node) {
	l.Helper()
	l.run(n, fmt.Sprintf("ip addr add 192.0.2.1/32 dev lo valid_lft %v preferred_lft %v", lease.Seconds(), lease.Seconds()))
	l.eventually("the witness has an address for ever", func() bool { return !strings.Contains(l.run(n, "ip addr show dev lo"), "192.0.2.1") })
}

var expiring = regexp.MustCompile(`"expires":\d+,?`)

// hostState is the snapshot, with all the settings that the host and its interfaces have, and without what passes.
func (l *lab) hostState(n *node.Node) string {
	l.Helper()
	return expiring.ReplaceAllString(l.snapshot(n), "") + l.run(n, `sysctl -a --ignore -r ^net\.ipv[46]\.(conf|ip_forward)`)
}

func (l *lab) online(n *node.Node, when string) {
	l.Helper()
	for _, to := range []netip.Addr{gateway, remoteHost, fabric.RemoteHost6} {
		l.reach("host "+when, n.VM.Ns, to.String(), to, 64)
	}
}

// Whoever configured the host: an ADD leaves it its network, without the leases, which nobody renews on the bridge, and
// also when the bridge was deleted; and cleanup gives back what was, leases as leases.
func TestTheHostKeepsItsNetwork(t *testing.T) {
	t.Parallel()
	for name, want := range layouts {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(2, 4))
			each := func(do func(n *node.Node, mode string)) {
				for i, mode := range []string{"bridge", "tunnel"} {
					do(l.nodes[i], mode)
				}
			}
			before := map[string]string{}
			each(func(n *node.Node, mode string) {
				l.lay(n, want)
				l.online(n, "at first")
				before[mode] = l.hostState(n)
				p := l.add(n, l.list(n, dualConf(mode)))
				l.online(n, "after the first ADD")
				l.reach("pod", p.NS, "outside", remoteHost, ttls[mode].fabric)
				for name, value := range want.bridge {
					if got := strings.TrimSpace(l.run(n, "sysctl -n "+name)); got != value {
						t.Errorf("%s is %s instead of %s", name, got, value)
					}
				}
				for _, line := range want.after {
					l.run(n, line)
				}
				l.endless(n)
				l.add(n, l.list(n, dualConf(mode)))
				l.online(n, "after the next ADD")
				l.run(n, "ip link del azure0")
				l.add(n, l.list(n, dualConf(mode)))
				l.online(n, "after a repair")
				l.endless(n)
				for _, line := range want.after {
					l.run(n, strings.Replace(line, "=1", "=0", 1))
				}
				l.cleanup(n)
				if after := l.hostState(n); after != before[mode] {
					t.Errorf("%s: the host is not as it was:\n%s", mode, differ(before[mode], after))
				}
				l.online(n, "after cleanup")
			})
		})
	}
}

// Somebody takes the host's addresses off the bridge: networkd, a client whose lease was over, a person. The next ADD,
// or cleanup, brings them back. What somebody replaced by another address does not come back.
func TestAHostThatLostItsAddressesGetsThemBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		damage  []string
		by      string
		without string // that must not come back
	}{
		"all, the next ADD":  {[]string{"ip addr flush dev azure0 scope global"}, "ADD", "10.240.0.9"},
		"all, cleanup":       {[]string{"ip addr flush dev azure0 scope global"}, "cleanup", "10.240.0.9"},
		"IPv4, the next ADD": {[]string{"ip -4 addr flush dev azure0"}, "ADD", "10.240.0.9"},
		"IPv6, the next ADD": {[]string{"ip -6 addr flush dev azure0 scope global"}, "ADD", "10.240.0.9"},
		"one of two":         {[]string{"ip addr add 10.240.0.9/16 dev azure0", "ip addr del 10.240.0.8/16 dev azure0"}, "ADD", "10.240.0.8"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 4))
			n := l.nodes[0]
			l.run(n, "ip addr add 10.240.0.8/16 dev eth0")
			l.run(n, "ip route add 10.99.0.0/16 via 10.240.0.1 metric 77")
			list := l.list(n, dualConf("tunnel"))
			l.add(n, list)
			for _, line := range test.damage {
				l.run(n, line)
			}
			dev := "azure0"
			if test.by == "cleanup" {
				l.cleanup(n)
				dev = "eth0"
			} else {
				l.live(n, "tunnel", l.add(n, list))
			}
			l.online(n, "after "+test.by)
			if have := l.run(n, "ip addr show dev "+dev); strings.Contains(have, test.without) {
				t.Errorf("%s is there: %s", test.without, have)
			}
			if have := l.run(n, "ip route show dev "+dev); !strings.Contains(have, "10.99.0.0/16 via 10.240.0.1 metric 77") {
				t.Errorf("not all routes are back: %s", have)
			}
		})
	}
}

// The kernel does not take the master into a bridge: the code is that of a master, the message says why, and nothing
// has changed. A macvlan in another namespace, as a container has it, cannot be seen before.
func TestAMasterThatCannotBeAPortIsNamed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lines []string
		want  string
	}{
		"macvlan": {[]string{"ip link add child link eth0 type macvlan mode bridge"}, "child"},
		"macvlan of a container": {[]string{"ip link add child link eth0 type macvlan mode bridge", "ip link set child netns OTHER"},
			"macvlan or ipvlan"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := fabric.DefaultDual(1, 3)
			cfg.VMs[0].NICs[0].Veth = true // which can have a macvlan on it
			l := newLab(t, cfg)
			n := l.nodes[0]
			l.configureHost(n)
			other, err := n.VM.NewPod("other")
			l.must(err)
			for _, line := range test.lines {
				l.run(n, strings.ReplaceAll(line, "OTHER", other.Path()))
			}
			ns, err := n.VM.NewPod("pod")
			l.must(err)
			before := l.hostState(n)
			for range 2 {
				r := l.exec(n, node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: "c0", NetNS: ns.Path(), IfName: "eth0",
					Conf: l.conf(n, dualConf("bridge"))})
				e := l.wantError(r, 102)
				if !strings.Contains(e.Msg+e.Details, test.want) || !strings.Contains(e.Msg+e.Details, "transparent") {
					t.Errorf("the message is %s; %s", e.Msg, e.Details)
				}
				if after := l.hostState(n); after != before {
					t.Errorf("the host is not as it was:\n%s", differ(before, after))
				}
			}
			l.online(n, "after it")
		})
	}
}

// Pods that start at once find the bridge while one of them makes it: what they see of it does not hide on which terms
// the master had its address.
func TestABurstOfFirstPodsKeepsTheLease(t *testing.T) {
	l := newLab(t, fabric.Default(1, 16))
	n := l.nodes[0]
	l.run(n, "ip addr change 10.240.0.4/16 dev eth0 valid_lft 7200 preferred_lft 3600")
	list := l.list(n, map[string]any{"mode": "bridge"})
	errs := make([]error, 16)
	each(len(errs), func(i int) { _, errs[i] = n.AddPod(l.ctx, list) })
	l.must(errors.Join(errs...))
	l.cleanup(n)
	if have := l.run(n, "ip -4 addr show dev eth0"); !regexp.MustCompile(`dynamic.*\s+valid_lft 7\d+sec preferred_lft 3\d+sec`).MatchString(
		have) {
		t.Errorf("the lease has not come back: %s", have)
	}
}
