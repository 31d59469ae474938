package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sort"

	"github.com/Azure/azure-container-networking/platform/plain"
)

// Claims are locks on many things in one file that holds nothing: each thing is a byte of it, far behind its end. As
// all locks here they are the kernel's, waited for in its queue, and end with their process.
type Claims struct{ Path string }

// Claim is what a process holds.
type Claim struct{ file *plain.File }

// Release gives it back; so does the end of the process. A nil Claim holds nothing.
func (c *Claim) Release() {
	if c != nil {
		_ = c.file.Close()
	}
}

// span is one byte of the file.
type span struct {
	offset    int64
	exclusive bool
	now       bool // whoever holds it is not waited for: errHeld
}

var errHeld = errors.New("somebody holds it")

// offsetOf is a thing's byte.
func offsetOf(thing string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(thing))
	return int64(h.Sum64()>>2) + 1
}

// Take claims things. It waits for those who hold one of them, or everything, until ctx ends.
// Errors: ErrLocked, or ErrWrite if the file cannot be opened.
func (c Claims) Take(ctx context.Context, things ...string) (*Claim, error) {
	spans := []span{{offset: 0}} // the first byte stands for everything
	for _, t := range things {
		spans = append(spans, span{offset: offsetOf(t), exclusive: true})
	}
	// In one order, so that two who want the same things do not wait for each other.
	sort.Slice(spans, func(i, j int) bool { return spans[i].offset < spans[j].offset })
	return c.take(ctx, slices.Compact(spans))
}

// Try claims those of the things that nobody holds, and says which they are. It waits for who holds everything, and for
// nobody else. Errors: those of Take.
func (c Claims) Try(ctx context.Context, things ...string) (*Claim, []string, error) {
	claim, err := c.Take(ctx)
	if claim == nil || err != nil {
		return claim, things, err
	}
	var free []string
	for _, t := range things {
		if err := lockByte(claim.file, span{offset: offsetOf(t), exclusive: true, now: true}); err == nil {
			free = append(free, t)
		} else if !errors.Is(err, errHeld) {
			claim.Release()
			return nil, nil, fmt.Errorf("%w: lock file %s: %w", ErrWrite, c.Path, err)
		}
	}
	return claim, free, nil
}

// TakeAll claims everything: it waits for all who hold anything, and they for it.
// Errors: those of Take.
func (c Claims) TakeAll(ctx context.Context) (*Claim, error) {
	return c.take(ctx, []span{{exclusive: true}})
}

func (c Claims) take(ctx context.Context, spans []span) (*Claim, error) {
	if c.Path == "" {
		return nil, nil
	}
	f, err := openClaims(ctx, c.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: lock file: %w", ErrWrite, err)
	}
	done := make(chan error, 1)
	go func() {
		for _, s := range spans {
			if lerr := errors.Join(ctx.Err(), lockByte(f, s)); lerr != nil {
				done <- lerr
				return
			}
		}
		done <- nil
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		go func() { // it cannot be called back; should it come, somebody else needs it
			_ = errors.Join(<-done, f.Close())
		}()
		return nil, fmt.Errorf("%w: %s: another command is about the same: %w", ErrLocked, c.Path, ctx.Err())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: lock file %s: %w", ErrWrite, c.Path, err), f.Close())
	}
	return &Claim{f}, nil
}
