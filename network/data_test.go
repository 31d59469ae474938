package network

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Whatever fields a network gets, they are read and written as encoding/json does it.
func TestTheDataHasEveryFieldOfANetwork(t *testing.T) {
	t.Parallel()
	full := &Network{}
	fill(reflect.ValueOf(full).Elem())
	full.DNS["a"] = json.RawMessage("7")
	type plain State // has no methods: encoding/json looks at the fields
	want, err := json.Marshal(plain{map[string]*Network{"azure": full, "b/\"c\"": full}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(&State{map[string]*Network{"b/\"c\"": full, "azure": full}})
	if d := cmp.Diff(string(want), string(got)); err != nil || d != "" {
		t.Errorf("%v (-encoding/json +written)\n%s", err, d)
	}
	read := &State{}
	if err := json.Unmarshal(want, read); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(full, read.Networks["azure"], sameEndpoints, cmpopts.IgnoreUnexported(Network{}, Endpoints{})); d != "" ||
		len(read.Networks) != 2 {
		t.Errorf("(-written +read)\n%s", d)
	}
}

// What the builds before wrote of what is empty, and members that nobody knows. What is there is written, too.
func TestDataWithEmptyMembers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"networks":null}`:                 `{}`,
		`{"networks":{},"more":[{}]}`:       `{}`,
		`{"networks":{"azure":{"more":7}}}`: `{"networks":{"azure":{}}}`,
		`{"networks":{"azure":{"name":"azure","antiSpoof":false,"prefixes":null,"created":"0001-01-01T00:00:00Z"}}}`: `{"networks":{"azure":{"name":"azure"}}}`,
		`{"networks":{"azure":{"sysctls":{"net/a":""}}}}`:                                                            `{"networks":{"azure":{"sysctls":{"net/a":""}}}}`,
	} {
		s := &State{}
		if err := json.Unmarshal([]byte(text), s); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got, err := json.Marshal(s); err != nil || string(got) != want {
			t.Errorf("%s is written as %s (%v) instead of %s", text, got, err, want)
		}
	}
}

// A state with a hole in it is damaged, and so is one that has something else where a value should be.
func TestDataOfBadFormIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`7`, `{"networks":[]}`, `{"networks":{"azure":null}}`, `{"networks":{"azure":{"name":7}}}`, `{"networks":{"azure":{"antiSpoof":"yes"}}}`,
		`{"networks":{"azure":{"prefixes":["10.240.0.0"]}}}`, `{"networks":{"azure":{"created":"today"}}}`, `{"networks":{"azure":{"mtu":"x"}}}`,
		`{"networks":{"azure":{"sysctls":{"a":1}}}}`, `{"networks":{"azure":{"host":"%"}}}`, `{"networks":{"azure":{"former":[null]}}}`,
		`{"networks":{"azure":{"giver":[}}}}`, `{"networks":{"azure":{"dns":{"a":[}}}}}`, `{"networks":{"azure":{"more":[}}}}`,
	} {
		if err := new(State).UnmarshalJSON([]byte(text)); err == nil { // as the store calls it
			t.Errorf("%s is read", text)
		}
	}
}
