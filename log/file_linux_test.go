package log

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestAFIFOIsRefusedWithoutWaitingForItsReader(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(Options{Path: path}); err == nil {
		t.Error("a FIFO was accepted")
	}
}

// A console that is busy is waited for, as a file on a disk is.
func TestADeviceIsWaitedFor(t *testing.T) {
	t.Parallel()
	f, _, err := openLog("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFL, 0)
	if errno != 0 || flags&syscall.O_NONBLOCK != 0 {
		t.Errorf("flags %#x, %v", flags, errno)
	}
}

func TestANewFileIsReadableByItsGroupOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.log")
	_, closer, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got&^0o640 != 0 {
		t.Errorf("mode %o, want at most 640", got)
	}
}

// Another process may hold the lock because it is rotating. Nobody waits for it.
func TestARotationThatSomebodyElseDoesIsLeftToHim(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.log")
	write(t, path, "0123456789")
	other, err := openAppend(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if !tryLock(other) {
		t.Fatal("lock not obtained")
	}
	f, err := openRotated(path, 8, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := os.Stat(path + ".1"); err == nil {
		t.Error("rotated in spite of the lock")
	}
}

// Linux only: on Windows a link takes a privilege to make, and Wine only says that it made one.
func TestASymbolicLinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link.log")
	write(t, target, "precious\n")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	servesWithoutFile(t, link)
	if got := read(t, target); got != "precious\n" {
		t.Errorf("the link's target became %q", got)
	}
}
