package cni

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net"
	"reflect"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// A result is printed byte for byte as the library prints it, whatever is in it: with all fields, with none, and with
// any of them.
func TestAResultIsPrintedAsTheLibraryPrintsIt(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for i, chance := range []float64{1, 0} {
		same(t, randomResult(random, chance))
		if full := randomResult(random, chance); reflect.ValueOf(*full).FieldByName("Interfaces").IsZero() != (i == 1) {
			t.Fatalf("%v is not what is to be tested", full)
		}
	}
	for range 2000 {
		same(t, randomResult(random, random.Float64()))
	}
}

// Text that no name has is still the same to who reads it.
func TestAResultOfAnyText(t *testing.T) {
	for _, text := range []string{"é", "a\nb", "<&>", `"\`, "\u2028", "\xff", "\x7f"} {
		r := &types100.Result{CNIVersion: "1.0.0", Interfaces: []*types100.Interface{{Name: text, Sandbox: text}},
			DNS: types.DNS{Search: []string{text}}}
		var got, want any
		if err := json.Unmarshal(printed(t, r), &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := json.Unmarshal(library(t, r), &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v instead of %v, %v", text, got, want, err)
		}
	}
}

// Another plugin's result may have holes.
func TestAResultWithHoles(t *testing.T) {
	for _, r := range []*types100.Result{{Interfaces: []*types100.Interface{nil}}, {IPs: []*types100.IPConfig{nil}},
		{Routes: []*types.Route{nil}}} {
		same(t, r)
	}
}

// The results of the protocol's earlier versions are the library's.
func TestAResultOfAnEarlierVersion(t *testing.T) {
	for _, version := range Supported.SupportedVersions() {
		r := randomResult(rand.New(rand.NewPCG(1, 2)), 1)
		r.CNIVersion = types100.ImplementedSpecVersion
		r.IPs = r.IPs[:1] // 0.2.0 has one of each family
		as, err := r.GetAsVersion(version)
		if err != nil {
			t.Fatal(err)
		}
		same(t, as)
	}
}

func same(t *testing.T, r types.Result) {
	t.Helper()
	if got, want := printed(t, r), library(t, r); !bytes.Equal(got, want) {
		t.Fatalf("got\n%s\ninstead of\n%s", got, want)
	}
}

func printed(t *testing.T, r types.Result) []byte {
	t.Helper()
	text, err := encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func library(t *testing.T, r types.Result) []byte {
	t.Helper()
	var text bytes.Buffer
	if err := r.PrintTo(&text); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// randomResult fills in each field with the chance: 1 is all that there are, also those of a newer library.
func randomResult(random *rand.Rand, chance float64) *types100.Result {
	r := &types100.Result{}
	fill(random, chance, reflect.ValueOf(r).Elem())
	return r
}

var fillAddress = map[reflect.Type]func(n int) any{
	reflect.TypeFor[net.IP](): func(n int) any { return net.IP{10, 0, 0, byte(n)} },
	reflect.TypeFor[net.IPNet](): func(n int) any {
		return net.IPNet{IP: net.IP{0xfd, 14: 0, 15: byte(n)}, Mask: net.CIDRMask(n%129, 128)}
	},
}

func fill(random *rand.Rand, chance float64, v reflect.Value) {
	if random.Float64() >= chance && v.Kind() != reflect.Struct { // which cannot be left out
		return
	}
	n := random.IntN(1000)
	if address := fillAddress[v.Type()]; address != nil {
		v.Set(reflect.ValueOf(address(n)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(random, chance, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(random, chance, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+random.IntN(3), 3))
		for i := range v.Len() {
			if e := v.Index(i); e.Kind() == reflect.Pointer { // a list has no holes
				e.Set(reflect.New(e.Type().Elem()))
				fill(random, chance, e.Elem())
			} else {
				fill(random, chance, e)
			}
		}
	case reflect.String:
		v.SetString("text" + string(rune('a'+n%26)))
	case reflect.Int:
		v.SetInt(int64(n + 1))
	}
}
