package ipam

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
)

func TestRangesAreWrittenShortAndReadBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addrs []string
		want  string
	}{
		{nil, `null`},
		{[]string{"10.0.0.9"}, `["10.0.0.9"]`},
		{[]string{"10.0.0.9", "10.0.0.7", "10.0.0.8", "10.0.0.8", "10.0.0.2"}, `["10.0.0.2","10.0.0.7-10.0.0.9"]`},
		{[]string{"10.0.1.0", "10.0.0.255"}, `["10.0.0.255-10.0.1.0"]`},
		{[]string{"255.255.255.255", "0.0.0.0"}, `["0.0.0.0","255.255.255.255"]`},
		{[]string{"fd00::5", "10.0.0.5", "fd00::6"}, `["10.0.0.5","fd00::5-fd00::6"]`},
	} {
		set := newAddrSet(addrs(t, c.addrs...))
		if got := dump(t, set); got != c.want {
			t.Errorf("%v is written %s instead of %s", c.addrs, got, c.want)
		}
		var back addrSet
		if err := json.Unmarshal([]byte(c.want), &back); err != nil || !slices.Equal(back, set) {
			t.Errorf("%s is read as %v, %v", c.want, back, err)
		}
		for _, a := range c.addrs {
			if !back.contains(addr(a)) {
				t.Errorf("%s does not contain %s", c.want, a)
			}
		}
		if back.contains(addr("10.0.0.1")) || back.contains(addr("fd00::7")) || back.contains(addr("::ffff:10.0.0.9")) ||
			back.contains(netip.Addr{}) {
			t.Errorf("%s contains what it does not", c.want)
		}
	}
}

func TestRangesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "-", "10.0.0.1-", "-10.0.0.1", "10.0.0.2-10.0.0.1", "10.0.0.1-fd00::1", "fd00::1-10.0.0.1",
		"10.0.0.1-10.0.0.2-10.0.0.3",
		"10.0.0.0/24", "web", "fe80::1%eth0", "fe80::1%eth0-fe80::2%eth0"} {
		var r addrRange
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, r)
		}
	}
}

func TestEditedRangesAreSortedAndJoined(t *testing.T) {
	t.Parallel()
	var set addrSet
	if err := json.Unmarshal([]byte(`["10.0.0.9","10.0.0.1-10.0.0.4","10.0.0.3-10.0.0.6","10.0.0.2"]`), &set); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, set); got != `["10.0.0.1-10.0.0.6","10.0.0.9"]` || set.count() != 7 {
		t.Errorf("%s, %d addresses", got, set.count())
	}
}

func TestHostileRangesAreWalkedForABoundedTime(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`["::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]`, `["0.0.0.0-255.255.255.255"]`,
		`["0.0.0.0-255.255.255.255","::-ffff::"]`} {
		var set addrSet
		if err := json.Unmarshal([]byte(text), &set); err != nil {
			t.Fatal(err)
		}
		if n := set.count(); n > maxCount+1 {
			t.Errorf("%s counts %d", text, n)
		}
	}
}
