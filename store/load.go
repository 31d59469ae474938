package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// loaded is a state in memory, and what Update must know about the file that it came from.
type loaded[T any] struct {
	value      *T
	boot       string
	generation uint64
	base       string       // the encoding of value on disk, see body
	dirty      bool         // the file must be written whatever fn does: its content is not what value was made from
	aside      string       // the main file is to be kept under this kind of name: "", asideCorrupt, asideClassic
	recovery   *RecoverInfo // set if value does not come from the main file
}

// load reads the state. It changes no file.
func (s *Store[T]) load(ctx context.Context) (*loaded[T], error) {
	l, err := s.loadFile(ctx, s.f.path)
	var bad *damagedError
	switch {
	case errors.As(err, &bad):
		l, err = s.loadMirror(ctx, ReasonDamaged, bad)
	case errors.Is(err, fs.ErrNotExist):
		l, err = s.loadMirror(ctx, ReasonMissing, err)
	case err == nil && l.aside == asideClassic:
		l = s.mergeLate(ctx, l)
	}
	if err != nil {
		return nil, err
	}
	if s.o.Boot != "" && l.boot != "" && l.boot != s.o.Boot {
		l.dirty = true
		if s.o.Rebooted != nil {
			s.o.Rebooted(l.value)
		}
	}
	return l, nil
}

// loadFile reads the main file or the mirror. Its errors wrap fs.ErrNotExist, ErrSchema, ErrRead or ErrUnusable, or are
// a *damagedError.
func (s *Store[T]) loadFile(ctx context.Context, path string) (*loaded[T], error) {
	var known *content
	if path == s.f.path {
		known = s.last.Load()
	}
	file, err := readFile(ctx, path, known)
	var bad *damagedError
	switch {
	case err == nil:
		if path == s.f.path {
			s.last.Store(file)
		}
		return s.unseal(path, file.text)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrUnusable), errors.As(err, &bad):
		return nil, err
	default:
		return nil, fmt.Errorf("%w: %w", ErrRead, err)
	}
}

// loadMirror replaces a main file that is damaged or missing.
func (s *Store[T]) loadMirror(ctx context.Context, reason RecoverReason, cause error) (*loaded[T], error) {
	l, err := s.loadFile(ctx, s.f.mirror)
	switch {
	case errors.Is(err, ErrSchema):
		return nil, err
	case errors.Is(err, fs.ErrNotExist) && reason == ReasonMissing:
		return s.fresh()
	}
	info := &RecoverInfo{Reason: reason, Cause: cause}
	if err != nil {
		info.Cause = fmt.Errorf("%w; mirror: %w", cause, err)
		l = &loaded[T]{value: new(T)}
	} else {
		info.FromMirror, info.Generation = true, l.generation
	}
	l.recovery, l.dirty, l.aside = info, true, ""
	if reason == ReasonDamaged {
		l.aside = asideCorrupt
	}
	s.o.Log.ErrorContext(ctx, "state file lost, state recovered", "path", s.f.path, "reason", string(reason),
		"cause", info.Cause, "fromMirror", info.FromMirror, "generation", info.Generation)
	return l, nil
}

// mergeLate goes on with the mirror where a file without an envelope has replaced one of ours in this boot. A mirror of
// an earlier boot, or none, says that there was nothing of ours.
func (s *Store[T]) mergeLate(ctx context.Context, late *loaded[T]) *loaded[T] {
	ours, err := s.loadFile(ctx, s.f.mirror)
	if err != nil || ours.aside != "" || s.o.Boot == "" || ours.boot != s.o.Boot {
		return late
	}
	s.o.Log.ErrorContext(ctx, "another program wrote its state over ours: ours goes on, with what the other has besides",
		"path", s.f.path, "generation", ours.generation)
	if s.o.Merge != nil {
		s.o.Merge(ours.value, late.value)
	}
	ours.dirty, ours.aside = true, asideClassic
	return ours
}

// fresh is the state that was never written. Its encoding is known, so that an Update which does nothing writes
// nothing.
func (s *Store[T]) fresh() (*loaded[T], error) {
	l := &loaded[T]{value: new(T)}
	text, err := s.body(l.value, 0)
	if err == nil {
		l.base = string(text[headRoom:])
	}
	return l, err
}
