package cni

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// output is a standard stream by its number. Go ends a process that writes to a broken pipe by an os.File of number 1
// or 2, unless it has asked for SIGPIPE before, and that takes several switches between threads (see Limits.Quick).
type output int

// The standard streams of a command.
const (
	Stdout output = 1
	Stderr output = 2
)

// Write implements io.Writer.
func (o output) Write(b []byte) (written int, err error) {
	for written < len(b) {
		n, err := unix.Write(int(o), b[written:])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN): // somebody made the pipe non-blocking
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(o), Events: unix.POLLOUT}}, -1)
		case err != nil:
			return written, os.NewSyscallError("write", err)
		default:
			written += n
		}
	}
	return written, nil
}
