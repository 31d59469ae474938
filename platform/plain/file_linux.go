package plain

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"
)

// File is an open file. Several goroutines may use it; what comes after Close is refused.
type File struct {
	path string
	use  sync.RWMutex // held alone to close: a number that is given back soon means another file
	fd   int          // −1 once it is closed
}

// Open opens a file as os.OpenFile does. Its errors, and those of a File, are *fs.PathError.
func Open(path string, flags int, mode fs.FileMode) (*File, error) {
	fd, err := again(func() (int, error) { return syscall.Open(path, flags|syscall.O_CLOEXEC, uint32(mode.Perm())) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &File{path: path, fd: fd}, nil
}

// again calls what a signal interrupts once more: the runtime sends itself signals.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// do has the kernel do something with the file.
func (f *File) do(op string, call func(fd int) (int, error)) (int, error) {
	f.use.RLock()
	defer f.use.RUnlock()
	n, err := 0, fs.ErrClosed
	if f.fd >= 0 {
		n, err = again(func() (int, error) { return call(f.fd) })
	}
	if err != nil {
		return 0, &fs.PathError{Op: op, Path: f.path, Err: err}
	}
	return n, nil
}

// Name is the path that the file was opened by.
func (f *File) Name() string { return f.path }

// Fd is the descriptor, for as long as nobody closes the file.
func (f *File) Fd() uintptr { return uintptr(f.fd) }

// Read is that of io.Reader.
func (f *File) Read(b []byte) (int, error) {
	n, err := f.do("read", func(fd int) (int, error) { return syscall.Read(fd, b) })
	if n == 0 && err == nil && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

// ReadAt reads once, at an offset in bytes. It may read less than there is room for.
func (f *File) ReadAt(b []byte, offset int64) (int, error) {
	return f.do("read", func(fd int) (int, error) { return syscall.Pread(fd, b, offset) })
}

// Write writes all of it, in one piece if the kernel takes it so.
func (f *File) Write(b []byte) (int, error) {
	for done := 0; ; {
		n, err := f.do("write", func(fd int) (int, error) { return syscall.Write(fd, b[done:]) })
		if done += n; err != nil || done == len(b) {
			return done, err
		}
	}
}

// Sync has the file on the disk.
func (f *File) Sync() error {
	_, err := f.do("sync", func(fd int) (int, error) { return 0, syscall.Fsync(fd) })
	return err
}

// Close gives the descriptor back, even if it fails.
func (f *File) Close() error {
	f.use.Lock()
	defer f.use.Unlock()
	err := fs.ErrClosed
	if f.fd >= 0 {
		err = syscall.Close(f.fd)
	}
	if f.fd = -1; err != nil {
		return &fs.PathError{Op: "close", Path: f.path, Err: err}
	}
	return nil
}

// identity is the same for the same file only.
type identity struct{ device, inode uint64 }

// Same says whether both are of the same file.
func (i Info) Same(other Info) bool { return i.identity == other.identity }

// Is says whether this is of the file that os.Stat or os.Lstat has looked at.
func (i Info) Is(found fs.FileInfo) bool {
	s, ok := found.Sys().(*syscall.Stat_t)
	return ok && i.identity == identityOf(s)
}

// Stat says what the file is now.
func (f *File) Stat() (Info, error) {
	var s syscall.Stat_t
	_, err := f.do("stat", func(fd int) (int, error) { return 0, syscall.Fstat(fd, &s) })
	return infoOf(&s), err
}

func identityOf(s *syscall.Stat_t) identity {
	return identity{uint64(s.Dev), s.Ino} //nolint:unconvert // not on every architecture
}

func infoOf(s *syscall.Stat_t) Info {
	return Info{Type: typeOf(s.Mode), Size: s.Size, Modified: time.Unix(s.Mtim.Unix()), identity: identityOf(s)}
}

func typeOf(mode uint32) fs.FileMode {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return 0
	case syscall.S_IFDIR:
		return fs.ModeDir
	case syscall.S_IFLNK:
		return fs.ModeSymlink
	case syscall.S_IFIFO:
		return fs.ModeNamedPipe
	case syscall.S_IFSOCK:
		return fs.ModeSocket
	case syscall.S_IFCHR:
		return fs.ModeDevice | fs.ModeCharDevice
	}
	return fs.ModeDevice
}

// openFolder is os.Open without the poller.
func openFolder(path string) (*os.File, error) {
	f, err := Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(f.Fd(), path), nil
}
