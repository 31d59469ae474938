package netlink

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/netlink/hostconf"
	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/test/lab"
)

// A device that does not take a part of the configuration, here IPv6, does not get the rest: neither on the way to the
// bridge nor on the way back, and whoever had it has all of it still.
func TestAMoveIsWholeOrNotAtAll(t *testing.T) {
	h := newDualHost(t)
	h.configure()
	h.routes()
	before, conf := h.everything(), h.Conf("eth0")
	h.Run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
	h.kernel(func(nl *Handle) {
		if _, err := nl.EnsureBridge("azure0", "eth0", Lost{}); err == nil || !strings.Contains(err.Error(), "add address fd00::4 to azure0") ||
			strings.Contains(err.Error(), "undo") {
			t.Errorf("error %v", err)
		}
	})
	if after := h.everything(); after != before {
		t.Errorf("the host is not as it was:\n%s", diff(before, after))
	}
	h.ensureLost(Lost{Prepare: func() error {
		h.Run("sysctl", "-qw", "net.ipv6.conf.azure0.disable_ipv6=0")
		return nil
	}})
	h.Ping(h.VM.Ns, lab.Gateway)
	live := h.Conf("azure0")
	h.Run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
	h.kernel(func(nl *Handle) {
		if err := nl.RemoveBridge("azure0", "eth0", h.remembered); err == nil || !strings.Contains(err.Error(), "add address fd00::4 to eth0") {
			t.Errorf("error %v", err)
		}
	})
	h.Same("azure0 has what it had", h.Conf("azure0"), live)
	h.Same("eth0 has nothing", h.Conf("eth0"), "\n")
	h.Ping(h.VM.Ns, lab.Gateway)
	h.Run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0")
	h.removeBridge()
	h.Ping(h.VM.Ns, lab.Gateway)
	h.Same("eth0 has what it had", h.Conf("eth0"), conf)
}

// What cannot be prepared is not begun.
func TestABridgeThatCannotBePreparedIsNotMade(t *testing.T) {
	h := newHost(t)
	before := h.everything()
	no := errors.New("no")
	h.kernel(func(nl *Handle) {
		if _, err := nl.EnsureBridge("azure0", "eth0", Lost{Prepare: func() error { return no }}); !errors.Is(err, no) {
			t.Errorf("error %v", err)
		}
	})
	if after := h.everything(); after != before {
		t.Errorf("the host is not as it was:\n%s", diff(before, after))
	}
}

// What something else takes away while it moves is missed.
func TestWhatDoesNotArriveIsMissed(t *testing.T) {
	h := newDualHost(t)
	h.configure()
	h.routes()
	h.kernel(func(nl *Handle) {
		eth0, err := nl.Link("eth0")
		h.Must(err)
		conf, err := hostconf.Read(nl.socket, rtnl.Device{Index: eth0.Index, Name: "eth0"})
		h.Must(err)
		h.Must(hostconf.Arrived(nl.socket, conf, hostconf.Conf{}, conf.Dev))
		for _, c := range []struct{ damage, missing string }{
			{"addr del 10.98.0.1/24 dev eth0", "address 10.98.0.1/24"},
			{"-6 addr del fd98::9/64 dev eth0", "address fd98::9/64"},
			{"route del 10.55.0.0/16 dev eth0", "route 10.55.0.0/16"},
			{"route del 10.72.0.0/16", "route 10.72.0.0/16"},
			{"-6 route del fd73::/64", "route fd73::/64"},
			{"nexthop del id 14", "nexthop 14"},
		} {
			h.IP(c.damage)
			if err := hostconf.Arrived(nl.socket, conf, hostconf.Conf{}, conf.Dev); err == nil || !strings.Contains(err.Error(), c.missing) {
				t.Errorf("after %s: %v", c.damage, err)
			}
		}
	})
}

// An earlier version, or a client on the bridge, gave an address a lab.Lifetime there.
func TestALeaseOnTheBridgeIsExtended(t *testing.T) {
	h := newHost(t)
	h.ensureBridge()
	h.IP("addr change 10.240.0.4/16 dev azure0 valid_lft 500 preferred_lft 400")
	h.remembered = h.snapshot(h.remembered)
	if have := h.IP("-4 addr show dev azure0"); lab.Lifetime.MatchString(have) {
		t.Errorf("the lease has an end: %s", have)
	}
	h.removeBridge()
	if have := h.IP("-4 addr show dev eth0"); !regexp.MustCompile("valid_lft (500|501|499)sec preferred_lft (400|401|399)sec").MatchString(
		have) {
		t.Errorf("the lease has not come back: %s", have)
	}
}

// Nobody would find a pod on the master.
func TestPodsNeighboursDoNotGoToTheMaster(t *testing.T) {
	h := newHost(t)
	h.ensureBridge()
	h.IP("neigh add 10.240.1.1 lladdr 0a:58:0a:f0:01:01 nud permanent dev azure0")
	h.IP("neigh add 10.240.0.77 lladdr 02:00:00:00:00:77 nud permanent dev azure0")
	h.removeBridge()
	if have := h.IP("neigh show nud permanent dev eth0"); strings.Contains(have, "10.240.1.1") || !strings.Contains(have, "10.240.0.77") {
		t.Errorf("eth0 has %s", have)
	}
}
