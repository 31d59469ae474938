package ipam

import (
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/platform"
)

func TestOnlyNICsAreMatched(t *testing.T) {
	t.Parallel()
	with := func(name, mac string, change func(*platform.Interface)) platform.Interface {
		i := iface(name, mac)
		change(&i)
		return i
	}
	slave := func(i *platform.Interface) { i.Slave = true }
	kind := func(k string) func(*platform.Interface) { return func(i *platform.Interface) { i.Kind = k } }
	named := iface("eth0", classicMAC)
	for name, c := range map[string]struct {
		ifaces []platform.Interface
		master string
		mac    string
		want   string
	}{
		"the NIC":                    {[]platform.Interface{loopback(), named}, "", classicMAC, "eth0"},
		"any":                        {[]platform.Interface{loopback(), named}, "", "*", "eth0"},
		"a VF with the same MAC":     {[]platform.Interface{with("enP1s1", classicMAC, slave), named}, "", classicMAC, "eth0"},
		"a VF, and any":              {[]platform.Interface{with("enP1s1", classicMAC, slave), named}, "", "*", "eth0"},
		"a bridge with the same MAC": {[]platform.Interface{with("azure0", classicMAC, kind("bridge")), named}, "", classicMAC, "eth0"},
		"a NIC that is a bridge's port": {[]platform.Interface{with("eth0", classicMAC, func(i *platform.Interface) { i.Master = 9 })}, "",
			classicMAC, "eth0"},
		"only a bridge":            {[]platform.Interface{with("azure0", classicMAC, kind("bridge"))}, "", classicMAC, ""},
		"what we made":             {[]platform.Interface{iface("azv1234567", classicMAC)}, "", classicMAC, ""},
		"a veth":                   {[]platform.Interface{with("eth0", classicMAC, kind("veth"))}, "", classicMAC, ""},
		"a veth that is named":     {[]platform.Interface{with("eth0", classicMAC, kind("veth"))}, "eth0", classicMAC, "eth0"},
		"a veth, another is named": {[]platform.Interface{with("eth0", classicMAC, kind("veth"))}, "eth1", classicMAC, ""},
		"any, and only loopback":   {[]platform.Interface{loopback()}, "", "*", ""},
		"an alias does not matter": {[]platform.Interface{with("eth0", classicMAC, func(i *platform.Interface) { i.Alias = "azure" })}, "",
			classicMAC, "eth0"},
		"another MAC":              {[]platform.Interface{named}, "", macs[0], ""},
		"no MAC is not loopback's": {[]platform.Interface{loopback()}, "", "", ""},
	} {
		h := hostInterfaces{c.ifaces, c.master}
		got, ok := h.NIC(source.Subnet{MAC: c.mac})
		if got.Name != c.want || ok != (c.want != "") {
			t.Errorf("%s: %+v, %t instead of %q", name, got, ok, c.want)
		}
		if c.mac != "*" && h.HasMAC(c.mac) != ok {
			t.Errorf("%s: HasMAC is %t", name, h.HasMAC(c.mac))
		}
	}
}

// twoNICs is a space with a primary and a secondary NIC, two addresses each, and IPv6 on the first.
func twoNICs(t *testing.T) *AddressSpace {
	t.Helper()
	s := &AddressSpace{}
	s.Refresh([]source.Subnet{
		{MAC: macs[0], Primary: true, Prefix: prefix("10.240.0.0/24"), Addresses: addrs(t, "10.240.0.5", "10.240.0.6")},
		{MAC: macs[1], Prefix: prefix("10.241.0.0/24"), Addresses: addrs(t, "10.241.0.5", "10.241.0.6")},
		{MAC: macs[0], Primary: true, Prefix: prefix("fd00::/64"), Addresses: addrs(t, "fd00::5")},
		{MAC: macs[2], Prefix: prefix("10.9.0.0/24"), Addresses: addrs(t, "10.9.0.5")},
	}, hostOf(loopback(), iface("eth0", macs[0]), iface("eth1", macs[1])))
	return s
}

