package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxSize bounds a state file, in bytes: what is read of one, and what is written. A full node's state has some 100
// KiB.
const maxSize = 64 << 20

// header is the envelope without its last member, the data.
type header struct {
	schema     int
	bootID     string
	generation uint64
	written    time.Time
}

// append appends the header, up to the data.
func (h header) append(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"schema":`...), int64(h.schema), 10)
	b = AppendString(append(b, `,"bootID":`...), h.bootID)
	b = strconv.AppendUint(append(b, `,"generation":`...), h.generation, 10)
	b = append(h.written.AppendFormat(append(b, `,"written":"`...), time.RFC3339Nano), '"')
	return append(b, takenOver...)
}

// takenOver are members of a file of ours that are none of the envelope's. A call of the classic plugin that was under
// way when we took over, waiting for its lock, reads our file: where it finds nothing under these keys it takes the
// network for new, and the host's addresses away with a bridge. What is no object it cannot read. It fails then before
// it touches anything, and the runtime calls again.
const takenOver = `,"Network":"taken over","IPAM":"taken over"`

// dataKey introduces the data in a file of ours. Quotes inside of strings are escaped, so the first occurrence is the
// key.
const dataKey = `,"data":`

// headRoom is kept before a body for the header, in bytes.
const headRoom = 512

// body encodes all of the envelope that is behind the header, behind headRoom bytes. This much is compared to find out
// whether a value has changed; the envelope is assembled by hand so that it is encoded once. The size is a guess at how
// long it will be.
func (s *Store[T]) body(value *T, size int) ([]byte, error) {
	data, err := encode(value)
	if err != nil {
		return nil, fmt.Errorf("%w: encode %s: %w", ErrWrite, s.f.path, err)
	}
	b := make([]byte, headRoom, headRoom+size)
	b = append(append(b, dataKey...), data...)
	if list, has := any(value).(Records); has {
		return appendRecords(b, list), nil
	}
	return append(b, "}\n"...), nil
}

// encode is json.Marshal, which would look again at what a type with a method of its own has written.
func encode(value any) ([]byte, error) {
	if own, has := value.(json.Marshaler); has {
		return own.MarshalJSON()
	}
	return json.Marshal(value)
}

// decode is json.Unmarshal for one value, which would look first at what a type with a method of its own reads.
func decode(text []byte, value any) error {
	if own, has := value.(json.Unmarshaler); has {
		return own.UnmarshalJSON(text)
	}
	return json.Unmarshal(text, value)
}

// seal makes what body returned the file that follows the loaded one.
func (s *Store[T]) seal(l *loaded[T], b []byte) ([]byte, error) {
	boot := s.o.Boot
	if boot == "" {
		boot = l.boot // an unknown boot must not make the file forget the known one
	}
	head := header{s.o.Schema, boot, l.generation + 1, s.o.Now().UTC()}.append(nil)
	if len(head) <= headRoom {
		b = b[headRoom-len(head):]
		copy(b, head)
	} else {
		b = append(head, b[headRoom:]...)
	}
	if len(b) > maxSize {
		return nil, fmt.Errorf("%w: %s would have %d bytes, the limit is %d", ErrWrite, s.f.path, len(b), maxSize)
	}
	return b, nil
}

// unseal decodes what is in a file. Its errors are a *damagedError, or wrap ErrSchema.
func (s *Store[T]) unseal(path, raw string) (*loaded[T], error) {
	e, err := parseEnvelope(raw)
	if err != nil || e.schema != s.o.Schema {
		return s.unsealOther(path, []byte(raw), err)
	}
	l := &loaded[T]{boot: e.bootID, generation: e.generation}
	if e.data == "" || e.data == "null" {
		return nil, damaged(errors.New("the envelope has no data"))
	}
	l.value = new(T)
	if err := decode([]byte(e.data), l.value); err != nil {
		return nil, damaged(err)
	}
	if list, has := any(l.value).(Records); has {
		if err := s.parseRecords(e.records, list); err != nil {
			return nil, damaged(fmt.Errorf("records: %w", err))
		}
	}
	// A file that was edited by hand has another body: it is written without need.
	if at := strings.Index(raw, dataKey); at >= 0 {
		l.base = raw[at:]
	}
	return l, nil
}

// envelope is a file of ours, its data and records as they stand there.
type envelope struct {
	header
	data, records string
}

// parseEnvelope reads a file. Members may stand in any order: somebody may have formatted it.
func parseEnvelope(raw string) (e envelope, err error) {
	r := NewReader(raw)
	r.Object(func(name string) {
		switch name {
		case "schema":
			e.schema = int(r.Int())
		case "bootID":
			e.bootID = r.String()
		case "generation":
			e.generation = r.Count()
		case "written":
			e.written = ReadTime(r)
		case "data":
			e.data = r.Raw()
		case "records":
			e.records = r.lastRecords()
		default:
			r.Skip()
		}
	})
	return e, r.End()
}

// lastRecords is what follows, up to the end of the file if that is as we write it: then nobody has to look for the
// end of hundreds of records.
func (r *Reader) lastRecords() string {
	rest := r.text[r.at:]
	if !strings.HasSuffix(rest, recordsEnd) {
		return r.Raw()
	}
	records := strings.TrimSuffix(rest, "}\n")
	r.at += len(records)
	return records
}

// unsealOther finds out what a file is that does not decode as the current schema: the slow path, taken once in a
// file's life.
func (s *Store[T]) unsealOther(path string, raw []byte, cause error) (*loaded[T], error) {
	if t := bytes.TrimSpace(raw); len(t) == 0 {
		return nil, damaged(errors.New("the file is empty"))
	} else if t[0] != '{' {
		return nil, damaged(errors.New("the file is not a JSON object"))
	}
	var outer struct {
		Schema     json.RawMessage `json:"schema"`
		BootID     string          `json:"bootID"`
		Generation uint64          `json:"generation"`
	}
	if err := json.Unmarshal(raw, &outer); err != nil {
		return nil, damaged(err)
	}
	if outer.Schema == nil {
		return s.unsealForeign(raw)
	}
	var schema int
	if err := json.Unmarshal(outer.Schema, &schema); err != nil || schema < 1 {
		return nil, damaged(fmt.Errorf("schema %s is not a version", outer.Schema))
	}
	if schema == s.o.Schema {
		return nil, damaged(cause)
	}
	if schema > s.o.Schema || s.o.Migrate == nil {
		return nil, fmt.Errorf("%w: %s has version %d, this program understands %d",
			ErrSchema, path, schema, s.o.Schema)
	}
	l := &loaded[T]{value: new(T), boot: outer.BootID, generation: outer.Generation, dirty: true}
	if err := s.o.Migrate(schema, raw, l.value); err != nil {
		return nil, damaged(fmt.Errorf("migrate from schema %d: %w", schema, err))
	}
	return l, nil
}

// unsealForeign imports an object without an envelope.
func (s *Store[T]) unsealForeign(raw []byte) (*loaded[T], error) {
	if s.o.Import == nil {
		return nil, damaged(errors.New("the file has no envelope"))
	}
	l := &loaded[T]{value: new(T), dirty: true, aside: asideClassic}
	if err := s.o.Import(raw, l.value); err != nil {
		return nil, damaged(fmt.Errorf("import: %w", err))
	}
	return l, nil
}
