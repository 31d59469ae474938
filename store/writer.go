package store

import (
	"encoding/json"
	"strconv"
	"time"
)

// Writer writes a JSON object, member by member. What is zero or empty is left out: whoever reads finds it so.
// encoding/json takes half a millisecond to find out what a state looks like, which every command would pay for.
type Writer struct{ b []byte }

// AppendObject appends an object.
func AppendObject(b []byte, members func(w *Writer)) []byte {
	w := &Writer{append(b, '{')}
	members(w)
	return append(w.b, '}')
}

// name begins a member.
func (w *Writer) name(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(AppendString(w.b, name), ':')
}

// Text writes a string.
func (w *Writer) Text(name, value string) {
	if value != "" {
		w.name(name)
		w.b = AppendString(w.b, value)
	}
}

// Int writes a whole number.
func (w *Writer) Int(name string, value int) {
	if value != 0 {
		w.name(name)
		w.b = strconv.AppendInt(w.b, int64(value), 10)
	}
}

// Bool writes true.
func (w *Writer) Bool(name string, value bool) {
	if value {
		w.name(name)
		w.b = append(w.b, "true"...)
	}
}

// Time writes a time as RFC 3339 has it, to the nanosecond.
func (w *Writer) Time(name string, value time.Time) {
	if !value.IsZero() {
		w.name(name)
		w.b = append(value.AppendFormat(append(w.b, '"'), time.RFC3339Nano), '"')
	}
}

// Raw writes what is JSON already.
func (w *Writer) Raw(name string, value json.RawMessage) {
	if len(value) > 0 {
		w.name(name)
		w.b = append(w.b, value...)
	}
}

// Value writes what encoding/json makes of a value that it can always encode: what few states have.
func (w *Writer) Value(name string, value any) {
	text, _ := json.Marshal(value)
	w.Raw(name, text)
}

// Object writes an object that has members.
func (w *Writer) Object(name string, members func(w *Writer)) {
	before := len(w.b)
	w.name(name)
	begin := len(w.b)
	if w.b = AppendObject(w.b, members); len(w.b) == begin+len("{}") {
		w.b = w.b[:before]
	}
}

// Map writes an object with all members of a map: keys are their names, in the order in which they shall stand there,
// and value appends what one is.
func (w *Writer) Map(name string, keys []string, value func(b []byte, key string) []byte) {
	w.Object(name, func(w *Writer) {
		for _, key := range keys {
			w.name(key)
			w.b = value(w.b, key)
		}
	})
}

// List writes a list of n items, which item appends.
func (w *Writer) List(name string, n int, item func(b []byte, i int) []byte) {
	if n == 0 {
		return
	}
	w.name(name)
	w.b = append(w.b, '[')
	for i := range n {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = item(w.b, i)
	}
	w.b = append(w.b, ']')
}

// Net is what netip's types are.
type Net interface {
	IsValid() bool
	AppendTo(b []byte) []byte
}

// Net writes an address or a prefix, if there is one.
func (w *Writer) Net(name string, value Net) {
	if value.IsValid() {
		w.name(name)
		w.b = AppendNet(w.b, value)
	}
}

// AppendNet appends an address, a prefix, or a range of addresses as a JSON string.
func AppendNet(b []byte, value interface{ AppendTo(b []byte) []byte }) []byte {
	return append(value.AppendTo(append(b, '"')), '"')
}
