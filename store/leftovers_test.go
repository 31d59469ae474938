package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// leave makes what a killed process has left whose lock file is gone, and one that is older than the state. It returns
// the path of the former.
func leave(t *testing.T, h *harness) string {
	t.Helper()
	path := h.f.temp + "1"
	write(t, path, "x")
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(LockPath(h.path), long, long); err != nil {
		t.Fatal(err)
	}
	return path
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// What is in the way of a write is replaced, without a look at the folder.
func TestWhatAKilledProcessLeftIsReplaced(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, increment)
	other := leave(t, h)
	lock, err := h.f.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release(lock)
	write(t, h.f.tempOf(lock, h.f.path), "of a killed process")
	write(t, h.f.tempOf(lock, h.f.mirror), "of a killed process")
	mustUpdate(t, h.with(), increment)
	want := filepath.Base(other) + " azure-vnet.json azure-vnet.json.bak azure-vnet.lock"
	if got := h.names(t); got != want {
		t.Errorf("folder holds %q, want %q", got, want)
	}
	if main, mirror := read(t, h.path), read(t, h.path+".bak"); main != mirror || mustView(t, h.Store).N != 2 {
		t.Errorf("the state is %q, the mirror %q", main, mirror)
	}
}

// A lock file that is younger than the state says that somebody removed one. Who was killed with that one has left files
// that are in nobody's way.
func TestLeftoversOfAnotherLockAreLookedFor(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, increment)
	path := leave(t, h)
	mustUpdate(t, h.with(), increment)
	if !isThere(path) {
		t.Error("looked for without a reason")
	}
	if err := os.Remove(LockPath(h.path)); err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, h.with(), increment)
	if isThere(path) {
		t.Errorf("%s is left", path)
	}
}

// Nobody looks for leftovers to change nothing.
func TestNothingIsSweptWithoutAWrite(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, increment)
	path := leave(t, h)
	if err := os.Remove(LockPath(h.path)); err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, h.with(), func(*state) error { return nil })
	if !isThere(path) {
		t.Error("swept")
	}
}
