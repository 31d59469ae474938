package platform

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

// All that an interface has is the host's, however it came there; what is good on one link only is not asked about.
func TestAddresses(t *testing.T) {
	t.Parallel()
	inNewNetns(t, func(t *testing.T) {
		for name, list := range map[string][]string{
			"lo": {"10.240.1.3/32"}, "eth0": {"10.240.0.4/16", "10.240.1.1/16", "10.240.1.2/32", "fd00::4/64", "fd00::1:1/128", "fe80::4/64"},
		} {
			if name != "lo" {
				addLink(t, &netlink.Bridge{LinkAttrs: attrs(name)})
			}
			l, err := netlink.LinkByName(name)
			check(t, err)
			check(t, netlink.LinkSetUp(l))
			for _, text := range list {
				a, err := netlink.ParseAddr(text)
				check(t, err)
				check(t, netlink.AddrAdd(l, a))
			}
		}
		want := map[netip.Addr]string{}
		for a, at := range map[string]string{"127.0.0.1": "lo", "10.240.1.3": "lo", "10.240.0.4": "eth0",
			"10.240.1.1": "eth0", "10.240.1.2": "eth0"} {
			want[netip.MustParseAddr(a)] = at
		}
		byAddr := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
		got, err := Host{}.Addresses(true, false)
		if diff := cmp.Diff(want, got, byAddr); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		want6 := map[netip.Addr]string{}
		for a, at := range map[string]string{"::1": "lo", "fd00::4": "eth0", "fd00::1:1": "eth0"} {
			want6[netip.MustParseAddr(a)] = at
			want[netip.MustParseAddr(a)] = at
		}
		got, err = Host{}.Addresses(false, true)
		if diff := cmp.Diff(want6, got, byAddr); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		got, err = Host{}.Addresses(true, true)
		if diff := cmp.Diff(want, got, byAddr); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}
