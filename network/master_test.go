package network

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/platform"
)

// A host's interfaces as nodes have them: a virtual function beside its NIC, bridges of others, and more.
var (
	lo       = platform.Interface{Index: 1, Name: "lo", Loopback: true, Prefixes: prefixesOf("127.0.0.1/8")}
	eth0     = platform.Interface{Index: 2, Name: "eth0", MAC: mac(1), Prefixes: prefixesOf("10.240.0.4/16")}
	eth1     = platform.Interface{Index: 3, Name: "eth1", MAC: mac(2), Prefixes: prefixesOf("10.240.0.5/16")}
	far      = platform.Interface{Index: 4, Name: "eth2", MAC: mac(3), Prefixes: prefixesOf("192.168.0.4/24")}
	vf       = platform.Interface{Index: 5, Name: "enP1s1", MAC: mac(1), Master: 2, Slave: true, Prefixes: prefixesOf("10.240.0.4/16")}
	azure0   = platform.Interface{Index: 1 << 20, Name: "azure0", Kind: "bridge", MAC: mac(1), Prefixes: prefixesOf("10.240.0.4/16")}
	port     = platform.Interface{Index: 2, Name: "eth0", MAC: mac(1), Master: 1 << 20}
	podVeth  = platform.Interface{Index: 9, Name: "azv0123456789a", Kind: "veth", MAC: mac(9), Master: 1 << 20}
	veth     = platform.Interface{Index: 10, Name: "uplink", Kind: "veth", MAC: mac(10), Prefixes: prefixesOf("10.240.0.4/16")}
	tunnel   = platform.Interface{Index: 11, Name: "sit0", Kind: "sit", Prefixes: prefixesOf("10.240.0.4/16")}
	macvlan  = platform.Interface{Index: 12, Name: "eth0", Kind: "macvlan", MAC: mac(1), Prefixes: prefixesOf("10.240.0.4/16")}
	bondPort = platform.Interface{Index: 13, Name: "eth3", MAC: mac(4), Slave: true, Prefixes: prefixesOf("10.240.0.6/16")}
	dual     = platform.Interface{Index: 14, Name: "eth4", MAC: mac(5), Prefixes: prefixesOf("10.0.0.4/24", "fd00::4/64")}
)

func mac(last byte) net.HardwareAddr { return net.HardwareAddr{0, 0x0d, 0x3a, 0, 0, last} }

func prefixesOf(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func TestPickMaster(t *testing.T) {
	t.Parallel()
	ifaces := func(list ...platform.Interface) []platform.Interface { return list }
	for name, test := range map[string]struct {
		ifaces  []platform.Interface
		want    string // "master" of the configuration
		pod     string
		picked  string
		message string // of the error, when nothing is picked
	}{
		"finds the NIC that carries the subnet":                 {ifaces(lo, eth0, far), "", "10.240.1.1/16", "eth0", ""},
		"finds it among NICs with other subnets":                {ifaces(lo, eth0, far), "", "192.168.0.9/24", "eth2", ""},
		"prefers a secondary NIC":                               {ifaces(lo, eth0, eth1, far), "", "10.240.1.1/16", "eth1", ""},
		"prefers a secondary NIC that is listed first":          {ifaces(eth1, eth0), "", "10.240.1.1/16", "eth1", ""},
		"finds the NIC when the bridge has its address (row 7)": {ifaces(lo, port, azure0), "", "10.240.1.1/16", "eth0", ""},
		"never picks pods' veths, which are ports, too (row 7)": {ifaces(lo, port, podVeth, azure0), "", "10.240.1.1/16", "eth0", ""},
		"never picks the VF with the NIC's MAC (row 8)":         {ifaces(lo, eth0, vf), "", "10.240.1.1/16", "eth0", ""},
		"never picks a bond's slave":                            {ifaces(lo, bondPort), "", "10.240.1.1/16", "", "no interface carries"},
		"never finds a veth":                                    {ifaces(lo, veth), "", "10.240.1.1/16", "", "no interface carries"},
		"finds a macvlan":                                       {ifaces(lo, macvlan), "", "10.240.1.1/16", "eth0", ""},
		"never picks what has no MAC":                           {ifaces(lo, tunnel), "", "10.240.1.1/16", "", "no interface carries"},
		"never picks loopback":                                  {ifaces(lo), "", "127.0.0.2/8", "", "no interface carries"},
		"finds the NIC by an IPv6 subnet":                       {ifaces(lo, eth0, dual), "", "fd00::1:1/64", "eth4", ""},
		"says what could be named when nothing carries": {ifaces(lo, eth0, far, veth, vf), "", "172.16.0.1/16", "",
			`set "master" to one of eth0, eth2`},
		"says so when nothing could be named":                    {ifaces(lo), "", "172.16.0.1/16", "", "(none is usable)"},
		"takes the NIC that is named, whatever it carries":       {ifaces(lo, eth0, eth1, far), "eth2", "10.240.1.1/16", "eth2", ""},
		"takes the NIC that is named and a port already (row 7)": {ifaces(lo, port, azure0), "eth0", "10.240.1.1/16", "eth0", ""},
		"takes a veth by name":                                   {ifaces(lo, eth0, veth), "uplink", "10.240.1.1/16", "uplink", ""},
		"refuses a pod's veth by name":                           {ifaces(lo, eth0, podVeth), "azv0123456789a", "10.240.1.1/16", "", "is a veth"},
		"refuses a bridge by name (row 7)":                       {ifaces(lo, port, azure0), "azure0", "10.240.1.1/16", "", "is a bridge"},
		"refuses a VF by name (row 8)":                           {ifaces(lo, eth0, vf), "enP1s1", "10.240.1.1/16", "", "is a slave"},
		"refuses loopback by name":                               {ifaces(lo, eth0), "lo", "127.0.0.2/8", "", "is the loopback"},
		"refuses by name what has no MAC":                        {ifaces(lo, tunnel), "sit0", "10.240.1.1/16", "", "not an Ethernet"},
		"says what could be named instead of one that is not": {ifaces(lo, eth0, far), "eth7", "10.240.1.1/16", "",
			`there is no interface eth7; set "master" to one of eth0, eth2`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := PickMaster(test.ifaces, test.want, prefixesOf(test.pod))
			switch {
			case test.message == "" && (err != nil || got.Name != test.picked):
				t.Errorf("picked %q, %v; want %q", got.Name, err, test.picked)
			case test.message != "" && (!errors.Is(err, ErrMaster) || !strings.Contains(err.Error(), test.message)):
				t.Errorf("picked %q, %v; want an error with %q", got.Name, err, test.message)
			}
		})
	}
}
