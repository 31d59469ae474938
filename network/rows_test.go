package network

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stateOf is a state with endpoints whose names have all that means something in a row.
func stateOf(ids ...string) *State {
	s := &State{Networks: map[string]*Network{"azure": {Name: "azure"}, "b%2F;= \"'\\é": {Name: "b%2F;= \"'\\é"}}}
	for i, id := range ids {
		for name, n := range s.Networks {
			n.Endpoints.Set(&Endpoint{
				Owner: Owner{name, id, "eth0"}, State: Ready, HostIfName: "azv" + id, HostIfIndex: i + 7, MAC: "0a:58:0a:f0:00:05", NetNS: "/var/run/netns/a 'b' \"c\" 100%;é\\",
				Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 240, 0, byte(i)}), 16)}, Created: time.Unix(1700000000, 0).UTC(),
			})
		}
	}
	return s
}

func rowsOf(s *State) string { return strings.Join(s.AppendRows(nil), "") }

// parsed is the state as it is read from the text.
func parsed(t *testing.T, text string) (*State, error) {
	t.Helper()
	s := stateOf()
	return s, s.ParseRows(text)
}

func endpointsOf(s *State) (out []string) {
	for _, n := range s.Networks {
		for e := range n.Endpoints.All() {
			out = append(out, e.Owner.String()+" "+e.State+" "+e.HostIfName+" "+strconv.Itoa(e.HostIfIndex)+" "+e.NetNS+" "+e.Addresses[0].String())
		}
	}
	slices.Sort(out)
	return out
}

func TestRowsReadBackWhatWasWritten(t *testing.T) {
	t.Parallel()
	written := stateOf("c1", "c2", "c3")
	text := rowsOf(written)
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			t.Fatalf("byte %q is in %s", c, text)
		}
	}
	s, err := parsed(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := endpointsOf(s), endpointsOf(written); !slices.Equal(got, want) || len(got) != 6 {
		t.Errorf("got %q, want %q", got, want)
	}
	if again := rowsOf(s); again != text {
		t.Errorf("got %s, want %s", again, text)
	}
}

func TestRowsFollowChanges(t *testing.T) {
	t.Parallel()
	s, err := parsed(t, rowsOf(stateOf("c1", "c2", "c3", "c4")))
	if err != nil {
		t.Fatal(err)
	}
	azure := s.Networks["azure"]
	azure.Endpoints.Delete("c2/eth0")
	azure.Endpoints.Delete("nobody/eth0")
	changed := *azure.Endpoints.Get("c3/eth0")
	changed.State = Pending
	azure.Endpoints.Set(&changed)
	azure.Endpoints.Set(&Endpoint{Owner: Owner{"azure", "c5", "eth0"}, HostIfName: "azvc5", Addresses: changed.Addresses})
	s, err = parsed(t, rowsOf(s))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for e := range s.Networks["azure"].Endpoints.All() {
		got = append(got, e.ContainerID+" "+e.State)
	}
	if want := []string{"c1 ready", "c3 pending", "c4 ready", "c5 "}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if ports := maps.Collect(s.Networks["azure"].Endpoints.ReadyPorts()); !maps.Equal(ports, map[string]int{"azvc1": 7, "azvc4": 10}) {
		t.Errorf("ready are %v", ports)
	}
	if n := len(endpointsOf(s)); n != 8 {
		t.Errorf("%d endpoints", n)
	}
}

// A file that somebody edited by hand is read if it makes sense, and is damaged if not.
func TestRowsOfOthers(t *testing.T) {
	t.Parallel()
	text := rowsOf(stateOf("c1", "c2"))
	first := text[sumLength+1:]
	first = first[:strings.IndexByte(first, ' ')]
	for name, edit := range map[string]struct {
		change func(string) string
		bad    bool
	}{
		"another state":         {func(s string) string { return strings.ReplaceAll(s, "/ready/", "/pending/") }, false},
		"another address":       {func(s string) string { return strings.Replace(s, "10.240.0.1", "10.240.0.9", 1) }, false},
		"no address":            {func(s string) string { return strings.Replace(s, "10.240.0.1", "10.240.0.x", 1) }, true},
		"a row less":            {func(s string) string { return strings.Replace(s, " "+first, "", 1) }, false},
		"no owner":              {func(s string) string { return strings.Replace(s, "/c1/", "//", 1) }, true},
		"an index that is none": {func(s string) string { return strings.Replace(s, "/7/", "/x/", 1) }, true},
		"a row twice":           {func(s string) string { return s + " " + first }, true},
		"half a row":            {func(s string) string { return s[:len(s)-20] }, true},
		"a broken word":         {func(s string) string { return strings.Replace(s, "%25", "%2", 1) }, true},
		"a network less":        {func(s string) string { return strings.Replace(s, " azure/", " zure/", 1) }, true},
		"no separator":          {func(s string) string { return strings.Replace(s, " azure/", "_azure/", 1) }, true},
		"no checksum":           {func(string) string { return "" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := edit.change(text)
			if changed == text {
				t.Fatal("nothing was changed")
			}
			if _, err := parsed(t, changed); (err != nil) != edit.bad {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Whatever a file holds: it is refused, or every endpoint can be read, and is written as it was read.
func FuzzRows(f *testing.F) {
	f.Add(rowsOf(stateOf("c1", "c2")))
	f.Add(rowsOf(stateOf()))
	f.Add("crc32=00000000 azure/c1/eth0/azv1/0/ready/{'network':'b','addresses':['']}")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parsed(t, text)
		if err != nil {
			return
		}
		count := 0
		for _, n := range s.Networks {
			for e := range n.Endpoints.All() {
				if e.Network != n.Name || n.Endpoints.Get(e.key()) == nil {
					t.Errorf("endpoint %+v of %q", e, n.Name)
				}
				count++
			}
		}
		again, err := parsed(t, rowsOf(s))
		if err != nil {
			t.Fatalf("%q was written as %q: %v", text, rowsOf(s), err)
		}
		for _, n := range again.Networks {
			count -= n.Endpoints.Len()
		}
		if count != 0 {
			t.Errorf("%d endpoints more were read than written", count)
		}
	})
}
