package log

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/Azure/azure-container-networking/platform/plain"
)

// rotateAttempts bounds how often an opener starts over because another process rotated the file under its hands. Each
// time the path names a new, small file, so a second round is rare and a third practically unseen.
const rotateAttempts = 4

// openRotated opens the log file for appending; one that is larger than maxBytes is renamed to <path>.1 before, and a
// new one begun.
//
// The lock of a rotation is on the log file itself, so there is no second file to leave behind. Whoever holds the lock
// on the file that the path names may rename it; until that rename, which is the last step, every other process finds
// the same file and fails to lock it. A process that does not get the lock does not wait: it appends to the file that
// it has, which becomes <path>.1. Nothing is lost by that. The same goes for every error of a rotation.
func openRotated(path string, maxBytes int64, keep int) (*plain.File, error) {
	for attempt := 1; ; attempt++ {
		f, info, err := openLog(path)
		if err != nil {
			return nil, err
		}
		if attempt == rotateAttempts || !info.Type.IsRegular() || info.Size <= maxBytes || !tryLock(f) {
			return f, nil
		}
		// Closing f below gives the lock back.
		if isNamed(f, path) {
			if err := shift(path, keep); err != nil {
				unlock(f) // leave the rotation to somebody who can do it
				return f, nil
			}
		}
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("close %s: %w", path, err)
		}
	}
}

// openLog opens without following a symbolic link, and accepts regular files and character devices (/dev/null).
func openLog(path string) (*plain.File, plain.Info, error) {
	f, err := openAppend(path)
	if err != nil {
		return nil, plain.Info{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Type.IsRegular() && info.Type&fs.ModeCharDevice == 0 {
		err = fmt.Errorf("%s is not a regular file (%s)", path, info.Type)
	}
	if err == nil && !info.Type.IsRegular() {
		err = waiting(f)
	}
	if err != nil {
		return nil, info, errors.Join(err, f.Close())
	}
	return f, info, nil
}

func isNamed(f *plain.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && mine.Is(named)
}

// shift renames <path>.1 to <path>.2 and so on, and <path> to <path>.1 at last. A gap in the numbers, left by a
// rotation that was killed, is filled; only without a gap the oldest file is overwritten.
func shift(path string, keep int) error {
	free := 1
	for free < keep {
		if _, err := os.Lstat(numbered(path, free)); errors.Is(err, fs.ErrNotExist) {
			break
		}
		free++
	}
	for n := free; n > 1; n-- {
		if err := os.Rename(numbered(path, n-1), numbered(path, n)); err != nil {
			return err
		}
	}
	return os.Rename(path, numbered(path, 1))
}

func numbered(path string, n int) string { return path + "." + strconv.Itoa(n) }
