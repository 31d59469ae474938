package netlink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/lab"
	"golang.org/x/sys/unix"
)

// configure gives eth0 everything that a host may have configured, beyond one address and a default route.
func (h *host) configure() {
	h.Helper()
	for _, args := range []string{
		"addr add 10.240.0.9/16 brd + dev eth0 label eth0:1", // a secondary address of the same subnet
		"addr add 10.240.0.10/16 dev eth0 noprefixroute",
		"addr add 192.168.7.1/24 brd + dev eth0 scope link",
		"addr add 10.99.0.1 peer 10.99.0.2/32 dev eth0",
		"addr add 10.97.0.1/24 dev eth0 metric 77",
		"addr add 10.98.0.1/24 dev eth0 valid_lft 86400 preferred_lft 43200", // by DHCP
		"route add default via 10.240.0.1 dev eth0 metric 100 src 10.240.0.9 proto dhcp",
		"route add default via 192.168.7.254 dev eth0 table 100",
		"route add 168.63.129.16 via 10.240.0.1 dev eth0 proto dhcp metric 100",
		"route add 10.55.0.0/16 dev eth0 scope link",
		"route add 10.56.0.0/16 via 10.240.0.1 dev eth0 mtu 1400 advmss 1360",
		"route add 10.57.0.0/16 via 172.31.0.1 dev eth0 onlink",
		"route add 10.58.0.0/16 via 10.55.0.1 dev eth0", // needs a route that is no address's
		// As NetworkManager leaves it: the route to the subnet is not the kernel's, though it says so.
		"addr add 10.94.0.1/24 brd + dev eth0 noprefixroute valid_lft 86400 preferred_lft 43200",
		"route add 10.94.0.0/24 dev eth0 proto kernel scope link src 10.94.0.1 metric 100",
		"route add default via 10.94.0.254 dev eth0 proto dhcp src 10.94.0.1 metric 300",
		// The way to the lab.Gateway has gone.
		"route add 10.53.0.0/16 dev eth0",
		"route add 10.52.0.0/16 via 10.53.0.1 dev eth0",
		"route add 10.51.0.0/16 nexthop via 10.53.0.1 dev eth0 nexthop via 10.53.0.2 dev eth0 weight 3",
		"route del 10.53.0.0/16 dev eth0",
		"neigh add 10.240.0.200 lladdr 02:00:00:00:02:00 nud permanent dev eth0",
		"neigh add 192.168.7.254 lladdr 02:00:00:00:07:fe nud permanent dev eth0",
	} {
		h.IP(args)
	}
}

func TestEnsureBridgeMovesTheHostsConfigurationAndRemoveBridgeRestoresIt(t *testing.T) {
	h := newHost(t)
	h.configure()
	before := h.Conf("eth0")
	for _, part := range []string{"label", "10.99.0.1 peer", "table 100", "N sec", "lladdr 02:00:00:00:07:fe"} {
		if part != "label" && !strings.Contains(before, part) || !strings.Contains(before, "DEV:1") {
			t.Fatalf("the configuration has no %q:\n%s", part, before)
		}
	}
	b := h.ensureBridge()
	h.Same("azure0 has what eth0 had", h.Conf("azure0"), lab.Sorted(lab.Endless(before)))
	h.Same("eth0 has nothing", h.Conf("eth0"), "\n")
	if b.Link.Index < firstIndex || b.Link.MAC.String() != lab.MAC.String() || b.Master.Master != b.Link.Index || b.Link.MTU != 1500 {
		t.Errorf("the bridge is %+v", b)
	}
	h.Ping(h.VM.Ns, lab.Gateway)
	h.removeBridge()
	h.Same("eth0 has what it had", h.Conf("eth0"), before)
	if links := h.IP("-o link"); strings.Contains(links, "azure0") {
		t.Errorf("the bridge is still there:\n%s", links)
	}
	h.Ping(h.VM.Ns, lab.Gateway)
	h.removeBridge() // once more is success
}

func TestEnsureBridgeMovesIPv6(t *testing.T) {
	t.Parallel()
	h := &host{Host: &lab.Host{T: t, VM: fabric.Start(t, fabric.DefaultDual(1, 1)).VMs[0]}}
	h.IP("-6 addr add fd00::9/64 dev eth0 nodad")
	h.IP("-6 route add fd77::/64 via fd00::1 dev eth0 metric 50")
	h.IP("-6 neigh add fd00::77 lladdr 02:00:00:00:02:00 nud permanent dev eth0")
	before := h.Conf("eth0")
	for end := time.Now().Add(10 * time.Second); !strings.Contains(before, "local fd00::9") &&
		time.Now().Before(end); { // a worker of the kernel's adds it
		before = h.Conf("eth0")
	}
	for _, part := range []string{"fd00::4/64", "fd00::9/64", "local fd00::9", "default via fe80::1234:5678:9abc",
		"fd77::/64 via fd00::1", "fd00::77 lladdr"} {
		if !strings.Contains(before, part) {
			t.Fatalf("the configuration has no %q:\n%s", part, before)
		}
	}
	h.ensureBridge()
	h.Same("azure0 has what eth0 had", h.Conf("azure0"), lab.Sorted(lab.Endless(before)))
	h.Same("eth0 has nothing", h.Conf("eth0"), "\n")
	h.removeBridge()
	h.Same("eth0 has what it had", h.Conf("eth0"), before)
}

