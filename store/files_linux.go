package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"github.com/Azure/azure-container-networking/platform/plain"
)

// lockFlags opens the lock file. A planted symbolic link is refused rather than followed, a FIFO does not block.
const lockFlags = os.O_CREATE | os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK

func openRead(_ context.Context, path string) (*plain.File, error) {
	f, err := plain.Open(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, errNotRegular(path, os.ModeSymlink)
	}
	return f, err
}

// opening opens a lock file by what takes the lock.
func opening(_ context.Context, try func() (bool, error)) (bool, error) { return try() }

// keyOf is in the names of temporary files: another one for each lock file. One that is removed while somebody has it
// open keeps its number.
func keyOf(lock fs.FileInfo) string {
	if s, ok := lock.Sys().(*syscall.Stat_t); ok {
		return strconv.FormatUint(s.Ino, 10)
	}
	return "0"
}

// replacing calls what replaces a file.
func replacing(_ context.Context, fn func() error) error { return fn() }

// rename is os.Rename without a look at what is there already.
func rename(_ context.Context, from, to string) error {
	if err := syscall.Rename(from, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// syncDir makes a rename survive a power loss. A file system that cannot sync folders says EINVAL.
func syncDir(dir string) error {
	d, err := plain.Open(dir, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	if errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}
