package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// The classic plugin writes the same file under locks of its own. Versions 1.4 and newer have flock on
// azure-vnet/azure-vnet.lock in the file's folder. Older ones have azure-vnet.json.lock, with their process's number in
// it: whoever makes it has the lock. A call holds its lock from its first look at the file to its last write, its IPAM
// plugin's time included.

const (
	// classicPatience bounds the wait for calls of the classic plugin. Eight at once, each behind the others, took 18
	// seconds (1.1.8).
	classicPatience = 30 * time.Second
	// classicPoll is the time between two looks at a lock that is a file: nobody tells when it goes.
	classicPoll = 20 * time.Millisecond
	// classicYoung is how old the lock of a process that has not written its number yet can be.
	classicYoung = 2 * time.Second
)

// keepClassicOut waits for a call of the classic plugin that is under way, and keeps further ones from beginning until
// release is called. Its errors wrap ErrLocked, with the process that has the lock, or ErrWrite.
func (f *files) keepClassicOut(ctx context.Context, lock *held) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, classicPatience)
	defer cancel()
	shared, err := f.classicFlock(ctx)
	if err != nil {
		return nil, err
	}
	own, err := f.classicFile(ctx, lock)
	if err != nil {
		shared()
		return nil, err
	}
	return func() { own(); shared() }, nil
}

// classicFlock takes the lock of 1.4 and newer.
func (f *files) classicFlock(ctx context.Context) (release func(), err error) {
	name := filepath.Base(f.path)
	path := filepath.Join(f.dir, "azure-vnet", filepath.Base(LockPath(name)))
	if _, err := os.Lstat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil // none has been here since the machine was booted
	}
	lock := flock.New(path, flock.SetFlag(lockFlags), flock.SetPermissions(fileMode))
	switch err := Wait(ctx, lock); {
	case err == nil:
		return func() { _ = lock.Close() }, nil // it stays: others may have it open
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: a call of the classic plugin is under way: %s%s: %w",
			ErrLocked, path, f.heldBy(path), err)
	default:
		return nil, fmt.Errorf("%w: the classic plugin's lock: %w", ErrWrite, err)
	}
}

// classicFile takes the lock of older versions. One that a killed process left keeps them out, too, for ever.
func (f *files) classicFile(ctx context.Context, lock *held) (release func(), err error) {
	path := f.path + ".lock"
	pid := []byte(fmt.Sprint(os.Getpid()))
	temp, _, err := f.writeTemp(ctx, lock, f.path, pid, false) // it comes with its content, or not at all
	if err != nil {
		return nil, f.writeError(err)
	}
	defer func() { _ = os.Remove(temp) }()
	for {
		switch err := os.Link(temp, path); {
		case err == nil:
			return func() { _ = os.Remove(path) }, nil
		case !errors.Is(err, fs.ErrExist): // a file system without links
			return func() {}, nil
		}
		pid, held := classicHolder(path)
		if !held {
			return func() {}, nil
		}
		select {
		case <-time.After(classicPoll):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: a call of the classic plugin is under way: %s, held by process %s: %w",
				ErrLocked, path, pid, ctx.Err())
		}
	}
}

// classicHolder says whose lock the file is, and whether that process is there. A file that goes meanwhile is held: it
// is tried again.
func classicHolder(path string) (pid string, held bool) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", true
	}
	pid = strings.TrimSpace(string(raw))
	if pid == "" {
		info, err := os.Lstat(path)
		return "of unknown number", err != nil || time.Since(info.ModTime()) < classicYoung
	}
	return pid, isClassic(pid)
}
