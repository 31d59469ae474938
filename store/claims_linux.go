package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/Azure/azure-container-networking/platform/plain"
	"golang.org/x/sys/unix"
)

// claimFlags opens the file for both kinds of locks: an exclusive one needs the right to write.
const claimFlags = os.O_CREATE | os.O_RDWR | syscall.O_NOFOLLOW | syscall.O_NONBLOCK

func openClaims(_ context.Context, path string) (*plain.File, error) {
	return plain.Open(path, claimFlags, fileMode)
}

// lockByte locks one byte for this open file, not for the process, and waits for it in the kernel's queue.
// Error: errHeld.
func lockByte(f *plain.File, s span) error {
	l := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart, Start: s.offset, Len: 1}
	if s.exclusive {
		l.Type = unix.F_WRLCK
	}
	how := unix.F_OFD_SETLKW
	if s.now {
		how = unix.F_OFD_SETLK
	}
	for {
		err := unix.FcntlFlock(f.Fd(), how, &l)
		if s.now && (errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES)) {
			return errHeld
		}
		if !errors.Is(err, unix.EINTR) { // the runtime sends itself signals
			if err != nil {
				return fmt.Errorf("lock byte %d: %w", s.offset, err)
			}
			return nil
		}
	}
}
