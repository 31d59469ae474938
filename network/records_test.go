package network

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/store"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var _ store.Records = (*State)(nil)

// stateOf is a state with endpoints whose names have all that means something in JSON.
func stateOf(ids ...string) *State {
	s := &State{Networks: map[string]*Network{"azure": {Name: "azure"}, "b%2F;= \"'\\é": {Name: "b%2F;= \"'\\é"}}}
	for i, id := range ids {
		for name, n := range s.Networks {
			n.Endpoints.Set(&Endpoint{
				Owner: Owner{name, id, "eth0"}, State: Ready, HostIfName: "azv" + id, HostIfIndex: i + 7, MAC: "0a:58:0a:f0:00:05",
				NetNS:     "/var/run/netns/a 'b' \"c\" 100%;é\\",
				Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 240, 0, byte(i)}), 16)}, Created: time.Unix(1700000000, 0).UTC(),
			})
		}
	}
	return s
}

// recordsOf are the lines in the file.
func recordsOf(s *State) string {
	lines := s.AppendRecords(nil, func(b []byte) []byte { return append(b, ",\n"...) })
	return strings.TrimPrefix(string(lines), ",\n")
}

// parsed is the state as it is read from such lines.
func parsed(t *testing.T, text string) (s *State, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "azure-vnet.json")
	data, err := json.Marshal(stateOf())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, `{"schema":%d,"generation":1,"data":%s,"records":[%s]}`, Schema, data, text),
		0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	st := store.New(store.Options[State]{Path: path, Schema: Schema, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := st.View(t.Context(), func(v *State) error { s = v; return nil }); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		return s, errors.New(log.String()) // it is damaged
	}
	return s, nil
}

func endpointsOf(s *State) (list []*Endpoint) {
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		list = slices.AppendSeq(list, s.Networks[name].Endpoints.All())
	}
	return list
}

// sameEndpoints compares what is in a file.
var sameEndpoints = cmp.Options{cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.IgnoreUnexported(Endpoint{})}

func TestRecordsReadBackWhatWasWritten(t *testing.T) {
	t.Parallel()
	written := stateOf("c1", "c2", "c3")
	text := recordsOf(written)
	s, err := parsed(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(endpointsOf(written), endpointsOf(s), sameEndpoints); d != "" || len(endpointsOf(s)) != 6 {
		t.Errorf("(-written +read)\n%s", d)
	}
	if again := recordsOf(s); again != text {
		t.Errorf("got %s, want %s", again, text)
	}
}

// fill gives every field a value that is not the zero one.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 29, 5, 50, 12, 345e6, time.UTC)))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("fe80::1234:5678:9abc")))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("10.240.0.5/16")))
		return
	case json.RawMessage:
		v.Set(reflect.ValueOf(json.RawMessage(`{"a":[1,"b"]}`)))
		return
	case []byte:
		v.SetBytes([]byte("\x00\xffsnapshot"))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("a \"name\"")
	case reflect.Int:
		v.SetInt(1500)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Map:
		member := reflect.New(v.Type().Elem()).Elem()
		fill(member)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("b/c"), member)
		v.SetMapIndex(reflect.ValueOf("a"), reflect.Zero(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				fill(v.Field(i))
			}
		}
	}
}

// Whatever fields an endpoint gets, they are read and written as encoding/json does it.
func TestARecordHasEveryField(t *testing.T) {
	t.Parallel()
	full := &Endpoint{}
	fill(reflect.ValueOf(full).Elem())
	for _, e := range []*Endpoint{full, {}} {
		e.Owner = Owner{"azure", "c1", "eth0"}
		object, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parsed(t, string(object))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]*Endpoint{e}, endpointsOf(s), sameEndpoints); d != "" {
			t.Errorf("(-written +read)\n%s", d)
		}
		if written := store.AppendObject(nil, e.write); e == full && string(written) != string(object) {
			t.Errorf("written as\n%s instead of\n%s", written, object)
		}
	}
}

// A container may have two interfaces in one network, and two containers IDs that end alike.
func TestAContainerWithTwoInterfacesHasTwoRecords(t *testing.T) {
	t.Parallel()
	var all Endpoints
	owners := []Owner{{"azure", "c1", "net1"}, {"azure", "c1", "net2"}, {"azure", "c11", "net"},
		{"azure", "a-012345678", "net"}, {"azure", "b-012345678", "net"}}
	for i, o := range owners {
		all.Set(&Endpoint{Owner: o, MTU: i})
	}
	for i, o := range owners {
		if e := all.Get(o.Key()); all.Len() != len(owners)-i || e == nil || e.Owner != o || e.MTU != i {
			t.Errorf("%d records; that of %q is %+v", all.Len(), o, e)
		}
		all.Delete(o.Key())
		if e := all.Get(o.Key()); e != nil {
			t.Errorf("%q is still there: %+v", o, e)
		}
	}
}

