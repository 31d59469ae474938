package netlink

import (
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/lab"
)

// The NIC has another primary address: a DHCP client gives it to the master, and cannot take the old one off the
// bridge. With both the host would send from the old one, which Azure does not know any more.
func TestAnotherAddressOfTheMasterTakesThePlaceOfTheFirst(t *testing.T) {
	for name, test := range map[string]struct {
		lines []string
		want  []string // azure0's IPv4 addresses, in their order
	}{
		"a DHCP client's": {[]string{"addr add 10.240.1.1/16 brd + dev eth0 valid_lft 86400 preferred_lft 86400",
			"route add default via 10.240.0.1 dev eth0 src 10.240.1.1 metric 100"},
			[]string{"192.168.7.1/24", "10.240.1.1/16", "10.240.0.9/16"}},
		"a DHCP client's, and the bridge is gone": {[]string{"link del azure0", "addr add 10.240.1.1/16 brd + dev eth0",
			"route add default via 10.240.0.1 dev eth0"},
			[]string{"10.240.1.1/16", "192.168.7.1/24", "10.240.0.9/16"}},
		"a person's, in addition": {[]string{"addr add 10.240.1.1/16 brd + dev eth0"},
			[]string{"10.240.0.4/16", "192.168.7.1/24", "10.240.0.9/16", "10.240.1.1/16"}},
		"the old one, too": {[]string{"addr add 10.240.0.4/16 brd + dev eth0", "addr add 10.240.1.1/16 brd + dev eth0",
			"route add default via 10.240.0.1 dev eth0 metric 100"},
			[]string{"10.240.0.4/16", "192.168.7.1/24", "10.240.0.9/16", "10.240.1.1/16"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.IP("addr add 10.240.0.9/16 brd + dev eth0")
			h.IP("addr add 192.168.7.1/24 dev eth0")
			h.IP("route add 10.55.0.0/16 via 10.240.0.1 metric 7")
			h.IP("route add 10.56.0.0/16 via 10.240.0.1 src 10.240.0.4")
			h.ensureBridge()
			h.IP("neigh add 10.240.0.77 lladdr 02:00:00:00:00:77 nud permanent dev azure0")
			h.remembered = h.snapshot(h.remembered)
			for _, line := range test.lines {
				h.IP(line)
			}
			h.ensureLost(Lost{Host: h.remembered})
			have := h.IP("-4 -br addr show dev azure0")
			if got := strings.Join(strings.Fields(have)[2:], " "); got != strings.Join(test.want, " ") {
				t.Errorf("azure0 has %s", have)
			}
			if routes := h.IP("route show dev azure0"); !strings.Contains(routes, "10.55.0.0/16 via 10.240.0.1 metric 7") ||
				!strings.Contains(routes, "default via 10.240.0.1") {
				t.Errorf("azure0 has the routes %s", routes)
			}
			if !strings.Contains(h.IP("neigh show dev azure0 nud permanent"), "10.240.0.77") {
				t.Error("a neighbour is gone")
			}
			h.Ping(h.VM.Ns, lab.Gateway)
		})
	}
}
