package log

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/Azure/azure-container-networking/platform/plain"
)

// openAppend does not wait for the reader of a FIFO (O_NONBLOCK); regular files do not know the flag.
func openAppend(path string) (*plain.File, error) {
	flags := os.O_WRONLY | os.O_APPEND | os.O_CREATE | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	const fileMode = 0o640 // the group adm reads logs on many distributions
	f, err := plain.Open(path, flags, fileMode)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link: %w", path, err)
	}
	return f, err
}

// waiting has writes to a device wait for it, a console for one: only the opening was not to wait.
func waiting(f *plain.File) error {
	return os.NewSyscallError("fcntl", syscall.SetNonblock(int(f.Fd()), false))
}

// appending returns what writes records. Linux appends in one piece.
func appending(f *plain.File) io.Writer { return f }

func tryLock(f *plain.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

func unlock(f *plain.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // closing the file unlocks it, too
}
