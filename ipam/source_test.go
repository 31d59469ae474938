package ipam

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/platform"
	"github.com/google/go-cmp/cmp"
)

func TestMACsOfAnyForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"000D3A112233": classicMAC, "000d3a112233": classicMAC, "00-0D-3A-11-22-33": classicMAC, "00:0d:3A:11:22:33": classicMAC, "000d.3a11.2233": classicMAC, "*": "*",
		"": "", "**": "", "000D3A11223": "", "000D3A1122334": "", "000D3A11223G": "", "00:0d:3a:11:22": "", "00:0d:3a:11:22:33:44:55": "", "00 0d 3a 11 22 33": "",
	} {
		if got, ok := parseMAC(text); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %t instead of %q", text, got, ok, want)
		}
	}
}

func TestSubnetsKeepWhatMakesSense(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mac, prefix string
		addrs       []string
		want        string // "" means that the subnet is left out
	}{
		"as documented":                     {"000D3A112233", "10.240.0.0/16", []string{"10.240.0.5", "10.240.0.6"}, "10.240.0.0/16 10.240.0.5 10.240.0.6"},
		"a host address as prefix":          {"*", "10.240.0.9/16", []string{"10.240.0.5"}, "10.240.0.0/16 10.240.0.5"},
		"outside of the prefix":             {"*", "10.240.0.0/24", []string{"10.240.1.5", "10.240.0.5"}, "10.240.0.0/24 10.240.0.5"},
		"network, gateway and broadcast":    {"*", "10.240.0.0/24", []string{"10.240.0.0", "10.240.0.1", "10.240.0.255", "10.240.0.254"}, "10.240.0.0/24 10.240.0.254"},
		"IPv6 in an IPv4 subnet":            {"*", "10.240.0.0/24", []string{"fd00::5", "::ffff:10.240.0.5"}, "10.240.0.0/24"},
		"IPv4 in an IPv6 subnet":            {"*", "fd00::/64", []string{"10.240.0.5", "fd00::5"}, "fd00::/64 fd00::5"},
		"IPv6 network and gateway":          {"*", "fd00::/120", []string{"fd00::", "fd00::1", "fd00::ff"}, "fd00::/120 fd00::ff"},
		"a zone":                            {"*", "fe80::/64", []string{"fe80::5%eth0"}, "fe80::/64"},
		"an IPv4-mapped address in ::/0":    {"*", "::/0", []string{"::ffff:10.0.0.9", "2001:db8::1"}, "::/0 2001:db8::1"},
		"junk among addresses":              {"*", "10.240.0.0/24", []string{"", "web", "10.240.0", "10.240.0.05", "10.240.0.5/32", "10.240.0.7"}, "10.240.0.0/24 10.240.0.7"},
		"a pair of addresses":               {"*", "10.240.0.2/31", []string{"10.240.0.2", "10.240.0.3"}, "10.240.0.2/31"},
		"no MAC":                            {"", "10.240.0.0/24", nil, ""},
		"no prefix":                         {"*", "", nil, ""},
		"an address as prefix":              {"*", "10.240.0.0", nil, ""},
		"an impossible prefix":              {"*", "10.240.0.0/33", nil, ""},
		"an IPv4-mapped prefix":             {"*", "::ffff:10.0.0.0/112", []string{"::ffff:10.0.0.9"}, ""},
		"a prefix with a zone":              {"*", "fe80::%eth0/64", nil, ""},
		"the same address twice, kept here": {"*", "10.240.0.0/24", []string{"10.240.0.5", "10.240.0.5"}, "10.240.0.0/24 10.240.0.5 10.240.0.5"},
	} {
		sub, ok := newSubnet(c.mac, true, c.prefix, c.addrs)
		got := ""
		if ok {
			got = sub.Prefix.String()
			for _, a := range sub.Addresses {
				got += " " + a.String()
			}
		}
		if got != c.want {
			t.Errorf("%s: %q instead of %q", name, got, c.want)
		}
	}
}

