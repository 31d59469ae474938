package netlink

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/lab"
	"github.com/google/go-cmp/cmp"
)

func addresses(texts ...string) (list []netip.Addr) {
	for _, s := range texts {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

// Whatever interface has them and whatever came first: the host's own address stays, and so do its routes.
func TestRemoveAddresses(t *testing.T) {
	for name, c := range map[string]struct {
		with []string // before eth0 has its own
		add  []string
	}{
		"as cloud-init leaves them": {add: []string{"addr add 10.240.1.1/16 dev eth0", "addr add 10.240.1.2/32 dev eth0",
			"addr add 10.240.1.3/32 dev lo"}},
		"before the host's own": {with: []string{"addr add 10.240.1.1/16 dev eth0", "addr add 10.240.1.2/16 dev eth0"},
			add: []string{"addr add 10.240.1.3/16 dev eth0"}},
		"as the source of other routes": {add: []string{"addr add 10.240.1.1/16 dev eth0",
			"route add 10.9.0.0/16 via 10.240.0.1 src 10.240.1.1 metric 50 mtu 1400", "route add 10.8.0.0/16 dev eth0 src 10.240.1.1 table 7"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.Run("sysctl", "-qw", "net.ipv4.conf.eth0.promote_secondaries=1")
			if len(c.with) > 0 {
				h.IP("addr del 10.240.0.4/16 dev eth0")
				for _, line := range c.with {
					h.IP(line)
				}
				h.IP("addr add 10.240.0.4/16 dev eth0")
				h.IP("route add default via 10.240.0.1 src 10.240.0.4 onlink dev eth0")
			}
			for _, line := range c.add {
				h.IP(line)
			}
			h.kernel(func(nl *Handle) {
				for range 2 { // once more is success
					h.Must(nl.RemoveAddresses(addresses("10.240.1.1", "10.240.1.2", "10.240.1.3", "10.240.1.9")))
				}
			})
			if way := h.IP("route get " + lab.Gateway.String()); !strings.Contains(way, "src "+lab.Prefix.Addr().String()+" ") {
				t.Errorf("the host sends to the gateway so:\n%s", way)
			}
			if got := h.IP("-4 -o addr show"); strings.Contains(got, "10.240.1.") || strings.Count(got, "inet 10.240.0.4/16") != 1 {
				t.Errorf("the host has\n%s", got)
			}
			routes := h.IP("route show table all")
			for _, line := range c.add {
				if f := strings.Fields(line); f[0] == "route" && !strings.Contains(routes, f[2]) || strings.Contains(routes, "10.240.1.") {
					t.Errorf("%s: the routes are\n%s", line, routes)
				}
			}
			if strings.Contains(strings.Join(c.add, " "), "mtu") && !strings.Contains(routes, "metric 50 mtu 1400") {
				t.Errorf("a route lost more than its source:\n%s", routes)
			}
			h.Ping(h.VM.Ns, lab.Gateway)
			h.Ping(h.VM.Ns, netip.MustParseAddr("10.241.0.1"))
		})
	}
}

func TestWhoUsesAnAddress(t *testing.T) {
	h := newHost(t)
	for _, line := range []string{"addr add 10.240.1.1/16 dev eth0", "addr add 10.240.1.2/16 dev eth0",
		"route add 10.9.0.0/16 via 10.240.0.1 src 10.240.1.1", "rule add from 10.240.1.2 lookup 77 pref 1000",
		"rule add from 10.240.1.0/24 lookup 77 pref 1001"} {
		h.IP(line)
	}
	var closers []interface{ Close() error }
	h.kernel(func(nl *Handle) {
		listener, err := net.Listen("tcp4", "10.240.1.1:8080")
		h.Must(err)
		client, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 240, 1, 2), Port: 4711}}).Dial("tcp4", "10.240.1.1:8080")
		h.Must(err)
		server, err := listener.Accept()
		h.Must(err)
		mapped, err := net.ListenPacket("udp", "[::ffff:10.240.1.2]:53")
		h.Must(err)
		anywhere, err := net.Listen("tcp", ":9090") // is nobody's
		h.Must(err)
		closers = append(closers, listener, client, server, mapped, anywhere)
		asked := addresses("10.240.1.1", "10.240.1.2", "10.240.1.3")
		sockets, err := SocketsOf(asked)
		h.Must(err)
		routes, err := nl.RoutesFrom(asked)
		h.Must(err)
		rules, err := nl.RulesFrom(asked)
		h.Must(err)
		byText := func(m map[netip.Addr][]string) map[string][]string {
			out := map[string][]string{}
			for a, list := range m {
				out[a.String()] = list
			}
			return out
		}
		if diff := cmp.Diff(map[string][]string{
			"10.240.1.1": {"tcp 10.240.1.1:8080, connected with 10.240.1.2:4711", "tcp 10.240.1.1:8080, listening"},
			"10.240.1.2": {"tcp 10.240.1.2:4711, connected with 10.240.1.1:8080", "udp 10.240.1.2:53, listening"},
		}, byText(sockets)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string][]string{"10.240.1.1": {"10.9.0.0/16 by 10.240.0.1"}}, byText(routes)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string][]string{"10.240.1.2": {"pref 1000"}}, byText(rules)); diff != "" {
			t.Error(diff)
		}
	})
	for _, c := range slices.Backward(closers) {
		h.Must(c.Close())
	}
}