func TestPoolsAreChosenInOrder(t *testing.T) {
	t.Parallel()
	s := twoNICs(t)
	for i, c := range []struct {
		q    Request
		want string
	}{
		{Request{Owner: Owner{Network: "a"}}, "10.241.0.5"},                                  // the secondary NIC
		{Request{Owner: Owner{Network: "b"}}, "10.240.0.5"},                                  // what no network uses
		{Request{Owner: Owner{Network: "a"}, IPv6: true}, "fd00::5"},                         // bound per family
		{Request{Owner: Owner{Network: "a"}, Subnet: prefix("10.240.0.0/24")}, "10.240.0.6"}, // chosen
		{Request{Owner: Owner{Network: "a"}}, "10.241.0.6"},                                  // and bound as before
	} {
		c.q.ContainerID = string(rune('p' + i))
		if got, err := s.Allocate(c.q, testTime); err != nil || got.Address.String() != c.want {
			t.Errorf("%d: %s, %v instead of %s", i, got.Address, err, c.want)
		}
	}
}

func TestGatewayOfAPool(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]string{"10.240.0.0/16": "10.240.0.1", "10.240.0.64/26": "10.240.0.65",
		"fd00::/64": "fe80::1234:5678:9abc"} {
		if got := (&Pool{Prefix: prefix(p)}).Gateway(); got != addr(want) {
			t.Errorf("%s: %s instead of %s", p, got, want)
		}
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	s := twoNICs(t)
	for _, network := range []string{"a", "b"} {
		for _, id := range []string{"1", "2"} {
			if _, err := s.Allocate(Request{Owner: Owner{network, id, "eth0"}}, testTime); err != nil {
				t.Fatal(err)
			}
		}
	}
	known := "known is 10.240.0.0/24 on eth0 (2 addresses); known is 10.241.0.0/24 on eth1 (2 addresses); known is fd00::/64 on eth0 (1 " +
		"addresses)"
	unmatched := "; the source lists NICs that are not on this host: " + macs[2] + "; "
	for want, q := range map[string]Request{
		"no free address in pool 10.241.0.0/24 of eth1: 2 addresses, " +
			"2 in use": {Owner: Owner{Network: "a"}},
		"no free address in pool 10.241.0.0/24 of eth1: 2 addresses, 2 in use in pool 10.240.0.0/24 of eth0: 2 addresses, " +
			"2 in use": {Owner: Owner{Network: "c"}},
		"no address pool for IPv4 addresses in subnet 10.9.0.0/24" + unmatched + known: {Owner: Owner{Network: "a"},
			Subnet: prefix("10.9.0.0/24")},
		"no address pool for IPv6 addresses on interface eth1" + unmatched + known: {Owner: Owner{Network: "a"}, Master: "eth1", IPv6: true},
		"address in use: 10.241.0.5 is held by a/1/eth0":                           {Owner: Owner{Network: "a"}, Address: addr("10.241.0.5")},
		"not an address of this host's pools: 10.241.0.9":                          {Owner: Owner{Network: "a"}, Address: addr("10.241.0.9")},
		"address in use: a/1/eth0 asks for 10.241.0.6 but holds 10.241.0.5":        {Owner: Owner{"a", "1", "eth0"}, Address: addr("10.241.0.6")},
	} {
		if _, err := s.Allocate(q, testTime); err == nil || err.Error() != want {
			t.Errorf("%v\ninstead of\n%s", err, want)
		}
	}
}

// An answer that leaves the bound NIC out for a while must not move the network to another NIC: its bridge stays.
func TestNetworkStaysWithItsPoolThroughAPartialAnswer(t *testing.T) {
	t.Parallel()
	s := twoNICs(t)
	host := hostOf(loopback(), iface("eth0", macs[0]), iface("eth1", macs[1]))
	if _, err := s.Allocate(Request{Owner: Owner{"a", "1", "eth0"}}, testTime); err != nil {
		t.Fatal(err)
	}
	full := []source.Subnet{
		{MAC: macs[0], Primary: true, Prefix: prefix("10.240.0.0/24"), Addresses: addrs(t, "10.240.0.5")},
		{MAC: macs[1], Prefix: prefix("10.241.0.0/24"), Addresses: addrs(t, "10.241.0.5", "10.241.0.6")},
	}
	s.Refresh(full[:1], host)
	if got, err := s.Allocate(Request{Owner: Owner{"a", "2", "eth0"}}, testTime); err == nil ||
		!strings.Contains(err.Error(), "10.241.0.0/24 of eth1: 0 addresses, 1 in use") {
		t.Errorf("%+v, %v", got, err)
	}
	s.Refresh(full, host)
	if got, err := s.Allocate(Request{Owner: Owner{"a", "2", "eth0"}}, testTime); err != nil || got.Address != addr("10.241.0.6") {
		t.Errorf("%+v, %v", got, err)
	}
	if !slices.Equal(s.Unmatched, nil) {
		t.Errorf("unmatched %v", s.Unmatched)
	}
}
