package ipam

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/store"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var _ store.Records = (*State)(nil)

// recordsOf is the text in the file.
func recordsOf(list store.Records) string {
	lines := list.AppendRecords(nil, func(b []byte) []byte { return append(b, '\n') })
	return strings.TrimPrefix(string(lines), "\n")
}

// parse gives the pools the reservations of such a text.
func parse(s *AddressSpace, text string) error {
	r := store.NewReader("[" + strings.ReplaceAll(text, "\n", ",") + "]")
	r.Array(func() {
		record, err := s.ParseRecord(r)
		if r.Fail(err); r.Err() == nil {
			r.Fail(s.EnterRecord(record, ""))
		}
	})
	return r.Err()
}

// twoPools is a state with names that have something to escape, as no runtime makes them.
func twoPools() *AddressSpace {
	return &AddressSpace{Pools: []*Pool{
		{Prefix: prefix("10.240.0.0/16"), Reservations: []Reservation{
			{addr("10.240.0.5"), Owner{"azure", strings.Repeat("c0ffee01", 8), "eth0"}, testTime, 4026532281},
			{addr("10.240.0.7"), Owner{"my/net;1", "a=b", `"\%`}, testTime, 0},
		}},
		{Prefix: prefix("10.1.0.0/16")},
		{Prefix: prefix("fd00::/64"), Reservations: []Reservation{
			{addr("fd00::5"), Owner{"", strings.Repeat("C0FFEE01", 8), ""}, time.Time{}, 0},
			{addr("fd00::6"), Owner{"é\x00", " ", "eth0"}, testTime, 1},
		}},
	}}
}

// A person has read this.
func TestRecords(t *testing.T) {
	want := `{"address":"10.240.0.5","network":"azure","containerID":"c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01","ifName":"eth0","created":"2026-11-22T00:00:00Z","netnsInode":4026532281}
{"address":"10.240.0.7","network":"my/net;1","containerID":"a=b","ifName":"\"\\%","created":"2026-11-22T00:00:00Z"}
{"address":"fd00::5","pool":2,"network":"","containerID":"C0FFEE01C0FFEE01C0FFEE01C0FFEE01C0FFEE01C0FFEE01C0FFEE01C0FFEE01","ifName":""}
{"address":"fd00::6","pool":2,"network":"é\u0000","containerID":" ","ifName":"eth0","created":"2026-11-22T00:00:00Z","netnsInode":1}`
	if d := cmp.Diff(want, recordsOf(twoPools())); d != "" {
		t.Error(d)
	}
}

// sameSpaces compares two states, with what is nowhere in a file.
var sameSpaces = cmp.Options{cmpopts.EquateComparable(Reservation{}.Address, PoolID{}.Prefix, addrRange{}), cmpopts.EquateEmpty()}

// throughFile is the state as the next command reads it.
func throughFile(t rapid.TB, s *State) *State {
	t.Helper()
	dir, err := os.MkdirTemp("", "state-*")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	st := store.New(store.Options[State]{Path: filepath.Join(dir, "azure-vnet-ipam.json"), Schema: Schema, Boot: "boot"})
	if err := st.Update(context.Background(), func(v *State) error { *v = *s; return nil }); err != nil {
		t.Fatal(err)
	}
	var back *State
	if err := st.View(context.Background(), func(v *State) error { back = v; return nil }); err != nil {
		t.Fatal(err)
	}
	return back
}

// Whatever the names are, owners stay apart and come back as they were.
func TestRecordsSurviveTheFile(t *testing.T) {
	s := &State{AddressSpace: *twoPools()}
	if d := cmp.Diff(s, throughFile(t, s), sameSpaces); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9a-f]{64}`), rapid.StringMatching(`[a-z=/;%" \\]{0,4}`))
		s := &State{}
		for range rapid.IntRange(0, 3).Draw(t, "pools") {
			p := &Pool{Prefix: prefix("10.0.0.0/8")}
			a := addr(rapid.SampledFrom([]string{"10.0.0.5", "10.200.99.250", "fd00::fffe", "::ffff:10.0.0.1"}).Draw(t, "first address"))
			for range rapid.IntRange(0, 5).Draw(t, "reservations") {
				o := Owner{name.Draw(t, "network"), name.Draw(t, "container"), name.Draw(t, "interface")}
				r := Reservation{a, o, time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "created"), 0).UTC(),
					rapid.Uint64Range(0, 1<<33).Draw(t, "namespace")}
				if !holds(o)(r) || !o.Unknown() && holds(Owner{o.Network + "/", o.ContainerID, o.IfName})(r) {
					t.Fatalf("%+v", r)
				}
				p.Reservations = append(p.Reservations, r)
				p.Released = append(p.Released, a)
				a = a.Next()
			}
			s.Pools = append(s.Pools, p)
		}
		if d := cmp.Diff(s, throughFile(t, s), sameSpaces); d != "" {
			t.Fatalf("(-before +after):\n%s", d)
		}
	})
}

