package store

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// inMountNamespace runs fn on a thread of its own with mounts of its own. Both end with fn: the goroutine stays locked,
// so the runtime ends the thread with it.
func inMountNamespace(t *testing.T, fn func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make a mount namespace")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
			t.Errorf("unshare: %v", err)
			return
		}
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Errorf("make mounts private: %v", err)
			return
		}
		fn()
	}()
	<-done
}

func TestAReadOnlyFolderIsAnErrorAndTheStateStays(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(7))
	dir := filepath.Dir(h.path)
	inMountNamespace(t, func() {
		if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
			t.Errorf("bind mount: %v", err)
			return
		}
		if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Errorf("remount: %v", err)
			return
		}
		err := h.Update(t.Context(), increment)
		if !errors.Is(err, ErrWrite) || !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), dir) {
			t.Errorf("update = %v, want ErrWrite for EROFS that names a file", err)
		}
		if err := h.View(t.Context(), func(s *state) error {
			if s.N != 7 {
				t.Errorf("N = %d, want 7", s.N)
			}
			return nil
		}); err != nil {
			t.Errorf("view: %v", err)
		}
	})
}

// onSmallDisk runs fn with a disk of 128 KiB at the folder.
func onSmallDisk(t *testing.T, dir string, fn func()) {
	t.Helper()
	inMountNamespace(t, func() {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
			t.Errorf("mount: %v", err)
			return
		}
		fn()
	})
}

func fill(n int, bytes int) func(*state) error {
	return func(s *state) error {
		s.N, s.Names = n, map[string]string{"fill": strings.Repeat("x", bytes)}
		return nil
	}
}

func TestAFullDiskIsAnErrorAndTheStateStays(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	dir := filepath.Dir(h.path)
	onSmallDisk(t, dir, func() {
		if err := h.Update(t.Context(), fill(1, 40_000)); err != nil {
			t.Errorf("first update: %v", err)
		}
		before := read(t, h.path)
		err := h.Update(t.Context(), fill(2, 100_000))
		if !errors.Is(err, ErrWrite) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), h.path) {
			t.Errorf("update = %v, want ErrWrite for ENOSPC that names %s", err, h.path)
		}
		if read(t, h.path) != before || read(t, h.path+".bak") != before {
			t.Error("file or mirror changed")
		}
		const want = "azure-vnet.json azure-vnet.json.bak azure-vnet.lock"
		if got := h.names(t); got != want {
			t.Errorf("folder holds %q, want %q", got, want)
		}

		// There is room for main file, mirror and one temporary file, not for two: the state is written, the mirror is not.
		if err := h.Update(t.Context(), fill(3, 40_000)); err != nil {
			t.Errorf("update without room for the mirror: %v", err)
		}
		if got, want := h.names(t), "azure-vnet.json azure-vnet.lock"; got != want {
			t.Errorf("folder holds %q, want %q: no mirror rather than an old one", got, want)
		}
		if !strings.Contains(h.log.String(), "state mirror not written") {
			t.Errorf("logged %s", h.log)
		}
		if err := h.Update(t.Context(), fill(4, 10_000)); err != nil {
			t.Errorf("small update: %v", err)
		}
		if got := h.names(t); got != want {
			t.Errorf("folder holds %q, want %q", got, want)
		}
	})
}

// Leftovers of killed processes may be what fills the disk: all of it, or so much that there is no room for the mirror.
func TestADiskFullOfLeftoversBecomesWritable(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"all of it": 1 << 20, "no room for the mirror": 88 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			dir := filepath.Dir(h.path)
			onSmallDisk(t, dir, func() {
				if err := h.Update(t.Context(), fill(1, 10_000)); err != nil {
					t.Errorf("first update: %v", err)
				}
				_ = os.WriteFile(leave(t, h), make([]byte, size), 0o600) // as much as fits
				if err := h.Update(t.Context(), fill(2, 10_000)); err != nil {
					t.Errorf("update: %v", err)
				}
				if got, want := h.names(t), "azure-vnet.json azure-vnet.json.bak azure-vnet.lock"; got != want {
					t.Errorf("folder holds %q, want %q", got, want)
				}
			})
		})
	}
}

