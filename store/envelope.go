package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxSize bounds a state file, in bytes: what is read of one, and what is written. A full node's state has some 100
// KiB.
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

// takenOver are members of a file of ours that are none of the envelope's. A call of the classic plugin that was under
// way when we took over, waiting for its lock, reads our file: where it finds nothing under these keys it takes the
// network for new, and the host's addresses away with a bridge. What is no object it cannot read. It fails then before
// it touches anything, and the runtime calls again.
const takenOver = `,"Network":"taken over","IPAM":"taken over"`

// dataKey introduces the data in a file of ours. Quotes inside of strings are escaped, so the first occurrence is the
// key.
const dataKey = `,"data":`

// body encodes all of the envelope that is behind the header, in pieces. This much is compared to find out whether a
// value has changed; the envelope is assembled by hand so that it is encoded once.
func (s *Store[T]) body(value *T) ([]string, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("%w: encode %s: %w", ErrWrite, s.f.path, err)
	}
	pieces := []string{dataKey, string(data)}
	if r, has := any(value).(Rows); has {
		pieces = append(r.AppendRows(append(pieces, rowsKey)), `"`)
	}
	return append(pieces, "}\n"), nil
}

// consistsOf says that the text is the pieces, one after the other. A piece that was cut out of it takes no time.
func consistsOf(text string, pieces []string) bool {
	for _, p := range pieces {
		var found bool
		if text, found = strings.CutPrefix(text, p); !found {
			return false
		}
	}
	return text == ""
}

// seal puts the header before the body of the file that follows the loaded one.
func (s *Store[T]) seal(l *loaded[T], body []string) ([]string, error) {
	boot := s.o.Boot
	if boot == "" {
		boot = l.boot // an unknown boot must not make the file forget the known one
	}
	head, err := json.Marshal(header{s.o.Schema, boot, l.generation + 1, s.o.Now().UTC()})
	if err != nil {
		return nil, fmt.Errorf("%w: encode envelope of %s: %w", ErrWrite, s.f.path, err)
	}
	pieces := append([]string{string(head[:len(head)-1]) + takenOver}, body...) // without its brace
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	if size > maxSize {
		return nil, fmt.Errorf("%w: %s would have %d bytes, the limit is %d", ErrWrite, s.f.path, size, maxSize)
	}
	return pieces, nil
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

// unsealOther finds out what a file is that does not decode as the current schema: the slow path, taken once in a
// file's life.
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
