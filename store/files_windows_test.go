package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// openWithoutSharing opens a file as most programs of Windows do: nobody may replace it as long as they read.
func openWithoutSharing(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	other := path + ".other"
	if err := os.WriteFile(other, nil, fileMode); err != nil {
		t.Fatal(err)
	}
	err = os.Rename(other, path)
	if !errors.Is(err, windows.ERROR_SHARING_VIOLATION) && !errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		t.Fatalf("replace an open file: %v: so this test means nothing", err)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAnUpdateWaitsForAReader(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(1))
	reader := openWithoutSharing(t, h.path)
	const while = 100 * time.Millisecond // the update succeeds whenever the reader ends, within renameLimit
	time.AfterFunc(while, func() { _ = reader.Close() })
	mustUpdate(t, h.Store, set(2))
	if got := mustView(t, h.Store); got.N != 2 {
		t.Errorf("N = %d", got.N)
	}
}

func TestAReaderThatStaysIsAnErrorAndTheFileWhatItWas(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(1))
	reader := openWithoutSharing(t, h.path)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := h.Update(ctx, set(2)); !errors.Is(err, ErrWrite) {
		t.Errorf("update = %v, want ErrWrite", err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	if got := mustView(t, h.Store); got.N != 1 {
		t.Errorf("N = %d", got.N)
	}
	mustUpdate(t, h.Store, increment)
	if got, want := h.names(t), "azure-vnet.json azure-vnet.json.bak azure-vnet.lock"; got != want {
		t.Errorf("folder holds %q, want %q", got, want)
	}
}

// A virus scanner may look at what a killed process has left.
func TestALeftoverThatAScannerHasOpen(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(1))
	lock, err := h.f.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release(lock)
	path := h.f.tempOf(lock, h.path)
	write(t, path, "of a killed process")
	reader := openWithoutSharing(t, path)
	const while = 100 * time.Millisecond // the update succeeds whenever the scanner ends, within renameLimit
	time.AfterFunc(while, func() { _ = reader.Close() })
	mustUpdate(t, h.Store, set(2))
	if got := mustView(t, h.Store); got.N != 2 {
		t.Errorf("N = %d", got.N)
	}
}

func TestAStateBelowTheDefaultFolder(t *testing.T) {
	t.Parallel()
	const folder = `C:\k`
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(folder, "store-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := newHarness(t)
	s := h.with(func(o *Options[state]) { o.Path = filepath.Join(dir, "azure-vnet.json") })
	mustUpdate(t, s, set(7))
	if got := mustView(t, s); got.N != 7 {
		t.Errorf("N = %d", got.N)
	}
}

// A virus scanner that looks at a lock file and lets nobody else open it delays a command. One that stays is an error.
func TestALockFileThatAScannerHasOpen(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(1))
	claims := Claims{Path: filepath.Join(filepath.Dir(h.path), "claims.lock")}
	alone := func(path string) func() {
		name, err := windows.UTF16PtrFromString(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := windows.CreateFile(name, windows.GENERIC_READ, 0, nil, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL, 0)
		if err != nil {
			t.Fatal(err)
		}
		return func() { _ = windows.CloseHandle(f) }
	}
	use := func(ctx context.Context) error {
		claim, err := claims.TakeAll(ctx)
		if err == nil {
			claim.Release()
		}
		return errors.Join(err, h.Update(ctx, increment))
	}
	const while = 100 * time.Millisecond // it succeeds whenever the scanner ends, within renameLimit
	for _, path := range []string{LockPath(h.path), claims.Path} {
		time.AfterFunc(while, alone(path))
		if err := use(t.Context()); err != nil {
			t.Errorf("a scanner at %s: %v", filepath.Base(path), err)
		}
		done := alone(path)
		ctx, cancel := context.WithTimeout(t.Context(), while)
		if err := use(ctx); !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
			t.Errorf("a scanner that stays at %s: %v", filepath.Base(path), err)
		}
		cancel()
		done()
	}
}
