package log

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// openAppend does not wait for the reader of a FIFO (O_NONBLOCK); regular files do not know the flag.
func openAppend(path string) (*os.File, error) {
	flags := os.O_WRONLY | os.O_APPEND | os.O_CREATE | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	const fileMode = 0o640 // the group adm reads logs on many distributions
	f, err := os.OpenFile(path, flags, fileMode)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link: %w", path, err)
	}
	return f, err
}

// appending returns what writes records. Linux appends in one piece.
func appending(f *os.File) io.Writer { return f }

func tryLock(f *os.File) bool { return flock(f, syscall.LOCK_EX|syscall.LOCK_NB) == nil }

func unlock(f *os.File) { _ = flock(f, syscall.LOCK_UN) } // closing the file unlocks it, too

// flock works on the raw connection: File.Fd would switch the descriptor to blocking mode.
func flock(f *os.File, how int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	if err := conn.Control(func(fd uintptr) { lockErr = syscall.Flock(int(fd), how) }); err != nil {
		return err
	}
	return lockErr
}
