package cni

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/store"
)

// sameAsJSON compares what is read of a configuration with what encoding/json reads, also of what is wrong with it.
func sameAsJSON[T any](t *testing.T, raw []byte, usual func(v *T, r *store.Reader, name string) bool) {
	t.Helper()
	var got, want T
	err, wantErr := unmarshal(raw, &got, usual), json.Unmarshal(raw, &want)
	if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Errorf("%s is read as\n%+v, %v\ninstead of\n%+v, %v", raw, got, err, want, wantErr)
	}
}

func allSameAsJSON(t *testing.T, raw []byte) {
	t.Helper()
	sameAsJSON(t, raw, (*head).usual)
	sameAsJSON(t, raw, (*NetConf).usual)
	sameAsJSON(t, raw, (*IPAMConf).usual)
}

// fields are the names that encoding/json knows in a struct.
func fields(of reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(of) {
		if name := strings.Split(f.Tag.Get("json"), ",")[0]; name != "-" && !f.Anonymous {
			names = append(names, name)
		}
	}
	return names
}

// Each field, with a value that it may have and with others, in any spelling, once and twice.
func TestEachFieldIsReadAsEncodingJSONReadsIt(t *testing.T) {
	values := []string{`"10"`, `"azure"`, `"\u00e9\n"`, `""`, `7`, `1.5`, `true`, `null`, `{}`, `[]`, `["ipv4",null]`, `{"cni":{"mac":"x","ips":["y"]}}`,
		`{"type":7}`, `{"ips":["10.0.0.1"],"dns":{"servers":["x"]}}`, ` [ 1 ] `, "\"\xff\"", `x`, ``}
	names := append(fields(reflect.TypeFor[NetConf]()), append(fields(reflect.TypeFor[IPAMConf]()), "unknown", "ma\u017fter", "")...)
	ipam := append(fields(reflect.TypeFor[IPAM]()), "unknown", "familie\u017f")
	for _, value := range values {
		for _, name := range names {
			for _, name := range []string{name, strings.ToUpper(name)} {
				allSameAsJSON(t, []byte(`{"name":"a","`+name+`":`+value+`}`))
				allSameAsJSON(t, []byte(`{"`+name+`":"first","name":"a", "`+name+`":`+value+` , "type":"t"}`))
			}
		}
		for _, name := range ipam {
			allSameAsJSON(t, []byte(`{"ipam":{"type":"a","`+name+`":`+value+`,"`+strings.ToUpper(name)+`":`+value+`}}`))
			allSameAsJSON(t, []byte(`{"ipam":{"`+name+`":`+value+`},"IPAM":{"type":"b"}}`))
		}
		allSameAsJSON(t, []byte(value))
		allSameAsJSON(t, []byte(`{"name":"a"}`+value))
	}
}

// What the shipped configuration has, and what a runtime adds to it, is read without reflection.
func TestTheShippedConfigurationIsUsual(t *testing.T) {
	text, err := os.ReadFile("conf/10-azure-linux.conflist")
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Plugins []map[string]any }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	conf := list.Plugins[0]
	conf["cniVersion"], conf["name"], conf["prevResult"] = "1.0.0", "azure", map[string]any{"ips": []any{}}
	raw, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	isUsual(t, raw, (*head).usual)
	isUsual(t, raw, (*NetConf).usual)
	isUsual(t, raw, (*IPAMConf).usual)
}

func isUsual[T any](t *testing.T, raw []byte, usual func(v *T, r *store.Reader, name string) bool) {
	t.Helper()
	var v T
	r := store.NewReader(string(raw))
	readObject(r, func(name string) bool { return usual(&v, r, name) })
	if err := r.End(); err != nil {
		t.Errorf("%T is read by reflection: %v\n%s", v, err, raw)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"1.0.0","name":"azure","type":"azure-vnet","mode":"bridge","ipam":{"type":"azure-vnet-ipam","queryInterval":"5"}}`))
	f.Add([]byte(`{"logLevel":"debug","LOGFILE":"/x","capabilities":{"ips":true},"prevResult":{"ips":[{"address":"10.0.0.1/8"}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) { allSameAsJSON(t, raw) })
}
