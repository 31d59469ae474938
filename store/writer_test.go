package store

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"
)

// What is written is JSON, in the order of the calls, and what is zero or empty is not there; but everything in a map or
// a list is. A person has read this.
func TestAWriterLeavesOutWhatIsEmpty(t *testing.T) {
	t.Parallel()
	write := func(text string, n int, is bool, when time.Time, at netip.Addr, raw json.RawMessage, keys ...string) string {
		return string(AppendObject([]byte("x"), func(w *Writer) {
			w.Text("a \"b\"", text)
			w.Int("int", n)
			w.Bool("bool", is)
			w.Time("time", when)
			w.Net("net", at)
			w.Raw("raw", raw)
			w.Object("object", func(w *Writer) { w.Text("text", text) })
			w.Map("map", keys, AppendString)
			w.List("list", len(keys), func(b []byte, i int) []byte { return AppendString(b, keys[i]) })
		}))
	}
	got := write("é\n", -7, true, time.Date(2026, 11, 30, 6, 0, 0, 5e6, time.UTC), netip.MustParseAddr("fd00::1"),
		json.RawMessage(`[null]`), "", "k")
	want := `x{"a \"b\"":"é\n","int":-7,"bool":true,"time":"2026-11-30T06:00:00.005Z","net":"fd00::1","raw":[null],` +
		`"object":{"text":"é\n"},"map":{"":"","k":"k"},"list":["","k"]}`
	if got != want || !json.Valid([]byte(got[1:])) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := write("", 0, false, time.Time{}, netip.Addr{}, nil); got != "x{}" {
		t.Errorf("of nothing it makes %s", got)
	}
}
