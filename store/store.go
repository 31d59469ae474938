// Package store keeps one value in one JSON file that many processes share.
//
// The file is an envelope around the value:
//
//	{"schema":1,"bootID":"…","generation":7,"written":"2026-11-21T23:45:00Z",
//	 "Network":"taken over","IPAM":"taken over","data":{…}}
//
// Network and IPAM are what a call of the classic plugin stumbles over that comes too late (takenOver).
//
// A value with hundreds of records has them in lines behind the data: see Records.
//
// Four files belong to a state file azure-vnet.json, all in its folder:
//
//   - azure-vnet.lock carries the lock: flock on Linux, LockFileEx on Windows. The kernel owns it, so it dies with its
//     holder. The file is never removed. It is not called azure-vnet.json.lock because the classic plugin takes the
//     mere existence of that name for a held lock, and a rollback to it would hang.
//   - azure-vnet.json.bak is the mirror: the same bytes, written just before the main file.
//   - azure-vnet.json.corrupt-<time> are damaged files, kept for a person to look at; at most eight.
//   - azure-vnet.json.classic-<time> are the classic plugin's files as they were before they were imported.
//
// The state file is only ever replaced whole (temporary file, fsync, rename, fsync of the folder), so a reader needs no
// lock: it sees one generation or the next.
package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-container-networking/log/step"
)

// Options say where a state lives and what to do when the file is not simply there and whole.
//
// Rebooted, Migrate, Import and Merge also run for View, without the lock: they must change nothing but the value they
// are given. Only Recover may look at, or touch, the system.
type Options[T any] struct {
	// Path of the state file, for example /var/run/azure-vnet.json. Its folder must exist.
	Path string

	// Schema is the version of T's encoding, 1 or more. Zero means 1.
	Schema int

	// Boot identifies the running boot of the machine. Empty means unknown, and is taken for the boot of the file.
	Boot string

	// Now is the clock of the file's "written" and of the names of files kept aside; nil means time.Now.
	Now func() time.Time

	// Holder names the process that holds the lock with this path, for the error of a call that waited in vain; nil or ""
	// if nobody can tell.
	Holder func(lock string) string

	// Log receives what the caller cannot learn from an error, because the call succeeds: damaged files, a mirror that
	// could not be written. Nil discards.
	Log *slog.Logger

	// Rebooted drops from a state of an earlier boot what cannot be alive. The new boot identity is written with the next
	// Update, even if that changes nothing else.
	Rebooted func(*T)

	// Migrate decodes a file of an older schema version into a zero T. If it fails, the file counts as damaged.
	Migrate func(from int, raw []byte, t *T) error

	// Import decodes a JSON object that has no envelope, as the classic plugin leaves it, into a zero T. The original is
	// kept as <path>.classic-<time>. If Import fails or is nil, the file counts as damaged.
	Import func(raw []byte, t *T) error

	// Merge completes a state of ours, which the mirror holds, by what was imported from a file that somebody wrote over
	// the main file in this boot: a call of the classic plugin that came too late. What was ours stays. Without it the
	// state is the mirror's.
	Merge func(t, late *T)

	// Recover runs under the lock, after the state was taken from the mirror or set to zero because the main file was
	// damaged or missing: the place to rebuild the state from the system. It runs again with the next Update if this one
	// does not write. If it fails, Update fails with ErrUnusable.
	Recover func(ctx context.Context, t *T, info RecoverInfo) error
}

// RecoverReason says why a state had to be recovered.
type RecoverReason string

const (
	// ReasonDamaged means that the main file does not hold a state.
	ReasonDamaged RecoverReason = "damaged"
	// ReasonMissing means that the main file is gone while its mirror is there: somebody deleted it.
	ReasonMissing RecoverReason = "missing"
)

// RecoverInfo describes to Options.Recover what happened.
type RecoverInfo struct {
	Reason     RecoverReason
	Cause      error  // what is wrong with the main file, and with the mirror if that did not help either
	FromMirror bool   // the value was taken from the mirror; otherwise it is the zero T
	Generation uint64 // of the mirror; 0 if it was not used
}

// Store is one state file. It holds no open file and no lock between calls; any number of Stores, in any number of
// processes, may use the same path.
type Store[T any] struct {
	o     Options[T]
	f     files
	known atomic.Pointer[[]parsed] // the records that were read last
	last  atomic.Pointer[content]  // the file as it was read or written last
}

