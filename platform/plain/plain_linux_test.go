package plain

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What is no file is known by its type, and a link is not followed where that is asked.
func TestWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	check(t, syscall.Mkfifo(fifo, 0o600))
	check(t, os.Symlink(fifo, link))
	for path, want := range map[string]fs.FileMode{dir: fs.ModeDir, fifo: fs.ModeNamedPipe, "/dev/null": fs.ModeDevice | fs.ModeCharDevice} {
		if info, err := open(t, path, os.O_RDONLY|syscall.O_NONBLOCK).Stat(); info.Type != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", path, info.Type, err, want)
		}
	}
	if _, err := Open(link, os.O_RDONLY|syscall.O_NOFOLLOW, 0); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a link: %v", err)
	}
}

// A signal's interruption is no error; what was written before an error is counted, and what the kernel takes in pieces
// is written whole.
func TestWhatIsInterruptedGoesOn(t *testing.T) {
	t.Parallel()
	calls := 0
	n, err := again(func() (int, error) {
		if calls++; calls < 3 {
			return -1, syscall.EINTR
		}
		return 7, nil
	})
	if n != 7 || err != nil || calls != 3 {
		t.Errorf("%d, %v, after %d calls", n, err, calls)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	check(t, syscall.Mkfifo(fifo, 0o600))
	r := open(t, fifo, os.O_RDONLY|syscall.O_NONBLOCK)
	w := open(t, fifo, os.O_WRONLY|syscall.O_NONBLOCK)
	const much = 1 << 20 // more than a pipe takes
	n, err = w.Write(make([]byte, much))
	if !errors.Is(err, syscall.EAGAIN) || n == 0 || n == much {
		t.Errorf("a full pipe: %d, %v", n, err)
	}
	got, b := 0, make([]byte, 1000)
	for err = nil; err == nil && got < n; {
		var m int
		m, err = r.Read(b)
		got += m
	}
	if got != n || err != nil {
		t.Errorf("of %d bytes there are %d: %v", n, got, err)
	}
}

// A file is not for a program that is started.
func TestAFileIsNotInherited(t *testing.T) {
	t.Parallel()
	f := open(t, filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE)
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFD, 0)
	if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v", flags, errno)
	}
}
