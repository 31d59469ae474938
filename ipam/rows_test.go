package ipam

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/store"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var _ store.Rows = (*State)(nil)

// rowsOf is the text in the file.
func rowsOf(r store.Rows) string { return strings.Join(r.AppendRows(nil), "") }

// twoPools is a state with names that have something to escape, as no runtime makes them.
func twoPools() *AddressSpace {
	return &AddressSpace{Pools: []*Pool{
		{Prefix: prefix("10.240.0.0/16"), Reservations: []Reservation{
			newReservation(addr("10.240.0.5"), Owner{"azure", strings.Repeat("c0ffee01", 8), "eth0"}, testTime),
			newReservation(addr("10.240.0.7"), Owner{"my/net;1", "a=b", `"\%`}, testTime),
		}},
		{Prefix: prefix("10.1.0.0/16")},
		{Prefix: prefix("fd00::/64"), Reservations: []Reservation{
			newReservation(addr("fd00::5"), Owner{"", strings.Repeat("C0FFEE01", 8), ""}, time.Time{}),
			newReservation(addr("fd00::6"), Owner{"é\x00\xff", " ", "eth0"}, testTime),
		}},
	}}
}

// A person has read this.
func TestRows(t *testing.T) {
	want := "10.240.0.5/azure/=wP_uAcD_7gHA_-4BwP_uAcD_7gHA_-4BwP_uAcD_7gE/eth0/tovmo0 10.240.0.7/my%2Fnet%3B1/a%3Db/%22%5C%25/tovmo0;;" +
		"fd00::5//" + strings.Repeat("C0FFEE01", 8) + "//-sjlxhc0 fd00::6/%C3%A9%00%FF/%20/eth0/tovmo0"
	if got := rowsOf(twoPools()); got != want {
		t.Errorf("rows\n%s\ninstead of\n%s", got, want)
	}
}

// checkRoundTrip requires that the rows give the same reservations and the same rows again.
func checkRoundTrip(t rapid.TB, s *AddressSpace) {
	t.Helper()
	rows := rowsOf(s)
	if raw, err := json.Marshal(rows); err != nil || strings.ContainsFunc(rows, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
		t.Fatalf("not plain: %s (%v)", raw, err)
	}
	back := &AddressSpace{}
	for _, p := range s.Pools {
		back.Pools = append(back.Pools, &Pool{Prefix: p.Prefix})
	}
	if err := back.ParseRows(rows); err != nil {
		t.Fatal(err)
	}
	for i, p := range s.Pools {
		if d := cmp.Diff(shown(p), shown(back.Pools[i])); d != "" {
			t.Fatalf("pool %d (-before +after):\n%s", i, d)
		}
	}
	if again := rowsOf(back); again != rows {
		t.Fatalf("rows\n%s\nbecome\n%s", rows, again)
	}
}

type holder struct {
	Address string
	Owner
	Created time.Time
}

func shown(p *Pool) []holder {
	var all []holder
	for _, r := range p.Reservations {
		all = append(all, holder{r.Address.String(), r.Owner(), r.Created()})
	}
	return all
}

// Whatever the names are, owners stay apart and come back as they were.
func TestRowsSurviveTheFile(t *testing.T) {
	checkRoundTrip(t, twoPools())
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9a-f]{64}`), rapid.StringMatching(`[a-z=/;%" \\]{0,4}`),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		s := &AddressSpace{}
		for range rapid.IntRange(0, 3).Draw(t, "pools") {
			p := &Pool{Prefix: prefix("10.0.0.0/8")}
			a := addr(rapid.SampledFrom([]string{"10.0.0.5", "10.200.99.250", "fd00::fffe", "::ffff:10.0.0.1"}).Draw(t, "first address"))
			for range rapid.IntRange(0, 5).Draw(t, "reservations") {
				o := Owner{name.Draw(t, "network"), name.Draw(t, "container"), name.Draw(t, "interface")}
				created := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "created"), 0).UTC()
				r := newReservation(a, o, created)
				if r.Owner() != o || !r.Created().Equal(created) || !holds(o)(r) || !o.Unknown() && holds(Owner{o.Network + "/", o.ContainerID, o.IfName})(r) || r.Unknown() != o.Unknown() {
					t.Fatalf("%q: %+v, %s", r.row, r.Owner(), r.Created())
				}
				p.Reservations = append(p.Reservations, r)
				a = a.Next()
			}
			s.Pools = append(s.Pools, p)
		}
		checkRoundTrip(t, s)
	})
}