func TestSpecialFilesInPlaceOfOursAreRefused(t *testing.T) {
	t.Parallel()
	fifo := func(_ *testing.T, path string) error { return syscall.Mkfifo(path, 0o600) }
	symlink := func(t *testing.T, path string) error {
		target := filepath.Join(t.TempDir(), "passwd")
		write(t, target, `{"schema":1,"data":{"N":666}}`)
		return os.Symlink(target, path)
	}
	dangling := func(t *testing.T, path string) error {
		return os.Symlink(filepath.Join(t.TempDir(), "none"), path)
	}
	tests := map[string]struct {
		file     func(h *harness) string
		make     func(*testing.T, string) error
		update   error // nil: succeeds
		viewFail bool
	}{
		"the state is a symbolic link":          {func(h *harness) string { return h.path }, symlink, ErrUnusable, true},
		"the state is a dangling symbolic link": {func(h *harness) string { return h.path }, dangling, ErrUnusable, true},
		"the state is a FIFO":                   {func(h *harness) string { return h.path }, fifo, ErrUnusable, true},
		"the lock is a symbolic link":           {func(h *harness) string { return LockPath(h.path) }, symlink, ErrWrite, false},
		"the lock is a dangling symbolic link":  {func(h *harness) string { return LockPath(h.path) }, dangling, ErrWrite, false},
		"the mirror is a symbolic link":         {func(h *harness) string { return h.path + ".bak" }, symlink, nil, false},
		"the mirror is a FIFO":                  {func(h *harness) string { return h.path + ".bak" }, fifo, nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			if err := tt.make(t, tt.file(h)); err != nil {
				t.Fatal(err)
			}
			if err := h.Update(t.Context(), increment); !errors.Is(err, tt.update) {
				t.Errorf("update = %v, want %v", err, tt.update)
			}
			err := h.View(t.Context(), func(s *state) error {
				if s.N > 1 {
					t.Errorf("the link was followed: %+v", *s)
				}
				return nil
			})
			if tt.viewFail != errors.Is(err, ErrUnusable) {
				t.Errorf("view = %v", err)
			}
		})
	}
}

// The mirror is written before the main file is replaced. If that fails, the mirror says what no caller was promised.
func TestAStateThatCannotBeReplacedLeavesNoMirrorOfTheNewOne(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(1))
	err := h.Update(t.Context(), func(s *state) error {
		s.N = 2
		if err := os.Rename(h.path, h.path+".elsewhere"); err != nil {
			return err
		}
		return os.Mkdir(h.path, 0o700) // a file cannot take the place of a folder
	})
	if !errors.Is(err, ErrWrite) || !errors.Is(err, syscall.EEXIST) && !errors.Is(err, syscall.EISDIR) {
		t.Errorf("update = %v, want ErrWrite for a folder in the way", err)
	}
	if got, want := h.names(t), "azure-vnet.json azure-vnet.json.elsewhere azure-vnet.lock"; got != want {
		t.Errorf("folder holds %q, want %q: no mirror rather than one of a state that is not in force", got, want)
	}
	if err := os.Remove(h.path); err != nil {
		t.Fatal(err)
	}
	if got := mustView(t, h.Store); got.N != 0 { // with the mirror it would be 2
		t.Errorf("N = %d, which nobody was told to be written", got.N)
	}
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, increment)
	for _, path := range []string{h.path, h.path + ".bak", LockPath(h.path)} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", path, info.Mode())
		}
	}
}

// Two that each believe to have the lock do not write into the same file: who comes later would replace the state by what
// the other one has written in part.
func TestTwoLocksHaveFilesOfTheirOwn(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var locks [2]*held
	for i := range locks {
		lock, err := h.f.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer release(lock)
		if locks[i] = lock; i == 0 {
			if err := os.Remove(LockPath(h.path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if one, other := h.f.tempOf(locks[0], h.path), h.f.tempOf(locks[1], h.path); one == other {
		t.Errorf("both write %s", one)
	}
}

func TestALockFileRemovedWhileHeldIsNoticedBeforeTheWrite(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(1))
	err := h.Update(t.Context(), func(s *state) error {
		if err := os.Remove(LockPath(h.path)); err != nil {
			t.Errorf("remove the lock file: %v", err)
		}
		if err := h.Update(t.Context(), set(2)); err != nil { // gets the lock on a new lock file
			t.Errorf("other update: %v", err)
		}
		s.N = 99
		return nil
	})
	if !errors.Is(err, ErrLocked) {
		t.Errorf("update = %v, want ErrLocked", err)
	}
	if got := mustView(t, h.Store); got.N != 2 {
		t.Errorf("N = %d, want 2", got.N)
	}
}