func TestRecordsFollowChanges(t *testing.T) {
	t.Parallel()
	s, err := parsed(t, recordsOf(stateOf("c1", "c2", "c3", "c4")))
	if err != nil {
		t.Fatal(err)
	}
	azure := s.Networks["azure"]
	azure.Endpoints.Delete("c2/eth0")
	azure.Endpoints.Delete("nobody/eth0")
	changed := *azure.Endpoints.Get("c3/eth0")
	changed.State = Pending
	azure.Endpoints.Set(&changed)
	azure.Endpoints.Get("c4/eth0").State = Pending // counts only after Set
	azure.Endpoints.Set(&Endpoint{Owner: Owner{"azure", "c5", "eth0"}, HostIfName: "azvc5", Addresses: changed.Addresses})
	s, err = parsed(t, recordsOf(s))
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

// What a caller does to an endpoint that it got is no business of the next one that reads the same line.
func TestAnEndpointThatIsChangedAfterwardsIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	st := store.New(store.Options[State]{Path: filepath.Join(t.TempDir(), "azure-vnet.json"), Schema: Schema})
	full := &Endpoint{}
	fill(reflect.ValueOf(full).Elem())
	full.Owner = Owner{"azure", "c1", "eth0"}
	if err := st.Update(t.Context(), func(s *State) error {
		*s = *stateOf()
		s.Networks["azure"].Endpoints.Set(full)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		err := st.View(t.Context(), func(s *State) error {
			e := s.Networks["azure"].Endpoints.Get("c1/eth0")
			if d := cmp.Diff(full, e, sameEndpoints); d != "" {
				t.Errorf("(-written +read)\n%s", d)
			}
			e.State, e.MTU, e.HNS.ID = "changed", 1, "changed"
			e.Addresses[0], e.Gateways[0], e.Routes[0] = netip.Prefix{}, netip.Addr{}, Route{}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A file that somebody edited by hand is read if it makes sense, and is damaged if not.
func TestRecordsOfOthers(t *testing.T) {
	t.Parallel()
	text := recordsOf(stateOf("c1", "c2"))
	first, _, _ := strings.Cut(text, "\n")
	for name, edit := range map[string]struct {
		change func(string) string
		bad    bool
	}{
		"another state":         {func(s string) string { return strings.ReplaceAll(s, `"ready"`, `"pending"`) }, false},
		"another address":       {func(s string) string { return strings.Replace(s, "10.240.0.1", "10.240.0.9", 1) }, false},
		"formatted":             {func(s string) string { return strings.ReplaceAll(s, ",", ",\n  ") }, false},
		"no address":            {func(s string) string { return strings.Replace(s, "10.240.0.1", "10.240.0.x", 1) }, true},
		"a record less":         {func(s string) string { return strings.Replace(s, first+"\n", "", 1) }, false},
		"no owner":              {func(s string) string { return strings.Replace(s, `"c1"`, `""`, 1) }, true},
		"an index that is none": {func(s string) string { return strings.Replace(s, `:7,`, `:"x",`, 1) }, true},
		"a time that is none":   {func(s string) string { return strings.Replace(s, `"2023-`, `"x-`, 1) }, true},
		"a record twice":        {func(s string) string { return s + ",\n" + strings.TrimSuffix(first, ",") }, true},
		"half a record":         {func(s string) string { return s[:len(s)-20] }, true},
		"a broken escape":       {func(s string) string { return strings.Replace(s, `\"c`, `\q`, 1) }, true},
		"a network less":        {func(s string) string { return strings.Replace(s, `"azure"`, `"zure"`, 1) }, true},
		"no separator":          {func(s string) string { return strings.Replace(s, ",\n", "\n", 1) }, true},
		"a member of bad form":  {func(s string) string { return strings.Replace(s, `"c1"`, `"c1","rebuilt":"yes"`, 1) }, true},
		"a route of bad form":   {func(s string) string { return strings.Replace(s, `"c1"`, `"c1","routes":[{"metric":"x"}]`, 1) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := edit.change(text)
			if changed == text {
				t.Fatal("nothing was changed")
			}
			s, err := parsed(t, changed)
			if (err != nil) != edit.bad {
				t.Errorf("error %v", err)
			}
			if again := recordsOf(s); err == nil && strings.Count(again, "\n")+1 != len(endpointsOf(s)) {
				t.Errorf("not one line each:\n%s", again)
			}
		})
	}
}

// The file of schema 2, as a command of it wrote it.
func TestAStateOfSchema2IsRead(t *testing.T) {
	t.Parallel()
	const file = `{"schema":2,"bootID":"boot","generation":7,"written":"2026-11-22T00:00:00Z","Network":"taken over","IPAM":"taken over",` +
		`"data":{"networks":{"azure":{"name":"azure","mode":"bridge","master":"eth0","bridge":"azure0","antiSpoof":true,"prefixes":["10.240.0.0/16"],"created":"2026-11-22T00:00:00Z"}}},` +
		`"rows":"crc32=0badcafe azure/c1/eth0/azv1/17/ready/{'netns':'/var/run/netns/a%27b','mac':'0a:58:0a:f0:00:05','addresses':['10.240.0.5/16'],'created':'2026-11-22T00:00:00Z'}` +
		` azure/a%2Fb/net1/azv2/0/pending/{'mac':'','addresses':null,'created':'2026-11-22T00:00:00Z'}"}` + "\n"
	path := filepath.Join(t.TempDir(), "azure-vnet.json")
	if err := os.WriteFile(path, []byte(strings.Replace(file, "a%2Fb", "c2", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	st := store.New(store.Options[State]{Path: path, Schema: Schema, Boot: "boot", Migrate: Migrate})
	created := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	want := []*Endpoint{
		{
			Owner: Owner{"azure", "c1", "eth0"}, State: Ready, NetNS: "/var/run/netns/a'b", HostIfName: "azv1",
			HostIfIndex: 17, MAC: "0a:58:0a:f0:00:05",
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.240.0.5/16")}, Created: created,
		},
		{Owner: Owner{"azure", "c2", "net1"}, State: Pending, HostIfName: "azv2", Created: created},
	}
	for _, when := range []string{"of schema 2", "written again"} {
		err := st.View(t.Context(), func(s *State) error {
			if d := cmp.Diff(want, endpointsOf(s), sameEndpoints, cmpopts.EquateEmpty()); d != "" || s.Networks["azure"].Bridge != "azure0" ||
				!s.Networks["azure"].AntiSpoof {
				t.Errorf("%s: %+v (-want +got)\n%s", when, s.Networks["azure"], d)
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
	if raw, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(raw), `{"schema":3,`) || strings.Count(string(raw), "\n{") != 2 {
		t.Errorf("%v: %s", err, raw)
	}
	for part, change := range map[string]string{
		"a%2Fb": "a%2Fb", "crc32=": "", "/17/": "/x/", "'mac':'0a": "'mac':0a", "'} azure/": "'} zure/", "/ready/{": "/{", `"rows"`: `"rest"`,
		`"data"`: `"date"`, "a%27b": "a%2",
	} {
		if Migrate(2, []byte(strings.Replace(file, part, change, 1)), &State{}) == nil {
			t.Errorf("%q for %q is read", change, part)
		}
	}
	if Migrate(1, []byte(file), &State{}) == nil {
		t.Error("schema 1 is read")
	}
}

// Whatever a file holds: it is refused, or every endpoint can be read, and is written as it was read.
func FuzzRecords(f *testing.F) {
	f.Add(recordsOf(stateOf("c1", "c2")))
	f.Add(recordsOf(stateOf()))
	f.Add(strings.NewReplacer("azv", "a\xa8v", ",", ",\n").Replace(recordsOf(stateOf("c1")))) // no UTF-8, formatted
	f.Add(`{"network":"azure","containerID":"c1","ifName":"eth0","addresses":[""],"routes":[{"dst":"0.0.0.0/0","gw":"","metric":7}],"hns":{"dns":{"servers":["a"]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parsed(t, text)
		if err != nil {
			return
		}
		list := endpointsOf(s)
		for _, e := range list {
			if n := s.Networks[e.Network]; n == nil || n.Endpoints.find(e.Owner) < 0 {
				t.Errorf("endpoint %+v", e)
			}
		}
		again, err := parsed(t, recordsOf(s))
		if err != nil {
			t.Fatalf("%q was written as %q: %v", text, recordsOf(s), err)
		}
		if d := cmp.Diff(list, endpointsOf(again), sameEndpoints); d != "" {
			t.Errorf("(-read +read again)\n%s", d)
		}
	})
}

// FuzzEndpoint compares with encoding/json: what is read is JSON, and says the same there.
func FuzzEndpoint(f *testing.F) {
	f.Add(strings.Split(recordsOf(stateOf("c1")), ",\n")[0])
	f.Add(`{"network":"azure","addresses":null,"mtu":1500,"hostIfIndex":-0,"routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1","metric":7,"scope":3,"advmss":4}],"gateways":["fe80::1"],"created":"2026-11-29T05:50:12.345Z","hns":{"dns":{"servers":["a"]}},"rebuilt":true}`)
	f.Add(`{"mtu":00}`)
	f.Add(`{"mtu":+1}`)
	f.Fuzz(func(t *testing.T, text string) {
		read, same := &Endpoint{}, &Endpoint{}
		r := store.NewReader(text)
		object := r.Object(func(name string) { read.parse(name, r) })
		if r.Err() != nil {
			return
		}
		err := json.Unmarshal([]byte(object), same)
		if d := cmp.Diff(same, read, sameEndpoints, cmpopts.EquateEmpty()); err != nil || d != "" {
			t.Errorf("%q (%v) (-encoding/json +read)\n%s", object, err, d)
		}
	})
}
