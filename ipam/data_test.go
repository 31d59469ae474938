package ipam

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wholeState has a value in every field that is written.
func wholeState() *State {
	first := PoolID{classicMAC, prefix("10.240.0.0/16")}
	return &State{
		AddressSpace: AddressSpace{
			Pools: []*Pool{
				{Prefix: first.Prefix, MAC: classicMAC, Interface: `a "name"`, Primary: true,
					Listed:   newAddrSet([]netip.Addr{addr("10.240.0.5"), addr("10.240.0.6"), addr("10.240.0.9")}),
					Released: []netip.Addr{addr("10.240.0.9"), addr("10.240.0.5")}},
				{Prefix: prefix("fd00::/64"), MAC: "00:0d:3a:00:00:02", Interface: "eth1"},
			},
			Bindings:  map[string]Binding{"b": {IPv6: PoolID{"00:0d:3a:00:00:02", prefix("fd00::/64")}}, "azure": {first, first}},
			Unmatched: []string{"00:0d:3a:00:00:03"},
		},
		Answer: SourceStatus{Environment: "azure", URL: "http://168.63.129.16/?a&b", Refreshed: testTime,
			Attempted: testTime.Add(1500 * time.Millisecond), Failure: "refused: \"é\"\n", Stamp: "7", NoneAssigned: true},
	}
}

// eachField requires that no field is zero, so that a new one is not forgotten here.
func eachField(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer:
		eachField(t, v.Elem(), path)
	case reflect.Slice:
		eachField(t, v.Index(0), path)
	case reflect.Map:
		eachField(t, v.MapIndex(reflect.ValueOf("azure")), path)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				if v.Field(i).IsZero() {
					t.Errorf("%s.%s has no value", path, f.Name)
					continue
				}
				eachField(t, v.Field(i), path+"."+f.Name)
			}
		}
	}
}

// A person has read this.
func TestDataOfTheState(t *testing.T) {
	t.Parallel()
	s := wholeState()
	eachField(t, reflect.ValueOf(s), "State")
	const want = `{"pools":[` +
		`{"prefix":"10.240.0.0/16","mac":"00:0d:3a:11:22:33","interface":"a \"name\"","primary":true,` +
		`"listed":["10.240.0.5-10.240.0.6","10.240.0.9"],"released":["10.240.0.9","10.240.0.5"]},` +
		`{"prefix":"fd00::/64","mac":"00:0d:3a:00:00:02","interface":"eth1"}],` +
		`"bindings":{"azure":{"ipv4":{"mac":"00:0d:3a:11:22:33","prefix":"10.240.0.0/16"},` +
		`"ipv6":{"mac":"00:0d:3a:11:22:33","prefix":"10.240.0.0/16"}},` +
		`"b":{"ipv6":{"mac":"00:0d:3a:00:00:02","prefix":"fd00::/64"}}},` +
		`"unmatched":["00:0d:3a:00:00:03"],` +
		`"answer":{"environment":"azure","url":"http://168.63.129.16/?a\u0026b","refreshed":"2026-11-22T00:00:00Z",` +
		`"attempted":"2026-11-22T00:00:01.5Z","failure":"refused: \"é\"\n","stamp":"7","noneAssigned":true}}`
	text, err := json.Marshal(s)
	if d := cmp.Diff(want, string(text)); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
	back := &State{}
	if err := json.Unmarshal(text, back); err != nil || !reflect.DeepEqual(s, back) {
		t.Errorf("%v: read back as %s", err, dump(t, back))
	}
}

// What the builds before wrote of what is empty: null and zero values.
func TestDataWithEmptyMembers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*State{
		`{"pools":null,"answer":{}}`: {},
		`{}`:                         {},
		`{"pools":[{"prefix":"10.0.0.0/8","mac":"","interface":"","primary":false,"listed":null,"other":[{}]}],"bindings":null,"more":7}`: {
			AddressSpace: AddressSpace{Pools: []*Pool{{Prefix: prefix("10.0.0.0/8")}}, Bindings: map[string]Binding{}}},
	} {
		got := &State{}
		if err := json.Unmarshal([]byte(text), got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %s (%v)", text, dump(t, got), err)
		}
	}
}

func TestDataOfBadFormIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`[]`, `{"pools":{}}`, `{"pools":[null]}`, `{"pools":[{"prefix":"10.0.0.0"}]}`, `{"pools":[{"listed":["10.0.0.9-10.0.0.1"]}]}`,
		`{"pools":[{"primary":"yes"}]}`, `{"pools":[{"released":["x"]}]}`, `{"bindings":[]}`, `{"bindings":{"azure":null}}`,
		`{"bindings":{"azure":{"ipv4":{"prefix":7}}}}`, `{"unmatched":[7]}`, `{"answer":{"attempted":"today"}}`, `{"answer":[]}`,
	} {
		if err := new(State).UnmarshalJSON([]byte(text)); err == nil { // as the store calls it
			t.Errorf("%s is read", text)
		}
	}
}
