package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Reader reads JSON from a text, value by value. A state has hundreds of records, and encoding/json takes a millisecond
// for those of a full node, as long as all that an ADD asks of the kernel; what is read here is a piece of the text.
//
// The first error stays, and everything that is read after it is empty.
type Reader struct {
	text string
	at   int
	err  error
	last map[string]again
}

// again is a value that may come again.
type again struct {
	text  string
	value any
}

// NewReader reads the text.
func NewReader(text string) *Reader { return &Reader{text: text} }

// Err is what was wrong first.
func (r *Reader) Err() error { return r.err }

// Fail notes what the caller found wrong with a value.
func (r *Reader) Fail(err error) {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("at byte %d: %w", r.at, err)
	}
}

// next skips white space and returns the byte behind it; 0 at the end, or after an error.
func (r *Reader) next() byte {
	for ; r.err == nil && r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// takes says whether the next byte is c, and takes it then.
func (r *Reader) takes(c byte) bool {
	if r.next() != c || c == 0 {
		return false
	}
	r.at++
	return true
}

func (r *Reader) expect(c byte) {
	if !r.takes(c) {
		r.Fail(fmt.Errorf("no %q", c))
	}
}

// list reads what is between two brackets, with commas between its items.
func (r *Reader) list(open, end byte, item func()) {
	r.expect(open)
	if r.takes(end) {
		return
	}
	for r.err == nil {
		item()
		if !r.takes(',') {
			r.expect(end)
			return
		}
	}
}

// Object calls member with each name of an object; member reads the value. It returns the object as it stands there.
func (r *Reader) Object(member func(name string)) string {
	_ = r.next()
	from := r.at
	r.list('{', '}', func() {
		name := r.String()
		r.expect(':')
		member(name)
	})
	return r.text[from:r.at]
}

// Array calls item for each value of an array; item reads the value.
func (r *Reader) Array(item func()) { r.list('[', ']', item) }

// Items is Array for a list that may be null, which is empty.
func (r *Reader) Items(item func()) {
	if !r.Null() {
		r.Array(item)
	}
}

// Members is Object for an object that may be null, which is empty.
func (r *Reader) Members(member func(name string)) {
	if !r.Null() {
		r.Object(member)
	}
}

// Null says whether the next value is null, and takes it then.
func (r *Reader) Null() bool {
	if r.next() != 'n' {
		return false
	}
	if word := r.Raw(); word != "null" {
		r.Fail(fmt.Errorf("the word %q", word))
	}
	return true
}

// String reads a string. It is a piece of the text, unless there is an escape in it, or a byte that is not ASCII: what
// is not UTF-8 is replaced as encoding/json does it, which writes it.
func (r *Reader) String() string {
	raw, plain := r.quoted()
	switch {
	case r.err != nil:
		return ""
	case plain:
		return raw[1 : len(raw)-1]
	}
	var value string
	r.Fail(json.Unmarshal([]byte(raw), &value))
	return value
}

// quoted is a string as it stands there, with its quotes. A plain one says what is between them.
func (r *Reader) quoted() (raw string, plain bool) {
	r.expect('"')
	if r.err != nil {
		return "", false
	}
	from := r.at - 1
	plain = true
	text, at := r.text, r.at
	for ; at < len(text); at++ {
		c := text[at]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			continue
		}
		switch {
		case c == '"':
			r.at = at + 1
			return text[from:r.at], plain
		case c == '\\':
			at++ // what follows is part of the string, also if it is a quote
		case c < ' ':
			r.at = at
			r.Fail(fmt.Errorf("the byte %#02x in a string", c))
			return "", false
		}
		plain = false
	}
	r.at = len(text)
	r.Fail(errors.New("a string does not end"))
	return "", false
}

// Int reads a whole number.
func (r *Reader) Int() int64 {
	raw := r.Raw()
	n, err := strconv.ParseInt(raw, 10, 64)
	if digits := strings.TrimPrefix(raw, "-"); strings.HasPrefix(raw, "+") || len(digits) > 1 && digits[0] == '0' {
		err = fmt.Errorf("the number %q", raw)
	}
	r.Fail(err)
	return n
}

// Count reads a whole number that is not negative.
func (r *Reader) Count() uint64 {
	n := r.Int()
	if n < 0 {
		r.Fail(fmt.Errorf("the number %d", n))
	}
	return uint64(n)
}

// Bool reads true or false.
func (r *Reader) Bool() bool {
	raw := r.Raw()
	if raw != "true" && raw != "false" {
		r.Fail(fmt.Errorf("%.40q is neither true nor false", raw))
	}
	return raw == "true"
}

// JSON reads any value, as it stands there.
func (r *Reader) JSON() json.RawMessage {
	raw := json.RawMessage(r.Raw())
	if r.err == nil && !json.Valid(raw) {
		r.Fail(fmt.Errorf("the value %.40q", raw))
	}
	return raw
}

// Skip reads a value that nobody wants.
func (r *Reader) Skip() { r.JSON() }

// Raw is the next value as it stands there. Only its brackets and strings have been looked at: what is in it is valid
// once somebody has read it.
func (r *Reader) Raw() string {
	c := r.next()
	from := r.at
	switch c {
	case '"':
		raw, _ := r.quoted()
		return raw
	case '{', '[':
		for depth := 0; r.err == nil; {
			switch r.next() {
			case 0:
				r.Fail(errors.New("a value does not end"))
			case '"':
				_, _ = r.quoted()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if r.err == nil {
				r.at++
			}
			if depth == 0 {
				break
			}
		}
	default:
		for r.at < len(r.text) && strings.IndexByte(",]} \t\r\n", r.text[r.at]) < 0 {
			r.at++
		}
	}
	if r.err != nil || r.at == from {
		r.Fail(errors.New("no value"))
		return ""
	}
	return r.text[from:r.at]
}

// Member reads the value of an object's member as encoding/json does, into the struct that has it.
func (r *Reader) Member(name string, into any) {
	object := append(append(AppendString([]byte{'{'}, name), ':'), r.Raw()...)
	if r.err == nil {
		r.Fail(json.Unmarshal(append(object, '}'), into))
	}
}

// Read reads a string, and what it says by parse.
func Read[V any](r *Reader, parse func(string) (V, error)) V {
	v, err := parse(r.String())
	r.Fail(err)
	return v
}

// Again reads a list, an object or a string of which the next record mostly has the same: then it is what was read
// before under this name, so nobody must change it.
func Again[V any](r *Reader, name string, read func() V) V {
	_ = r.next()
	if last, there := r.last[name]; there && r.err == nil && strings.HasPrefix(r.text[r.at:], last.text) {
		if value, same := last.value.(V); same {
			r.at += len(last.text)
			return value
		}
	}
	from := r.at
	value := read()
	if r.err == nil {
		if r.last == nil {
			r.last = map[string]again{}
		}
		r.last[name] = again{r.text[from:r.at], value}
	}
	return value
}

// ReadTime reads a time as RFC 3339 has it.
func ReadTime(r *Reader) time.Time {
	t, err := time.Parse(time.RFC3339, r.String())
	r.Fail(err)
	return t
}

// End requires that nothing follows, and returns what was wrong first.
func (r *Reader) End() error {
	if r.next() != 0 || r.at < len(r.text) {
		r.Fail(errors.New("more than one value"))
	}
	return r.err
}

// AppendString appends a text as a JSON string.
func AppendString(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(text) // a string can always be encoded
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}