// What was read is written again in the pieces that are left of it, whatever became of the reservations since.
func TestRowsAreWrittenAsTheyWereRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &AddressSpace{}
		a := addr("10.0.0.5")
		fresh := func() Reservation {
			a = a.Next()
			return newReservation(a, Owner{"azure", strings.Repeat("c0ffee01", 8), "eth0"}, testTime)
		}
		for range rapid.IntRange(1, 3).Draw(t, "pools") {
			p := &Pool{}
			for range rapid.IntRange(0, 5).Draw(t, "reservations") {
				p.Reservations = append(p.Reservations, fresh())
			}
			s.Pools = append(s.Pools, p)
		}
		if err := s.ParseRows(rowsOf(s)); err != nil {
			t.Fatal(err)
		}
		pool := func() *Pool { return rapid.SampledFrom(s.Pools).Draw(t, "pool") }
		for range rapid.IntRange(0, 6).Draw(t, "changes") {
			p := pool()
			if len(p.Reservations) == 0 || rapid.Bool().Draw(t, "add") {
				p.Reservations = append(p.Reservations, fresh())
				continue
			}
			i := rapid.IntRange(0, len(p.Reservations)-1).Draw(t, "which")
			r := p.Reservations[i]
			p.Reservations = slices.Delete(p.Reservations, i, i+1)
			if rapid.Bool().Draw(t, "move") {
				to := pool()
				to.Reservations = append(to.Reservations, r)
			}
		}
		var pools []string
		for _, p := range s.Pools {
			var rows []string
			for _, r := range p.Reservations {
				rows = append(rows, r.row)
			}
			pools = append(pools, strings.Join(rows, " "))
		}
		if got, want := rowsOf(s), strings.Join(pools, ";"); got != want {
			t.Errorf("rows\n%s\ninstead of\n%s", got, want)
		}
	})
}

// An ADD in a pool of thousands is fast because it does not copy them.
func TestRowsThatStayAreOnePiece(t *testing.T) {
	s := &AddressSpace{Pools: []*Pool{{Prefix: prefix("10.240.0.0/16")}}}
	p, a := s.Pools[0], addr("10.240.0.5")
	for range 1000 {
		p.Reservations = append(p.Reservations, newReservation(a, benchOwner(len(p.Reservations)), testTime))
		a = a.Next()
	}
	if err := s.ParseRows(rowsOf(s)); err != nil {
		t.Fatal(err)
	}
	pieces := func(when string, want int) {
		t.Helper()
		if got := len(s.AppendRows(nil)); got != want {
			t.Errorf("%s: %d pieces instead of %d", when, got, want)
		}
	}
	pieces("read", 1)
	p.reserve(a, benchOwner(1000), testTime)
	pieces("one added", 3) // with the space
	s.Release(benchOwner(500))
	pieces("one in the middle removed", 5)
}

func TestRowsThatAreDamaged(t *testing.T) {
	for name, text := range map[string]string{
		"a pool too many":          "10.240.0.5/azure/c/eth0/tovmo0;;;",
		"a pool too few":           "10.240.0.5/azure/c/eth0/tovmo0",
		"no address":               "/azure/c/eth0/tovmo0;;",
		"no IPv4 address":          "10.240.0.256/azure/c/eth0/tovmo0;;",
		"leading zero":             "10.240.0.05/azure/c/eth0/tovmo0;;",
		"a zone":                   ";;fe80::1%eth0/azure/c/eth0/tovmo0",
		"a field is missing":       "10.240.0.5/azure/c/tovmo0;;",
		"fields that add up":       "10.240.0.5/azure/c/eth0/x/tovmo0 10.240.0.6/azure/c/tovmo0 10.240.0.7/azure/c/eth0/tovmo0 10.240.0.8;;",
		"fields of two in one":     "10.240.0.5/azure/c/eth0/tovmo0/azure/c/eth0/tovmo0;;",
		"four digits":              "10.240.0.0005/azure/c/eth0/tovmo0;;",
		"three octets":             "10.240.5/azure/c/eth0/tovmo0;;",
		"five octets":              "10.240.0.5.1/azure/c/eth0/tovmo0;;",
		"a space at the end":       "10.240.0.5/azure/c/eth0/tovmo0 ;;",
		"a field too many":         "10.240.0.5/azure/c/eth0/x/tovmo0;;",
		"two spaces":               "10.240.0.5/azure/c/eth0/tovmo0  10.240.0.6/azure/d/eth0/tovmo0;;",
		"an escape without digits": "10.240.0.5/azure/c%zz/eth0/tovmo0;;",
		"an escape without need":   "10.240.0.5/azure/c%41/eth0/tovmo0;;",
		"a hole":                   "10.240.0.5/azure/c    c/eth0/tovmo0;;",
	} {
		s := twoPools()
		if err := s.ParseRows(text); err == nil {
			t.Errorf("%s: %q is read as %q", name, text, rowsOf(s))
		}
	}
}

// The file is one JSON document that anybody can read, and what a store gives back is what it got.
func TestStateInItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "azure-vnet-ipam.json")
	st := store.New(store.Options[State]{Path: path, Schema: Schema, Boot: "boot"})
	if err := st.Update(t.Context(), func(s *State) error { s.AddressSpace = *twoPools(); return nil }); err != nil {
		t.Fatal(err)
	}
	err := st.View(t.Context(), func(s *State) error {
		checkRoundTrip(t, &s.AddressSpace)
		if got, want := rowsOf(s), rowsOf(twoPools()); got != want {
			t.Errorf("rows\n%s\ninstead of\n%s", got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
