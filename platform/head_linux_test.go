package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is read of a file is its beginning, and all of it if it is short.
func TestTheHeadOfAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	for text, want := range map[string]string{"": "", "short": "short", "as long": "as long", "much longer": "much lo"} {
		check(t, os.WriteFile(path, []byte(text), 0o600))
		if got, err := head(path, len("as long")); string(got) != want || err != nil {
			t.Errorf("of %q: %q, %v", text, got, err)
		}
	}
	if _, err := head(path+"s", 1); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path+"s") {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := head(filepath.Dir(path), 1); err == nil || !strings.Contains(err.Error(), filepath.Dir(path)) {
		t.Errorf("a folder: %v", err)
	}
}

// The kernel's longest values are read as a whole.
func TestValuesOfTheKernelAreWhole(t *testing.T) {
	t.Parallel()
	whole := func(path string) string {
		raw, err := os.ReadFile(path)
		check(t, err)
		return strings.TrimSpace(string(raw))
	}
	if id, err := BootID(); err != nil || id != whole("/proc/sys/kernel/random/boot_id") {
		t.Errorf("the boot identity is %q, %v", id, err)
	}
	if v, err := Sysctl("kernel", "version"); err != nil || v != whole("/proc/sys/kernel/version") || len(v) < 20 {
		t.Errorf("kernel.version is %q, %v", v, err)
	}
}
