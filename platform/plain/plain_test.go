package plain

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string, flags int) *File {
	t.Helper()
	f, err := Open(path, flags, 0o600)
	check(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// What is written is read, whole and from its middle, until its end.
func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	const text = "a line\nand another"
	f := open(t, path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if n, err := f.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("written: %d, %v", n, err)
	}
	check(t, f.Sync())
	b := make([]byte, 100)
	if n, err := f.ReadAt(b[:4], 2); string(b[:n]) != "line" || err != nil {
		t.Errorf("from the middle: %q, %v", b[:n], err)
	}
	if got, err := io.ReadAll(open(t, path, os.O_RDONLY)); string(got) != text || err != nil {
		t.Errorf("read: %q, %v", got, err)
	}
	if f.Name() != path {
		t.Errorf("it is called %q", f.Name())
	}
}

// A descriptor's number is given again at once: a file that is closed has none, and writes into no other.
func TestAClosedFileIsNoOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closed := open(t, filepath.Join(dir, "a"), os.O_RDWR|os.O_CREATE)
	check(t, closed.Close())
	for n := range 20 { // tests beside this one may have taken the number
		open(t, filepath.Join(dir, "b"+strings.Repeat("b", n)), os.O_RDWR|os.O_CREATE)
	}
	if _, err := closed.Stat(); err == nil { // Windows says that the handle is invalid
		t.Error("stat: no error")
	}
	_, readErr := closed.Read(make([]byte, 1))
	_, readAtErr := closed.ReadAt(make([]byte, 1), 0)
	_, writeErr := closed.Write([]byte("x"))
	for name, err := range map[string]error{"read": readErr, "read at": readAtErr, "write": writeErr,
		"sync": closed.Sync(), "close": closed.Close()} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An error names the file.
func TestAnErrorNamesTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if _, err := Open(path, os.O_RDONLY, 0); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("it is not there: %v", err)
	}
	check(t, os.WriteFile(path, nil, 0o600))
	if _, err := Open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("it is there: %v", err)
	}
	if _, err := open(t, path, os.O_RDONLY).Write([]byte("x")); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("it is not for writing: %v", err)
	}
	if n, err := open(t, path, os.O_RDONLY).Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("it is empty: %d, %v", n, err)
	}
}

// Two looks are at the same file, whatever it is called, or they are not.
func TestTheSameFileIsKnown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	check(t, os.WriteFile(a, []byte("12345"), 0o600))
	check(t, os.WriteFile(b, []byte("12345"), 0o600))
	at := time.Date(2026, 11, 30, 1, 2, 3, 456_789_000, time.UTC)
	check(t, os.Chtimes(a, at, at))
	look := func(path string) (Info, fs.FileInfo) {
		info, err := open(t, path, os.O_RDONLY).Stat()
		check(t, err)
		named, err := os.Lstat(path)
		check(t, err)
		return info, named
	}
	infoA, namedA := look(a)
	infoB, namedB := look(b)
	again, _ := look(a)
	if !infoA.Same(again) || !infoA.Is(namedA) {
		t.Error("a file is not itself")
	}
	if infoA.Same(infoB) || infoA.Is(namedB) {
		t.Error("a file is another")
	}
	if infoA.Size != 5 || !infoA.Modified.Equal(at) || !infoA.Type.IsRegular() {
		t.Errorf("%d bytes, of %s, type %s", infoA.Size, infoA.Modified, infoA.Type)
	}
}

// A folder's names are ordered, and not more than somebody wants.
func TestTheNamesInAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"c", "a", "b"} {
		check(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	if names, err := Names(dir, All); !slices.Equal(names, []string{"a", "b", "c"}) || err != nil {
		t.Errorf("%q, %v", names, err)
	}
	if names, err := Names(dir, 2); len(names) != 2 || err != nil {
		t.Errorf("two of them: %q, %v", names, err)
	}
	if _, err := Names(filepath.Join(dir, "d"), All); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a folder that is not there: %v", err)
	}
}
