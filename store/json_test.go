package store

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// value reads any value: objects, arrays, strings, and the rest as it stands there.
func value(r *Reader) any {
	switch r.next() {
	case '{':
		members := map[string]any{}
		r.Object(func(name string) { members[name] = value(r) })
		return members
	case '[':
		items := []any{}
		r.Array(func() { items = append(items, value(r)) })
		return items
	case '"':
		return r.String()
	}
	var scalar any
	r.Fail(json.Unmarshal([]byte(r.Raw()), &scalar))
	return scalar
}

// FuzzReader compares with encoding/json: what is JSON there is here, with the same content, and nothing else is.
func FuzzReader(f *testing.F) {
	for _, text := range []string{
		`{"a":"b","c":[1,-2.5e3,true,null,{}],"d":{"e":[]}}`, ` [ "\u00e9\n" , "é" ] `, `{"a":1,}`, `[1 2]`, `"a`, `{"a"}`, `[}`, `{"a":"\q"}`,
		"\"\x01\"", `[[["]"]]]`, `7`, ``, `[`, `{"a":`, `1,`, `"\`, "{\"a\xa8\":\"\xc3\"}", `-0`, `007`, `+7`, `-7`,
		`9223372036854775808`, `{"a":[}}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want any
		bad := json.Unmarshal([]byte(text), &want)
		r := &Reader{text: text}
		got := value(r)
		_ = r.End()
		if (bad == nil) != (r.Err() == nil) || bad == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v (%v) instead of %v (%v)", text, got, r.Err(), want, bad)
		}
		raw := &Reader{text: text}
		if piece := raw.Raw(); bad == nil && (raw.Err() != nil || json.Unmarshal([]byte(piece), &got) != nil || !reflect.DeepEqual(got, want)) {
			t.Errorf("%q as it stands there: %q, %v", text, piece, raw.Err())
		}
		var number int64
		whole := &Reader{text: text}
		n := whole.Int()
		if whole.End() == nil && (json.Unmarshal([]byte(text), &number) != nil || n != number) {
			t.Errorf("the number %q is %d instead of %d", text, n, number)
		}
		skipped := &Reader{text: text}
		skipped.Skip()
		if json.Valid([]byte(text)) != (skipped.End() == nil) {
			t.Errorf("%q is skipped: %v", text, skipped.Err())
		}
	})
}

// FuzzAppendString: any text is a string that is read back as it was.
func FuzzAppendString(f *testing.F) {
	for _, text := range []string{"", "azure", "a b/c;d=e%20\"'\\", "é\x00\u2028\x7f"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted := AppendString(nil, text)
		var other string
		if err := json.Unmarshal(quoted, &other); err != nil {
			t.Fatalf("%q is %s: %v", text, quoted, err)
		}
		if back := (&Reader{text: string(quoted)}).String(); back != other || utf8.ValidString(text) && back != text {
			t.Errorf("%q is %s, and that is %q, or %q", text, quoted, back, other)
		}
	})
}

// A list that comes again is not read again, and what it is depends on its text and its name alone.
func TestWhatComesAgainIsReadOnce(t *testing.T) {
	r := NewReader(`[{"a":["x"]}, {"a":["x"],"b":["x"]}, {"a" : ["x","y"]}, {"a":["x","y"]}, {"a":null}, {"a":["x"]}, {"a":["x"]x}]`)
	var got []string
	reads := 0
	r.Array(func() {
		r.Object(func(name string) {
			all := Again(r, name, func() (all []string) {
				reads++
				r.Items(func() { all = append(all, r.String()) })
				return all
			})
			got = append(got, name+strings.Join(all, ""))
		})
	})
	const want = "ax ax bx axy axy a ax ax"
	if strings.Join(got, " ") != want || reads != 5 {
		t.Errorf("%q after %d readings instead of %q after 5", got, reads, want)
	}
	if r.Err() == nil {
		t.Error("text behind a list is let through")
	}
	r = NewReader(`["x"]["x"]`)
	texts := func() []string {
		return Again(r, "a", func() (all []string) { r.Items(func() { all = append(all, r.String()) }); return all })
	}
	if first := texts(); len(first) != 1 {
		t.Errorf("read %q", first)
	}
	if r.Fail(errors.New("wrong")); len(texts()) != 0 {
		t.Error("something is read after an error")
	}
}