// New describes a store. It touches no file.
//
// T must encode to a JSON object and must survive encoding and decoding: Update compares encodings to find out whether
// there is anything to write.
func New[T any](o Options[T]) *Store[T] {
	if o.Schema == 0 {
		o.Schema = 1
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := newFiles(o.Path, o.Now, o.Log)
	f.holder = o.Holder
	return &Store[T]{o: o, f: f}
}

// View calls fn with the state as the last Update left it. It takes no lock and writes nothing. A state that was never
// written is the zero T; a damaged or deleted file is replaced by its mirror for this call only. What fn changes in the
// value is lost.
//
// View returns ErrSchema, ErrRead, ErrUnusable, the context's error, or fn's error unwrapped.
func (s *Store[T]) View(ctx context.Context, fn func(*T) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("view %s: %w", s.f.path, err)
	}
	l, err := s.read(ctx)
	if err != nil {
		return err
	}
	return fn(l.value)
}

// Foreign says whether the state is another program's yet, which the next Update takes over. An error of reading it is
// that of the next View.
func (s *Store[T]) Foreign(ctx context.Context) bool {
	l, err := s.load(ctx)
	return err == nil && l.aside == asideClassic
}

// Probe says whether an Update could write: it writes as much beside the file, and takes it away again. It changes
// nothing.
//
// Probe returns the errors of Update.
func (s *Store[T]) Probe(ctx context.Context) error {
	lock, l, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer release(lock)
	text, err := s.body(l.value, 0)
	if err != nil {
		return err
	}
	temp, _, err := s.f.writeTemp(ctx, lock, s.f.path, text, false)
	if err != nil {
		return s.f.writeError(err)
	}
	return os.Remove(temp)
}

// open takes the lock and reads the state.
func (s *Store[T]) open(ctx context.Context) (*held, *loaded[T], error) {
	lock, err := s.f.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	l, err := s.read(ctx)
	if err != nil {
		release(lock)
		return nil, nil, err
	}
	return lock, l, nil
}

func (s *Store[T]) read(ctx context.Context) (*loaded[T], error) {
	return step.Get(s.f.log, "read the state", func() (*loaded[T], error) { return s.load(ctx) },
		slog.String("path", s.f.path))
}

// Update calls fn with the state, under the lock, and replaces the file if fn returned nil and changed the state.
// Waiting for the lock ends with the context; give it a deadline. The lock is released before Update returns.
//
// fn must do nothing slow: all other processes wait for it.
//
// As long as there is no file of ours, calls of the classic plugin are waited for, and kept out: they would write
// theirs over ours.
//
// Update returns ErrLocked, ErrSchema, ErrRead, ErrUnusable, ErrWrite, or fn's error unwrapped. After any error the
// file holds what it held before.
func (s *Store[T]) Update(ctx context.Context, fn func(*T) error) error {
	lock, l, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer release(lock)
	if s.o.Import != nil && (l.generation == 0 || l.aside == asideClassic) {
		free, cerr := s.f.keepClassicOut(ctx, lock)
		if cerr != nil {
			return cerr
		}
		defer free()
		if l, err = s.load(ctx); err != nil { // what the call has written that was waited for
			return err
		}
	}
	if l.recovery != nil && s.o.Recover != nil {
		if err := s.o.Recover(ctx, l.value, *l.recovery); err != nil {
			return fmt.Errorf("%w: recover %s: %w", ErrUnusable, s.f.path, err)
		}
	}
	if err := fn(l.value); err != nil {
		return err
	}
	const more = 4096 // than an entry takes, in bytes
	next, err := s.body(l.value, len(l.base)+more)
	if err != nil {
		return err
	}
	if !l.dirty && l.base == string(next[headRoom:]) {
		return nil
	}
	file, err := s.seal(l, next)
	if err != nil {
		return err
	}
	return step.Do(s.f.log, "write the state", func() error {
		if last := s.last.Load(); last == nil || !lock.file.ModTime().Before(last.info.Modified) {
			s.f.sweep(lock) // who was killed with a lock file that is gone?
		}
		written, err := s.f.commit(ctx, lock, file, l.aside)
		s.last.Store(written) // nil after an error: nothing is known then
		return err
	}, slog.String("path", s.f.path))
}
