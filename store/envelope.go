package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxSize bounds a state file, in bytes: what is read of one, and what is written. A full node's state has some 100 KiB.
const maxSize = 64 << 20

// header is the envelope without its last member, the data.
type header struct {
	Schema     int       `json:"schema"`
	BootID     string    `json:"bootID"`
	Generation uint64    `json:"generation"`
	Written    time.Time `json:"written"`
}

type envelope[T any] struct {
	header
	Data *T      `json:"data"`
	Rows *string `json:"rows"` // see Rows
}

// dataKey introduces the data in a file of ours. Quotes inside of strings are escaped, so the first occurrence is the key.
const dataKey = `,"data":`

// appendBody appends all of the envelope that is behind the header. This much is compared to find out whether a value has
// changed; the envelope is assembled by hand so that it is encoded once.
func (s *Store[T]) appendBody(b []byte, value *T) ([]byte, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("%w: encode %s: %w", ErrWrite, s.f.path, err)
	}
	b = append(append(b, dataKey...), data...)
	if r, has := any(value).(Rows); has {
		b = appendRows(b, r)
	}
	return append(b, "}\n"...), nil
}

// seal encodes the file that follows the loaded one: all of it, and the part that appendBody made.
func (s *Store[T]) seal(l *loaded[T]) (raw, body []byte, err error) {
	boot := s.o.Boot
	if boot == "" {
		boot = l.boot // an unknown boot must not make the file forget the known one
	}
	head, err := json.Marshal(header{s.o.Schema, boot, l.generation + 1, s.o.Now().UTC()})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: encode envelope of %s: %w", ErrWrite, s.f.path, err)
	}
	head = head[:len(head)-1] // without its brace
	raw = append(make([]byte, 0, len(head)+len(l.base)+4096), head...)
	if raw, err = s.appendBody(raw, l.value); err != nil {
		return nil, nil, err
	}
	if len(raw) > maxSize {
		return nil, nil, fmt.Errorf("%w: %s would have %d bytes, the limit is %d", ErrWrite, s.f.path, len(raw), maxSize)
	}
	return raw, raw[len(head):], nil
}

// unseal decodes a file. Its errors are a *damagedError, or wrap ErrSchema.
func (s *Store[T]) unseal(raw string) (*loaded[T], error) {
	var e envelope[T]
	doc := raw
	if _, has := any(e.Data).(Rows); has {
		doc, e.Rows = cutRows(raw)
	}
	cut := e.Rows != nil
	err := json.Unmarshal([]byte(doc), &e)
	if err != nil || e.Schema != s.o.Schema {
		return s.unsealOther([]byte(raw), err)
	}
	if e.Data == nil {
		return nil, damaged(errors.New("the envelope has no data"))
	}
	if r, has := any(e.Data).(Rows); has {
		if e.Rows == nil || !cut && !plain(*e.Rows) {
			return nil, damaged(errors.New("the envelope has no rows, or not as they are written"))
		}
		if err := r.ParseRows(*e.Rows); err != nil {
			return nil, damaged(fmt.Errorf("rows: %w", err))
		}
	}
	l := &loaded[T]{value: e.Data, boot: e.BootID, generation: e.Generation}
	if at := strings.Index(raw, dataKey); at >= 0 { // a file that was edited by hand has another body: it is written without need
		l.base = raw[at:]
	}
	return l, nil
}

// unsealOther finds out what a file is that does not decode as the current schema: the slow path, taken once in a file's
// life.
func (s *Store[T]) unsealOther(raw []byte, cause error) (*loaded[T], error) {
	if t := bytes.TrimSpace(raw); len(t) == 0 {
		return nil, damaged(errors.New("the file is empty"))
	} else if t[0] != '{' {
		return nil, damaged(errors.New("the file is not a JSON object"))
	}
	var outer struct {
		Schema     json.RawMessage `json:"schema"`
		BootID     string          `json:"bootID"`
		Generation uint64          `json:"generation"`
		Data       json.RawMessage `json:"data"`
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
			ErrSchema, s.f.path, schema, s.o.Schema)
	}
	l := &loaded[T]{value: new(T), boot: outer.BootID, generation: outer.Generation, dirty: true}
	if err := s.o.Migrate(schema, outer.Data, l.value); err != nil {
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
