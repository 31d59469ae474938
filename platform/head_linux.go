package platform

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// head reads the beginning of a file, at most so many bytes: three system calls, where an os.File makes ten to find out
// whether it can be waited for.
func head(path string, size int) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(fd) }() // read only: nothing can be lost
	b := make([]byte, size)
	for {
		n, err := unix.Read(fd, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		return b[:n], nil
	}
}
