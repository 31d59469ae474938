package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/Azure/azure-container-networking/platform/plain"
	"golang.org/x/sys/windows"
)

const claimFlags = os.O_CREATE | os.O_RDWR

func openClaims(ctx context.Context, path string) (f *plain.File, err error) {
	_, err = opening(ctx, func() (bool, error) {
		f, err = plain.Open(path, claimFlags, fileMode)
		return true, err
	})
	return f, err
}

// lockByte locks one byte for this handle, and waits for it.
// Error: errHeld.
func lockByte(f *plain.File, s span) error {
	var flags uint32
	if s.exclusive {
		flags = windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	if s.now {
		flags |= windows.LOCKFILE_FAIL_IMMEDIATELY
	}
	at := &windows.Overlapped{Offset: uint32(s.offset), OffsetHigh: uint32(s.offset >> 32)}
	if err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, at); err != nil {
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return errHeld
		}
		return fmt.Errorf("lock byte %d: %w", s.offset, err)
	}
	return nil
}
