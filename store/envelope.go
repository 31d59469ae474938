package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
	Data *T `json:"data"`
}

// dataKey introduces the data in a file of ours. Quotes inside of strings are escaped, so the first occurrence is the key.
var dataKey = []byte(`,"data":`)

// seal puts the envelope around encoded data. It is assembled by hand because the data is encoded already, for comparison.
func (s *Store[T]) seal(l *loaded[T], data []byte) ([]byte, error) {
	boot := s.o.Boot
	if boot == "" {
		boot = l.boot // an unknown boot must not make the file forget the known one
	}
	head, err := json.Marshal(header{s.o.Schema, boot, l.generation + 1, s.o.Now().UTC()})
	if err != nil {
		return nil, fmt.Errorf("%w: encode envelope of %s: %w", ErrWrite, s.f.path, err)
	}
	size := len(head) + len(dataKey) + len(data) + len("\n")
	if size > maxSize {
		return nil, fmt.Errorf("%w: %s would have %d bytes, the limit is %d", ErrWrite, s.f.path, size, maxSize)
	}
	raw := make([]byte, 0, size)
	raw = append(raw, head[:len(head)-1]...)
	raw = append(raw, dataKey...)
	raw = append(raw, data...)
	return append(raw, "}\n"...), nil
}

// unseal decodes a file. Its errors are a *damagedError, or wrap ErrSchema.
func (s *Store[T]) unseal(raw []byte) (*loaded[T], error) {
	var e envelope[T]
	err := json.Unmarshal(raw, &e)
	if err != nil || e.Schema != s.o.Schema {
		return s.unsealOther(raw, err)
	}
	if e.Data == nil {
		return nil, damaged(errors.New("the envelope has no data"))
	}
	l := &loaded[T]{value: e.Data, boot: e.BootID, generation: e.Generation}
	l.base = sealedData(raw)
	return l, nil
}

// sealedData returns the encoding of the data in a file as seal makes it, or nil: a file that was edited by hand has none,
// which costs no more than a write without need.
func sealedData(raw []byte) []byte {
	_, data, found := bytes.Cut(raw, dataKey)
	data, closed := bytes.CutSuffix(data, []byte("}\n"))
	if !found || !closed {
		return nil
	}
	return data
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
