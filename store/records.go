package store

import (
	"slices"
	"strings"
)

// Records is what a *T implements that has hundreds of things of one kind. They are the envelope's last member, one
// line each, so that grep finds one, and jq:
//
//	{"schema":3,…,"data":{…},"records":[
//	{"address":"10.240.0.5","network":"azure","containerID":"4a1f…",…},
//	{"address":"10.240.0.6",…}
//	]}
type Records interface {
	// AppendRecords appends each record: what line appends, and a JSON object without a line break in it.
	AppendRecords(b []byte, line func(b []byte) []byte) []byte
	// ParseRecord reads one record. What it returns must not change any more: as long as the file has the same line,
	// EnterRecord gets it again. The data has been decoded before. If it fails, the file counts as damaged.
	ParseRecord(r *Reader) (record any, err error)
	// EnterRecord adds a record, with the text that it was made from. If it fails, the file counts as damaged.
	EnterRecord(record any, text string) error
}

// recordsEnd is the end of a file with records as body makes it.
const recordsEnd = "\n]}\n"

// appendRecords appends the member with all records, up to the end of the file.
func appendRecords(b []byte, list Records) []byte {
	b = append(b, `,"records":[`...)
	separator := "\n"
	b = list.AppendRecords(b, func(b []byte) []byte {
		b = append(b, separator...)
		separator = ",\n"
		return b
	})
	return append(b, recordsEnd...)
}

// parsed is a record that was read, with its text.
type parsed struct {
	text   string
	record any
}

// parseRecords reads what appendRecords wrote, or what somebody made of it. A command reads its state some ten times,
// with one line in hundreds that is another one: those that it has read already are known, in the order of the file.
func (s *Store[T]) parseRecords(text string, list Records) error {
	var known, read []parsed
	if last := s.known.Load(); last != nil {
		known, read = *last, make([]parsed, 0, len(*last)+1)
	}
	r := NewReader(text)
	r.Array(func() {
		p := parsed{text: r.line()}
		if at := indexOf(known, p.text); at >= 0 {
			p, known = known[at], known[at+1:]
			r.at += len(p.text)
		} else {
			from := r.at
			record, err := list.ParseRecord(r)
			r.Fail(err)
			p = parsed{text[from:r.at], record}
		}
		if read = append(read, p); r.err == nil {
			r.Fail(list.EnterRecord(p.record, p.text))
		}
	})
	if r.End() == nil {
		s.known.Store(&read)
	}
	return r.err
}

// indexOf is where the text is among the next ones that are known: others may have gone, or have been changed.
func indexOf(known []parsed, text string) int {
	const ahead = 16
	return slices.IndexFunc(known[:min(ahead, len(known))], func(p parsed) bool { return p.text == text })
}

// line is what follows, up to the end of its line, without the comma behind a value.
func (r *Reader) line() string {
	_ = r.next()
	line, _, _ := strings.Cut(r.text[r.at:], "\n")
	return strings.TrimSuffix(line, ",")
}
