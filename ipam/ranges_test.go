package ipam

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// textOf is what is written of a set, with spaces between the ranges.
func textOf(s addrSet) string {
	var texts []string
	for _, r := range s {
		texts = append(texts, string(r.AppendTo(nil)))
	}
	return strings.Join(texts, " ")
}

// setIn reads what textOf wrote.
func setIn(t *testing.T, text string) addrSet {
	t.Helper()
	ranges, err := parseRanges(strings.Fields(text))
	if err != nil {
		t.Fatal(err)
	}
	return setOf(ranges)
}

func TestRangesAreWrittenShortAndReadBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addrs []string
		want  string
	}{
		{nil, ""},
		{[]string{"10.0.0.9"}, "10.0.0.9"},
		{[]string{"10.0.0.9", "10.0.0.7", "10.0.0.8", "10.0.0.8", "10.0.0.2"}, "10.0.0.2 10.0.0.7-10.0.0.9"},
		{[]string{"10.0.1.0", "10.0.0.255"}, "10.0.0.255-10.0.1.0"},
		{[]string{"255.255.255.255", "0.0.0.0"}, "0.0.0.0 255.255.255.255"},
		{[]string{"fd00::5", "10.0.0.5", "fd00::6"}, "10.0.0.5 fd00::5-fd00::6"},
	} {
		set := newAddrSet(addrs(t, c.addrs...))
		if got := textOf(set); got != c.want {
			t.Errorf("%v is written %q instead of %s", c.addrs, got, c.want)
		}
		back := setIn(t, c.want)
		if !slices.Equal(back, set) {
			t.Errorf("%s is read as %v", c.want, back)
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
		if r, err := parseRange(text); err == nil {
			t.Errorf("%q is read as %v", text, r)
		}
	}
}

func TestEditedRangesAreSortedAndJoined(t *testing.T) {
	t.Parallel()
	set := setIn(t, "10.0.0.9 10.0.0.1-10.0.0.4 10.0.0.3-10.0.0.6 10.0.0.2")
	if got := textOf(set); got != "10.0.0.1-10.0.0.6 10.0.0.9" || set.count() != 7 {
		t.Errorf("%s, %d addresses", got, set.count())
	}
}

func TestHostileRangesAreWalkedForABoundedTime(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0.0.0.0-255.255.255.255",
		"0.0.0.0-255.255.255.255 ::-ffff::"} {
		if n := setIn(t, text).count(); n > maxCount+1 {
			t.Errorf("%s counts %d", text, n)
		}
	}
}
