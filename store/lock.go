package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/log/step"
	"github.com/gofrs/flock"
)

// Wait obtains a lock, or gives up when ctx ends, with its error. It waits in the kernel's queue, where who comes first
// is served first. Hundreds of processes that ask again every few milliseconds instead keep the machine busy with
// asking, and some of them never have their turn.
func Wait(ctx context.Context, lock *flock.Flock) error {
	return wait(ctx, lock, lock.TryLock, lock.Lock)
}

// WaitShared is Wait for a lock that several may have at once as long as nobody has it alone.
func WaitShared(ctx context.Context, lock *flock.Flock) error {
	return wait(ctx, lock, lock.TryRLock, lock.RLock)
}

// Try is lock.TryLock; on Windows it waits a little for somebody who has the file open and lets nobody else open it.
func Try(ctx context.Context, lock *flock.Flock) (bool, error) { return opening(ctx, lock.TryLock) }

func wait(ctx context.Context, lock *flock.Flock, try func() (bool, error), take func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ok, err := opening(ctx, try); ok || err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- take() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		go func() { // it cannot be called back; should it come, somebody else needs it
			if <-done == nil {
				release(lock)
			}
		}()
		return ctx.Err()
	}
}

// LockPath returns the path of the lock file of the state file path: azure-vnet.lock beside azure-vnet.json.
func LockPath(path string) string { return strings.TrimSuffix(path, ".json") + ".lock" }

// held is the lock of a store, as long as a call has it.
type held struct {
	*flock.Flock
	file fs.FileInfo // the lock file
}

// acquire obtains the lock. Its errors wrap ErrLocked, or ErrWrite if the lock file cannot be opened.
func (f *files) acquire(ctx context.Context) (*held, error) {
	start := time.Now()
	for {
		lock := flock.New(f.lock, flock.SetFlag(lockFlags), flock.SetPermissions(fileMode))
		err := step.Do(f.log, "wait for the state's lock", func() error { return Wait(ctx, lock) },
			slog.String("path", f.lock))
		switch {
		case err != nil && errors.Is(err, ctx.Err()):
			return nil, fmt.Errorf("%w: %s not obtained in %s%s: %w",
				ErrLocked, f.lock, time.Since(start).Round(time.Millisecond), f.heldBy(f.lock), err)
		case err != nil:
			return nil, fmt.Errorf("%w: lock file: %w", ErrWrite, err)
		}
		if file, err := lock.Stat(); err == nil && f.holds(file) {
			return &held{lock, file}, nil
		}
		release(lock)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%w: %s is replaced again and again: %w", ErrLocked, f.lock, err)
		}
	}
}

// heldBy says who has a lock, for a message.
func (f *files) heldBy(lock string) string {
	if f.holder == nil {
		return ""
	}
	who := f.holder(lock)
	if who == "" {
		return ""
	}
	return ", held by " + who
}

// holds reports whether a lock is on the file that the path names. Operators used to remove lock files by hand, to cure
// the classic plugin; a lock on a removed file excludes nobody.
func (f *files) holds(lock fs.FileInfo) bool {
	named, err := os.Lstat(f.lock)
	return err == nil && os.SameFile(lock, named)
}

// release gives the lock back. It cannot fail in a way that matters: closing the file releases the lock, too, and so
// does the end of the process.
func release(lock io.Closer) { _ = lock.Close() }

// errNotRegular is ErrUnusable for folders, symbolic links, devices and the like.
func errNotRegular(path string, mode fs.FileMode) error {
	return fmt.Errorf("%w: %s is not a regular file (%s)", ErrUnusable, path, mode.Type())
}
