package source

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const classicMAC = "00:0d:3a:11:22:33"

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestMACsOfAnyForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"000D3A112233": classicMAC, "000d3a112233": classicMAC, "00-0D-3A-11-22-33": classicMAC, "00:0d:3A:11:22:33": classicMAC,
		"000d.3a11.2233": classicMAC, "*": "*",
		"": "", "**": "", "000D3A11223": "", "000D3A1122334": "", "000D3A11223G": "", "00:0d:3a:11:22": "",
		"00:0d:3a:11:22:33:44:55": "", "00 0d 3a 11 22 33": "",
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
		"as documented": {"000D3A112233", "10.240.0.0/16", []string{"10.240.0.5", "10.240.0.6"},
			"10.240.0.0/16 10.240.0.5 10.240.0.6"},
		"a host address as prefix": {"*", "10.240.0.9/16", []string{"10.240.0.5"}, "10.240.0.0/16 10.240.0.5"},
		"outside of the prefix":    {"*", "10.240.0.0/24", []string{"10.240.1.5", "10.240.0.5"}, "10.240.0.0/24 10.240.0.5"},
		"network, gateway and broadcast": {"*", "10.240.0.0/24", []string{"10.240.0.0", "10.240.0.1", "10.240.0.255", "10.240.0.254"},
			"10.240.0.0/24 10.240.0.254"},
		"IPv6 in an IPv4 subnet":         {"*", "10.240.0.0/24", []string{"fd00::5", "::ffff:10.240.0.5"}, "10.240.0.0/24"},
		"IPv4 in an IPv6 subnet":         {"*", "fd00::/64", []string{"10.240.0.5", "fd00::5"}, "fd00::/64 fd00::5"},
		"IPv6 network and gateway":       {"*", "fd00::/120", []string{"fd00::", "fd00::1", "fd00::ff"}, "fd00::/120 fd00::ff"},
		"a zone":                         {"*", "fe80::/64", []string{"fe80::5%eth0"}, "fe80::/64"},
		"an IPv4-mapped address in ::/0": {"*", "::/0", []string{"::ffff:10.0.0.9", "2001:db8::1"}, "::/0 2001:db8::1"},
		"junk among addresses": {"*", "10.240.0.0/24",
			[]string{"", "web", "10.240.0", "10.240.0.05", "10.240.0.5/32", "10.240.0.7"}, "10.240.0.0/24 10.240.0.7"},
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
	want := []Subnet{{MAC: classicMAC, Primary: true, Prefix: prefix("10.240.0.0/16"), Addresses: []netip.Addr{addr("10.240.0.5")}}}
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	samePrefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	xml, err := ParseXML(strings.NewReader(
		`<Interfaces><Interface MacAddress="000D3A112233" IsPrimary="true"><IPSubnet Prefix="10.240.0.0/16"><IPAddress Address="10.240.0.4" IsPrimary="true"/><IPAddress Address="10.240.0.5" IsPrimary="false"/></IPSubnet></Interface></Interfaces>`))
	if d := cmp.Diff(want, xml, same, samePrefix); d != "" || err != nil {
		t.Errorf("XML: %v\n%s", err, d)
	}
	file, err := ParseJSON([]byte(`{"Interfaces":[{"MacAddress":"00-0D-3A-11-22-33","IsPrimary":true,"IPSubnets":[{"Prefix":"10.240.0.0/16","IPAddresses":[{"Address":"10.240.0.4","IsPrimary":true},{"Address":"10.240.0.5","IsPrimary":false}]}]}]}`))
	if d := cmp.Diff(want, file, same, samePrefix); d != "" || err != nil {
		t.Errorf("file: %v\n%s", err, d)
	}
}

// A value that makes no sense spoils its own address only, blanks do not matter, and ASCII is ASCII whatever the
// document calls it.
func TestAnswersWithSlips(t *testing.T) {
	t.Parallel()
	const nic = `<Interfaces><Interface MacAddress=" 000D3A112233 " IsPrimary="TRUE"><IPSubnet Prefix=" 10.240.0.0/16"><IPAddress Address="10.240.0.4" IsPrimary="yes"/><IPAddress Address=" 10.240.0.5 " IsPrimary="False"/><IPAddress Address="10.240.0.6"/><IPAddress Address="10.240.0.7" IsPrimary=""/></IPSubnet></Interface></Interfaces>`
	want := []Subnet{{MAC: classicMAC, Primary: true, Prefix: prefix("10.240.0.0/16"),
		Addresses: []netip.Addr{addr("10.240.0.5"), addr("10.240.0.6"), addr("10.240.0.7")}}}
	for _, encoding := range []string{"", `<?xml version="1.0" encoding="utf-16"?>`, `<?xml version="1.0" encoding="US-ASCII"?>`,
		`<?xml version="1.0" encoding="iso-8859-1"?>`} {
		got, err := ParseXML(strings.NewReader(encoding + nic))
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
			cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", encoding, err, d)
		}
	}
	file, err := ParseJSON([]byte(`{"Interfaces":[{"MacAddress":"000D3A112233","IsPrimary":"true","IPSubnets":[{"Prefix":"10.240.0.0/16","IPAddresses":[{"Address":"10.240.0.4","IsPrimary":1},{"Address":"10.240.0.5","IsPrimary":null},{"Address":"10.240.0.6"},{"Address":"10.240.0.7","IsPrimary":false}]}]}]}`))
	if err != nil || len(file) != 1 || !slices.Equal(file[0].Addresses, want[0].Addresses) || !file[0].Primary {
		t.Errorf("the file: %+v, %v", file, err)
	}
	for _, text := range []string{`<?xml version="1.0" encoding="ebcdic"?>` + nic, "<html><body>sign in</body></html>"} {
		if got, err := ParseXML(strings.NewReader(text)); err == nil {
			t.Errorf("%s is read as %v", text, got)
		}
	}
}

// Windows PowerShell writes a byte-order mark, in two encodings.
func TestAFileWithAByteOrderMark(t *testing.T) {
	const text = `{"Interfaces":[{"MacAddress":"000D3A000001","IsPrimary":true,"IPSubnets":[{"Prefix":"10.240.0.0/16","IPAddresses":[{"Address":"10.240.0.5","IsPrimary":false}]}]}]}`
	wide := func(first, second int) []byte {
		b := []byte{0xff, 0xfe}[:0]
		for _, c := range []byte("\xef" + text) { // the first becomes the mark
			pair := [2]byte{}
			pair[first], pair[second] = c, 0
			b = append(b, pair[:]...)
		}
		b[first], b[second] = 0xff, 0xfe
		return b
	}
	for name, raw := range map[string][]byte{"none": []byte(text), "UTF-8": []byte("\xef\xbb\xbf" + text), "UTF-16, little": wide(0, 1),
		"UTF-16, big": wide(1, 0)} {
		subnets, err := ParseJSON(raw)
		if err != nil || len(subnets) != 1 || len(subnets[0].Addresses) != 1 {
			t.Errorf("%s: %v, %v", name, subnets, err)
		}
	}
}