func TestEnsureBridgeChangesNothingTheSecondTime(t *testing.T) {
	h := newHost(t)
	h.configure()
	first := h.ensureBridge()
	all := func() string {
		return h.IP("addr") + h.IP("route show table all") + h.IP("neigh show nud permanent")
	}
	before := lab.Lifetime.ReplaceAllString(all(), "N sec")
	h.kernel(func(nl *Handle) {
		if _, ok, err := nl.Bridge("azure0", "eth0"); !ok || err != nil {
			t.Errorf("the bridge is ok: %v, %v", ok, err)
		}
	})
	if second := h.ensureBridge(); second.Link.Index != first.Link.Index {
		t.Errorf("the bridge was made again: %+v, then %+v", first, second)
	}
	h.Same("all is as it was", lab.Lifetime.ReplaceAllString(all(), "N sec"), before)
}

// A DHCP client, or systemd-networkd, puts the addresses back on eth0.
func TestEnsureBridgeMovesAgainWhatSomebodyPutBack(t *testing.T) {
	h := newHost(t)
	h.ensureBridge()
	h.IP("neigh add 10.240.1.1 lladdr 0a:58:0a:f0:01:01 nud permanent dev azure0") // a pod's
	want := h.Conf("azure0")
	h.IP("addr add 10.240.0.4/16 brd + dev eth0")
	h.IP("route add default via 10.240.0.1 dev eth0 metric 100")
	h.kernel(func(nl *Handle) {
		if _, ok, err := nl.Bridge("azure0", "eth0"); ok || err != nil {
			t.Errorf("the bridge is ok: %v, %v", ok, err)
		}
	})
	h.ensureBridge()
	h.Same("azure0", h.Conf("azure0"), lab.Sorted(want+"default via 10.240.0.1 metric 100\n"))
	h.Same("eth0", h.Conf("eth0"), "\n")
	h.Ping(h.VM.Ns, lab.Gateway)
}

func TestEnsureBridgeRepairs(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"a bridge that is down":             "link set azure0 down",
		"a master that is down":             "link set eth0 down",
		"a master that is no port any more": "link set eth0 nomaster",
		"another MAC of the bridge":         "link set azure0 address 02:00:00:00:00:01",
		"another MTU of the bridge":         "link set azure0 mtu 1400",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.ensureBridge()
			h.IP(damage)
			h.ensureBridge()
			if !strings.Contains(h.Conf("azure0"), "default via 10.240.0.1") { // it goes when a link goes down
				h.IP("route add default via 10.240.0.1 dev azure0")
			}
			h.Ping(h.VM.Ns, lab.Gateway)
			h.kernel(func(nl *Handle) {
				if b, ok, err := nl.Bridge("azure0", "eth0"); !ok || err != nil {
					t.Errorf("the bridge is %+v, %v", b, err)
				}
			})
		})
	}
}

// A bridge without a MAC of its own would take the lowest one of its ports, and the host's would change whenever a pod
// starts.
func TestTheBridgeKeepsTheMastersMACWhenALowerOneJoins(t *testing.T) {
	h := newHost(t)
	h.ensureBridge()
	h.IP("link add low address 00:00:00:00:00:01 type veth peer name low2")
	h.IP("link set low master azure0 up")
	h.IP("link set low2 up")
	if text := h.IP("-o link show azure0"); !strings.Contains(text, lab.MAC.String()) {
		t.Errorf("the bridge is %s", text)
	}
	h.Ping(h.VM.Ns, lab.Gateway)
}

// linkState is what a link's other end may have changed meanwhile.
var linkState = regexp.MustCompile(` (UP|DOWN|LOWERLAYERDOWN|UNKNOWN) |<.*>`)

