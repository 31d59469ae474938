package platform

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLockHolderIsWhoHasThisFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"held", "other", "free"} {
		f, err := os.Create(path(name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if name != "free" {
			if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, held := range map[string]bool{"held": true, "other": true, "free": false, "missing": false} {
		h, err := LockHolder(path(name))
		if err != nil || (h != nil) != held || held && (h.PID != os.Getpid() || h.Command == "") {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}
