package store

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// waits is closed when exactly so many wait for locks of the file, by what the kernel says (/proc/locks, the lines with
// an arrow).
func waits(t *testing.T, path string, count int) <-chan struct{} {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	inode := ":" + strconv.FormatUint(st.Ino, 10) + " "
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The kernel's list is consistent within one reading of at most a page.
		list := make([]byte, os.Getpagesize())
		for t.Context().Err() == nil {
			f, err := os.Open("/proc/locks")
			if err != nil {
				t.Error(err)
				return
			}
			n, err := f.Read(list)
			if err = errors.Join(err, f.Close()); err != nil && !errors.Is(err, io.EOF) {
				t.Error(err)
				return
			}
			waiting := 0
			for line := range strings.Lines(string(list[:n])) {
				if strings.Contains(line, "->") && strings.Contains(line, inode) {
					waiting++
				}
			}
			if waiting == count {
				return
			}
		}
	}()
	return done
}

// Who tries gets what nobody holds, and waits for none of the others.
func TestClaimsThatAreFreeAreTaken(t *testing.T) {
	claims := Claims{Path: filepath.Join(t.TempDir(), "claims.lock")}
	try := func(want ...string) *Claim {
		t.Helper()
		c, got, err := claims.Try(t.Context(), "a", "b", "c")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
		return c
	}
	held, err := claims.Take(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	first := try("a", "c")
	try().Release()
	held.Release()
	second := try("b")
	first.Release()
	second.Release()
	try("a", "b", "c").Release()
	everything, err := claims.TakeAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := waits(t, claims.Path, 1)
	go func() { <-gaveUp; cancel() }()
	if _, _, err := claims.Try(ctx, "a"); !errors.Is(err, ErrLocked) {
		t.Errorf("beside somebody who has everything: %v", err)
	}
	everything.Release()
}