func TestEnsureBridgeThatCannotSucceedLeavesTheHostAlone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		situation    []string
		master, want string
	}{
		"the name is taken by a veth": {[]string{"link add azure0 type veth peer name other"}, "eth0", "azure0 is a veth, not a bridge"},
		"there is no such master":     {nil, "eth7", "link not found: eth7"},
		"the master is another bridge's": {[]string{"link add br0 type bridge", "addr add 10.240.0.4/16 dev br0",
			"addr del 10.240.0.4/16 dev eth0", "link set eth0 master br0", "link set br0 up"}, "eth0", "eth0 is a port of br0"},
		// Something else receives the frames of the master already (rx_handler): the batch fails in the middle.
		"the kernel refuses the port": {[]string{"link add up1 type veth peer name up2", "link set up1 up", "link set up2 up",
			"link add child link up1 type macvlan mode bridge",
			"addr add 10.77.0.1/24 dev up1", "addr add 10.77.0.2/24 dev up1", "route add 10.78.0.0/16 via 10.77.0.254 dev up1"}, "up1",
			"the macvlan child is on up1"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			for _, args := range test.situation {
				h.IP(args)
			}
			all := func() string {
				return lab.Sorted(h.IP("-o addr") + h.IP("route show table all") +
					regexp.MustCompile(" +").ReplaceAllString(linkState.ReplaceAllString(h.IP("-br link"), ""), " "))
			}
			before := all()
			h.kernel(func(nl *Handle) {
				if _, err := nl.EnsureBridge("azure0", test.master, Lost{}); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want one with %q", err, test.want)
				}
			})
			h.Same("all is as it was", all(), before)
			h.kernel(func(nl *Handle) {
				if err := nl.RemoveBridge("azure0", test.master, nil); err == nil && test.master != "up1" {
					t.Error("RemoveBridge gives no error")
				}
			})
			h.Same("all is as it was", all(), before)
		})
	}
}

func TestRemoveBridgeOfWhatIsNoBridgeIsAnError(t *testing.T) {
	h := newHost(t)
	h.IP("link add azure0 type veth peer name other")
	h.kernel(func(nl *Handle) {
		if err := nl.RemoveBridge("azure0", "eth0", nil); !errors.Is(err, ErrExists) {
			t.Errorf("error %v", err)
		}
		if err := nl.RemoveBridge("azure1", "eth7", nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("error %v", err)
		}
	})
}

// The kernel itself drops what arrives in the some 40 µs between a port's receive handler and its forwarding
// state (net/bridge/br_if.c, br_add_if; some 250 µs in del_nbp), so of the pings under way a move may lose
// one. But there is never a moment without an address or a route: no ping fails to be sent.
func TestTheHostStaysReachableWhileTheConfigurationMoves(t *testing.T) {
	h := newHost(t)
	h.Ping(h.VM.Ns, lab.Gateway)
	const moves = 20
	stop := make(chan struct{})
	var sent, lost atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for pace := time.NewTicker(2 * time.Millisecond); ; <-pace.C {
			select {
			case <-stop:
				return
			default:
			}
			sent.Add(1)
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(h.Context(), time.Second)
				defer cancel()
				if _, err := h.VM.Ns.Ping(ctx, lab.Gateway, fabric.PingOptions{}); errors.Is(err, context.DeadlineExceeded) {
					lost.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
	})
	wg.Go(func() {
		if err := h.VM.Ns.Do(func() error { return alwaysRouted(stop) }); err != nil {
			t.Error(err)
		}
	})
	for range moves {
		h.ensureBridge()
		h.removeBridge()
	}
	close(stop)
	wg.Wait()
	t.Logf("%d moves and as many back, %d pings, %d of them lost", moves, sent.Load(), lost.Load())
	// On a busy machine the kernel's own moment lasts as long as whoever moves is not scheduled: several pings may fall
	// into it.
	if lost.Load() > max(2*moves, sent.Load()/2) {
		t.Errorf("%d pings lost", lost.Load())
	}
}

// alwaysRouted asks the kernel for the way to the lab.Gateway, and to a host behind it, again and again: every few
// microseconds, on another CPU than the one that moves. Connecting a datagram socket sends nothing.
func alwaysRouted(stop <-chan struct{}) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		for _, to := range []netip.Addr{lab.Gateway, fabric.RemoteHost} {
			if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: to.As4()}); err != nil {
				return fmt.Errorf("look-up %d of the way to %s: %w", n, to, err)
			}
		}
	}
}

// The requests of a batch are acknowledged each, and the error names all that failed.
func TestABatchReportsEveryFailure(t *testing.T) {
	h := newHost(t)
	h.kernel(func(nl *Handle) {
		eth0, err := nl.Link("eth0")
		h.Must(err)
		b := &rtnl.Batch{}
		for _, a := range []string{"10.240.0.4/16", "10.1.0.1/24", "10.1.0.1/24", "10.1.0.2/24"} {
			b.Add("add "+a, addrRequest(eth0, netip.MustParsePrefix(a)))
		}
		b.Add("delete a link that is not there", rtnl.LinkMessage(unix.RTM_DELLINK, 0, 12345, false), unix.ENODEV)
		b.Add("delete another", rtnl.LinkMessage(unix.RTM_DELLINK, 0, 12345, false))
		err = b.Send(nl.socket)
		if err == nil || err.Error() != "add 10.240.0.4/16: file exists\nadd 10.1.0.1/24: file exists\ndelete another: no such device" {
			t.Errorf("error %v", err)
		}
		if have, err := nl.Addresses(eth0); err != nil || len(have) != 3 {
			t.Errorf("eth0 has %v, %v", have, err)
		}
		h.Must((&rtnl.Batch{}).Send(nl.socket)) // nothing to do
	})
}