func TestRecordsThatAreDamaged(t *testing.T) {
	for name, record := range map[string]string{
		"no address":             `{"network":"azure","containerID":"c","ifName":"eth0"}`,
		"no IPv4 address":        `{"address":"10.240.0.256","network":"azure","containerID":"c","ifName":"eth0"}`,
		"leading zero":           `{"address":"10.240.0.05","network":"azure","containerID":"c","ifName":"eth0"}`,
		"a zone":                 `{"address":"fe80::1%eth0","network":"azure","containerID":"c","ifName":"eth0"}`,
		"a pool that is not":     `{"address":"10.240.0.5","pool":3,"network":"azure","containerID":"c","ifName":"eth0"}`,
		"a pool below the first": `{"address":"10.240.0.5","pool":-1,"network":"azure","containerID":"c","ifName":"eth0"}`,
		"a pool by its name":     `{"address":"10.240.0.5","pool":"10.240.0.0/16","network":"azure","containerID":"c","ifName":"eth0"}`,
		"a time that is none":    `{"address":"10.240.0.5","network":"azure","containerID":"c","ifName":"eth0","created":"yesterday"}`,
		"a name that is none":    `{"address":"10.240.0.5","network":7,"containerID":"c","ifName":"eth0"}`,
		"no object":              `["10.240.0.5"]`,
		"not closed":             `{"address":"10.240.0.5","network":"azure","containerID":"c","ifName":"eth0"`,
	} {
		path := filepath.Join(t.TempDir(), "azure-vnet-ipam.json")
		file := `{"schema":3,"generation":1,"data":{"pools":[{"prefix":"10.240.0.0/16"},{"prefix":"10.1.0.0/16"},{"prefix":"fd00::/64"}]},"records":[` + "\n" + record + "\n]}\n"
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		err := store.New(store.Options[State]{Path: path, Schema: Schema}).View(t.Context(), func(s *State) error {
			if len(s.Pools) > 0 {
				t.Errorf("%s: %s is read as %s", name, record, recordsOf(s))
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// The file of schema 2, as a command of it wrote it.
func TestAStateOfSchema2IsRead(t *testing.T) {
	const file = `{"schema":2,"bootID":"boot","generation":7,"written":"2026-11-22T00:00:00Z","Network":"taken over","IPAM":"taken over",` +
		`"data":{"pools":[{"prefix":"10.240.0.0/16","mac":"00:0d:3a:00:00:01","interface":"eth0","primary":true,"listed":["10.240.0.5-10.240.0.9"],"released":"10.240.0.8-10.240.0.9 10.240.0.6"},` +
		`{"prefix":"10.1.0.0/16","mac":"","interface":"eth1","primary":false,"listed":null},{"prefix":"fd00::/64","mac":"","interface":"eth0","primary":false,"listed":null}],` +
		`"bindings":{"azure":{"ipv4":{"mac":"00:0d:3a:00:00:01","prefix":"10.240.0.0/16"}}},"answer":{"environment":"azure"}},` +
		`"rows":"10.240.0.5/azure/=wP_uAcD_7gHA_-4BwP_uAcD_7gHA_-4BwP_uAcD_7gE/eth0/tovmo0.1ul9tjd 10.240.0.7/my%2Fnet%3B1/a%3Db/%22%5C%25/tovmo0;;fd00::5//C0FFEE01/` + `/-sjlxhc0"}` + "\n"
	path := filepath.Join(t.TempDir(), "azure-vnet-ipam.json")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	st := store.New(store.Options[State]{Path: path, Schema: Schema, Boot: "boot", Migrate: Migrate})
	created := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	first := PoolID{"00:0d:3a:00:00:01", prefix("10.240.0.0/16")}
	want := &State{
		AddressSpace: AddressSpace{
			Pools: []*Pool{
				{
					Prefix: first.Prefix, MAC: first.MAC, Interface: "eth0", Primary: true, Listed: addrSet{{addr("10.240.0.5"), addr("10.240.0.9")}},
					Released: addrs(t, "10.240.0.8", "10.240.0.9", "10.240.0.6"),
					Reservations: []Reservation{
						{addr("10.240.0.5"), Owner{"azure", strings.Repeat("c0ffee01", 8), "eth0"}, created, 4026497737},
						{addr("10.240.0.7"), Owner{"my/net;1", "a=b", `"\%`}, created, 0},
					},
				},
				{Prefix: prefix("10.1.0.0/16"), Interface: "eth1"},
				{Prefix: prefix("fd00::/64"), Interface: "eth0",
					Reservations: []Reservation{{Address: addr("fd00::5"), Owner: Owner{ContainerID: "C0FFEE01"}}}},
			},
			Bindings: map[string]Binding{"azure": {IPv4: first}},
		},
		Answer: SourceStatus{Environment: "azure"},
	}
	for _, when := range []string{"of schema 2", "written again"} {
		err := st.View(t.Context(), func(s *State) error {
			if d := cmp.Diff(want, s, sameSpaces); d != "" {
				t.Errorf("%s (-want +got):\n%s", when, d)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Update(t.Context(), func(*State) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	var now struct {
		Schema  int
		Records []json.RawMessage
	}
	if raw, err := os.ReadFile(path); err != nil || json.Unmarshal(raw, &now) != nil || now.Schema != 3 || len(now.Records) != 3 {
		t.Errorf("%v: %+v", err, now)
	}
	for name, change := range map[string]string{
		`;;fd00`: `;fd00`, `/eth0/tovmo0.`: `/tovmo0.`, `10.240.0.5/azure`: `10.240.0.x/azure`, `=wP_u`: `=w!_u`, `my%2F`: `my%2`,
		`"released":"10.240.0.8-`: `"released":"10.240.0.x-`, `[{"prefix"`: `[null,{"prefix"`, `"schema":2`: `"schema":1`,
	} {
		if raw := strings.Replace(file, name, change,
			1); Migrate(map[bool]int{true: 1, false: 2}[strings.Contains(raw, `"schema":1`)], []byte(raw), &State{}) == nil {
			t.Errorf("%q for %q is read", change, name)
		}
	}
}
