package doctor

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/platform"
)

func nicOf(index, master int, name string, addresses ...string) platform.Interface {
	i := platform.Interface{Index: index, Master: master, Name: name, MAC: net.HardwareAddr{0, 0x0d, 0x3a, 0, 0, byte(index)}, Up: true}
	if strings.HasPrefix(name, "azure") {
		i.Kind = "bridge"
	}
	for _, a := range addresses {
		i.Prefixes = append(i.Prefixes, netip.MustParsePrefix(a))
	}
	return i
}

// podSpace is what the source says: eth0 and eth1 have addresses for pods.
func podSpace(ifaces []platform.Interface, eth0 ...string) ipam.AddressSpace {
	list := func(texts ...string) (addrs []netip.Addr) {
		for _, t := range texts {
			addrs = append(addrs, netip.MustParseAddr(t))
		}
		return addrs
	}
	return ipam.Space([]source.Subnet{
		{MAC: "00:0d:3a:00:00:02", Primary: true, Prefix: netip.MustParsePrefix("10.240.0.0/16"),
			Addresses: list(append(eth0, "10.240.1.1", "10.240.1.2", "10.240.1.3")...)},
		{MAC: "00:0d:3a:00:00:02", Primary: true, Prefix: netip.MustParsePrefix("fd00::/64"), Addresses: list("fd00::1:1", "fd00::1:2")},
		{MAC: "00:0d:3a:00:00:03", Prefix: netip.MustParsePrefix("10.241.0.0/16"), Addresses: list("10.241.1.1", "10.241.1.2")},
	}, ifaces, "")
}

// What Azure assigned for pods and the host has is a stray, wherever it is; the host always keeps an address of each
// family on a NIC.
func TestStrays(t *testing.T) {
	t.Parallel()
	lo := platform.Interface{Index: 1, Name: "lo", Loopback: true,
		Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("10.240.1.3/32")}}
	for name, c := range map[string]struct {
		ifaces []platform.Interface
		listed []string // for pods, besides
		speaks string
		want   string // own ones with "!"
	}{
		"a healthy host": {ifaces: []platform.Interface{nicOf(2, 0, "eth0", "10.240.0.4/16", "fd00::4/64", "fe80::4/64"),
			nicOf(3, 0, "eth1", "10.241.0.4/16")}},
		"as cloud-init leaves it": {
			ifaces: []platform.Interface{nicOf(2, 0, "eth0", "10.240.1.2/16", "10.240.0.4/16", "10.240.1.1/16", "fd00::1:1/128", "fd00::4/64"),
				nicOf(3, 0, "eth1", "10.241.0.4/16", "10.241.1.2/16")},
			want: "10.240.1.1/16@eth0 10.240.1.2/16@eth0 fd00::1:1/128@eth0 10.241.1.2/16@eth1",
		},
		"with a bridge": {
			ifaces: []platform.Interface{nicOf(2, 9, "eth0", "10.240.1.1/16"), nicOf(9, 0, "azure0", "10.240.0.4/16", "10.240.1.2/16")},
			want:   "10.240.1.1/16@eth0 10.240.1.2/16@azure0",
		},
		"on lo": {ifaces: []platform.Interface{lo, nicOf(2, 0, "eth0", "10.240.0.4/16")}, want: "10.240.1.3/32@lo"},
		"none is the host's, and it speaks by the second": {
			ifaces: []platform.Interface{nicOf(2, 0, "eth0", "10.240.1.1/16", "10.240.0.4/16", "10.240.1.2/16")},
			listed: []string{"10.240.0.4"}, speaks: "10.240.0.4",
			want: "!10.240.0.4/16@eth0 10.240.1.1/16@eth0 10.240.1.2/16@eth0",
		},
		"none is the host's, and nobody knows by which it speaks": {
			ifaces: []platform.Interface{nicOf(2, 9, "eth0"), nicOf(9, 0, "azure0", "10.240.1.2/16", "10.240.1.1/16")},
			want:   "10.240.1.1/16@azure0 !10.240.1.2/16@azure0",
		},
		"the one by which it speaks is there twice": {
			ifaces: []platform.Interface{nicOf(2, 9, "eth0", "10.240.0.4/16"), nicOf(9, 0, "azure0", "10.240.0.4/16", "10.240.1.2/16")},
			listed: []string{"10.240.0.4"}, speaks: "10.240.0.4",
			want: "!10.240.0.4/16@eth0 !10.240.0.4/16@azure0 10.240.1.2/16@azure0",
		},
		"the only one of its family": {ifaces: []platform.Interface{nicOf(2, 0, "eth0", "10.240.0.4/16", "fd00::1:1/64", "fe80::4/64")},
			want: "!fd00::1:1/64@eth0"},
		"the other NIC has its own": {ifaces: []platform.Interface{nicOf(2, 0, "eth0", "10.240.0.4/16"),
			nicOf(3, 0, "eth1", "10.241.1.1/16")}, want: "!10.241.1.1/16@eth1"},
		"on lo, and nothing on the NIC": {ifaces: []platform.Interface{lo, nicOf(2, 0, "eth0")}, want: "10.240.1.3/32@lo"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := func(netip.Addr) (netip.Addr, error) {
				if c.speaks == "" {
					return netip.Addr{}, errors.New("no route")
				}
				return netip.MustParseAddr(c.speaks), nil
			}
			var got []string
			for _, s := range findStrays(podSpace(c.ifaces, c.listed...), c.ifaces, source) {
				text := s.Address.String() + "@" + s.At
				if s.Own {
					text = "!" + text
				}
				got = append(got, text)
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
		})
	}
}
