package store

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// waits is closed when exactly so many wait for locks of the file, by what the kernel says (/proc/locks, the lines with an arrow).
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