func TestBothSourcesReadTheSame(t *testing.T) {
	t.Parallel()
	want := []Subnet{{MAC: classicMAC, Primary: true, Prefix: prefix("10.240.0.0/16"), Addresses: addrs(t, "10.240.0.5")}}
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	samePrefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	xml, err := parseInterfaces(strings.NewReader(`<Interfaces><Interface MacAddress="000D3A112233" IsPrimary="true"><IPSubnet Prefix="10.240.0.0/16"><IPAddress Address="10.240.0.4" IsPrimary="true"/><IPAddress Address="10.240.0.5" IsPrimary="false"/></IPSubnet></Interface></Interfaces>`))
	if d := cmp.Diff(want, xml, same, samePrefix); d != "" || err != nil {
		t.Errorf("XML: %v\n%s", err, d)
	}
	file, err := parseFile([]byte(`{"Interfaces":[{"MacAddress":"00-0D-3A-11-22-33","IsPrimary":true,"IPSubnets":[{"Prefix":"10.240.0.0/16","IPAddresses":[{"Address":"10.240.0.4","IsPrimary":true},{"Address":"10.240.0.5","IsPrimary":false}]}]}]}`))
	if d := cmp.Diff(want, file, same, samePrefix); d != "" || err != nil {
		t.Errorf("file: %v\n%s", err, d)
	}
}

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
		"the NIC":                       {[]platform.Interface{loopback(), named}, "", classicMAC, "eth0"},
		"any":                           {[]platform.Interface{loopback(), named}, "", "*", "eth0"},
		"a VF with the same MAC":        {[]platform.Interface{with("enP1s1", classicMAC, slave), named}, "", classicMAC, "eth0"},
		"a VF, and any":                 {[]platform.Interface{with("enP1s1", classicMAC, slave), named}, "", "*", "eth0"},
		"a bridge with the same MAC":    {[]platform.Interface{with("azure0", classicMAC, kind("bridge")), named}, "", classicMAC, "eth0"},
		"a NIC that is a bridge's port": {[]platform.Interface{with("eth0", classicMAC, func(i *platform.Interface) { i.Master = 9 })}, "", classicMAC, "eth0"},
		"only a bridge":                 {[]platform.Interface{with("azure0", classicMAC, kind("bridge"))}, "", classicMAC, ""},
		"what we made":                  {[]platform.Interface{iface("azv1234567", classicMAC)}, "", classicMAC, ""},
		"a veth":                        {[]platform.Interface{with("eth0", classicMAC, kind("veth"))}, "", classicMAC, ""},
		"a veth that is named":          {[]platform.Interface{with("eth0", classicMAC, kind("veth"))}, "eth0", classicMAC, "eth0"},
		"a veth, another is named":      {[]platform.Interface{with("eth0", classicMAC, kind("veth"))}, "eth1", classicMAC, ""},
		"any, and only loopback":        {[]platform.Interface{loopback()}, "", "*", ""},
		"an alias does not matter":      {[]platform.Interface{with("eth0", classicMAC, func(i *platform.Interface) { i.Alias = "azure" })}, "", classicMAC, "eth0"},
		"another MAC":                   {[]platform.Interface{named}, "", macs[0], ""},
		"no MAC is not loopback's":      {[]platform.Interface{loopback()}, "", "", ""},
	} {
		h := hostInterfaces{c.ifaces, c.master}
		got, ok := h.NIC(Subnet{MAC: c.mac})
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
	s.Refresh([]Subnet{
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
	for p, want := range map[string]string{"10.240.0.0/16": "10.240.0.1", "10.240.0.64/26": "10.240.0.65", "fd00::/64": "fe80::1234:5678:9abc"} {
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
	known := "known is 10.240.0.0/24 on eth0 (2 addresses); known is 10.241.0.0/24 on eth1 (2 addresses); known is fd00::/64 on eth0 (1 addresses)"
	unmatched := "; the source lists NICs that are not on this host: " + macs[2] + "; "
	for want, q := range map[string]Request{
		"no free address in pool 10.241.0.0/24 of eth1: 2 addresses, 2 in use":                                                      {Owner: Owner{Network: "a"}},
		"no free address in pool 10.241.0.0/24 of eth1: 2 addresses, 2 in use in pool 10.240.0.0/24 of eth0: 2 addresses, 2 in use": {Owner: Owner{Network: "c"}},
		"no address pool for IPv4 addresses in subnet 10.9.0.0/24" + unmatched + known:                                              {Owner: Owner{Network: "a"}, Subnet: prefix("10.9.0.0/24")},
		"no address pool for IPv6 addresses on interface eth1" + unmatched + known:                                                  {Owner: Owner{Network: "a"}, Master: "eth1", IPv6: true},
		"address in use: 10.241.0.5 is held by a/1/eth0":                                                                            {Owner: Owner{Network: "a"}, Address: addr("10.241.0.5")},
		"not an address of this host's pools: 10.241.0.9":                                                                           {Owner: Owner{Network: "a"}, Address: addr("10.241.0.9")},
		"address in use: a/1/eth0 asks for 10.241.0.6 but holds 10.241.0.5":                                                         {Owner: Owner{"a", "1", "eth0"}, Address: addr("10.241.0.6")},
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
	full := []Subnet{
		{MAC: macs[0], Primary: true, Prefix: prefix("10.240.0.0/24"), Addresses: addrs(t, "10.240.0.5")},
		{MAC: macs[1], Prefix: prefix("10.241.0.0/24"), Addresses: addrs(t, "10.241.0.5", "10.241.0.6")},
	}
	s.Refresh(full[:1], host)
	if got, err := s.Allocate(Request{Owner: Owner{"a", "2", "eth0"}}, testTime); err == nil || !strings.Contains(err.Error(), "10.241.0.0/24 of eth1: 0 addresses, 1 in use") {
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

// A value that makes no sense spoils its own address only, blanks do not matter, and ASCII is ASCII whatever the
// document calls it.
func TestAnswersWithSlips(t *testing.T) {
	t.Parallel()
	const nic = `<Interfaces><Interface MacAddress=" 000D3A112233 " IsPrimary="TRUE"><IPSubnet Prefix=" 10.240.0.0/16"><IPAddress Address="10.240.0.4" IsPrimary="yes"/><IPAddress Address=" 10.240.0.5 " IsPrimary="False"/><IPAddress Address="10.240.0.6"/><IPAddress Address="10.240.0.7" IsPrimary=""/></IPSubnet></Interface></Interfaces>`
	want := []Subnet{{MAC: classicMAC, Primary: true, Prefix: prefix("10.240.0.0/16"), Addresses: []netip.Addr{addr("10.240.0.5"), addr("10.240.0.6"), addr("10.240.0.7")}}}
	for _, encoding := range []string{"", `<?xml version="1.0" encoding="utf-16"?>`, `<?xml version="1.0" encoding="US-ASCII"?>`, `<?xml version="1.0" encoding="iso-8859-1"?>`} {
		got, err := parseInterfaces(strings.NewReader(encoding + nic))
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", encoding, err, d)
		}
	}
	file, err := parseFile([]byte(`{"Interfaces":[{"MacAddress":"000D3A112233","IsPrimary":"true","IPSubnets":[{"Prefix":"10.240.0.0/16","IPAddresses":[{"Address":"10.240.0.4","IsPrimary":1},{"Address":"10.240.0.5","IsPrimary":null},{"Address":"10.240.0.6"},{"Address":"10.240.0.7","IsPrimary":false}]}]}]}`))
	if err != nil || len(file) != 1 || !slices.Equal(file[0].Addresses, want[0].Addresses) || !file[0].Primary {
		t.Errorf("the file: %+v, %v", file, err)
	}
	for _, text := range []string{`<?xml version="1.0" encoding="ebcdic"?>` + nic, "<html><body>sign in</body></html>"} {
		if got, err := parseInterfaces(strings.NewReader(text)); err == nil {
			t.Errorf("%s is read as %v", text, got)
		}
	}
}
