package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/platform/plain"
	"golang.org/x/sys/windows"
)

const lockFlags = os.O_CREATE | os.O_RDONLY

// A file that another process has open cannot be replaced, and one that is being replaced cannot be opened. Both last
// for the time of one read or one rename.
const (
	sharingRetry = 2 * time.Millisecond
	openLimit    = time.Second     // a lasting refusal is a matter of permissions
	renameLimit  = 5 * time.Second // longer than a scanner reads, or a reader sleeps on a busy machine
)

func openRead(ctx context.Context, path string) (file *plain.File, err error) {
	err = retrySharing(ctx, openLimit, func() error {
		info, serr := os.Lstat(path) // Windows has no O_NOFOLLOW
		if serr != nil {
			return serr
		}
		if !info.Mode().IsRegular() {
			return errNotRegular(path, info.Mode())
		}
		file, err = plain.Open(path, os.O_RDONLY, 0)
		return err
	})
	return file, err
}

// keyOf is in the names of temporary files. Nobody can remove a lock file that somebody has open.
func keyOf(fs.FileInfo) string { return "0" }

// replacing calls what replaces a file that somebody may have open.
func replacing(ctx context.Context, fn func() error) error { return retrySharing(ctx, renameLimit, fn) }

// rename is MoveFileEx with MOVEFILE_REPLACE_EXISTING.
func rename(ctx context.Context, from, to string) error {
	return replacing(ctx, func() error { return os.Rename(from, to) })
}

// opening opens a lock file by what takes the lock. Somebody who is no process of ours, a virus scanner, may have the
// file open in a way that lets nobody else open it.
func opening(ctx context.Context, try func() (bool, error)) (taken bool, err error) {
	err = retry(ctx, renameLimit, func() (terr error) {
		taken, terr = try()
		return terr
	}, windows.ERROR_SHARING_VIOLATION)
	return taken, err
}

func retrySharing(ctx context.Context, limit time.Duration, fn func() error) error {
	return retry(ctx, limit, fn, windows.ERROR_SHARING_VIOLATION, windows.ERROR_ACCESS_DENIED)
}

// retry calls fn again as long as it fails so, and returns its last error.
func retry(ctx context.Context, limit time.Duration, fn func() error, so ...error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := fn()
		if !slices.ContainsFunc(so, func(e error) bool { return errors.Is(err, e) }) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(sharingRetry):
		}
	}
}

// syncDir does nothing: NTFS journals its folders, and a folder cannot be flushed without extra privileges.
func syncDir(string) error { return nil }
