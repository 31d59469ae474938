package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// classicCall is a process with the classic plugin's name, which ends with the test.
func classicCall(t *testing.T) *exec.Cmd {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	named := filepath.Join(t.TempDir(), "azure-vnet-ipam")
	if err := os.WriteFile(named, program, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(named, "3600")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c
}

// classicLocks are how versions of the classic plugin hold their lock: take returns what gives it back.
var classicLocks = map[string]func(t *testing.T, h *harness) (free func(), holder string){
	"flock": func(t *testing.T, h *harness) (func(), string) {
		dir := filepath.Join(filepath.Dir(h.path), "azure-vnet")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		l := flock.New(filepath.Join(dir, "azure-vnet.lock"))
		if ok, err := l.TryLock(); !ok || err != nil {
			t.Fatal(ok, err)
		}
		t.Cleanup(func() { _ = l.Close() }) // who drops it would have it collected, and the lock with it
		return func() { _ = l.Close() }, "holder of azure-vnet.lock"
	},
	"a file": func(t *testing.T, h *harness) (func(), string) {
		pid := strconv.Itoa(classicCall(t).Process.Pid)
		write(t, h.path+".lock", pid)
		return func() { _ = os.Remove(h.path + ".lock") }, "process " + pid
	},
}

func holders(o *Options[state]) {
	imported(o)
	o.Holder = func(lock string) string { return "holder of " + filepath.Base(lock) }
}

func TestAnImportWaitsForACallOfTheClassicPlugin(t *testing.T) {
	t.Parallel()
	for name, take := range classicLocks {
		for state, before := range map[string]string{"its file": `{"Classic":2}`, "a damaged file": `{"Cla`, "no file": ""} {
			t.Run(name+", "+state, func(t *testing.T) {
				h := newHarness(t, holders)
				if before != "" {
					write(t, h.path, before)
				}
				free, _ := take(t, h)
				done := make(chan error, 1)
				go func() { done <- h.Update(t.Context(), increment) }()
				select {
				case err := <-done:
					t.Fatalf("the import did not wait: %v", err)
				case <-time.After(100 * time.Millisecond): // it can only be too short
				}
				write(t, h.path, `{"Classic":5}`) // the call's last deed
				free()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if got := mustView(t, h.Store); got.N != 6 {
					t.Errorf("N = %d, want 6: what the call wrote, and one", got.N)
				}
				if _, err := os.Lstat(h.path + ".lock"); err == nil {
					t.Error("the lock of old versions was left: going back to them would hang")
				}
			})
		}
	}
}

func TestAnImportGivesUpWithTheProcessThatIsInTheWay(t *testing.T) {
	t.Parallel()
	for name, take := range classicLocks {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, holders)
			write(t, h.path, `{"Classic":2}`)
			_, holder := take(t, h)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err := h.Update(ctx, increment)
			if !errors.Is(err, ErrLocked) || !strings.Contains(fmt.Sprint(err), holder) {
				t.Errorf("got %v, want %v with %q", err, ErrLocked, holder)
			}
			if got := read(t, h.path); got != `{"Classic":2}` {
				t.Errorf("file is %s", got)
			}
		})
	}
}

// While the import is under way no call of the classic plugin begins.
func TestAnImportKeepsTheClassicPluginOut(t *testing.T) {
	t.Parallel()
	h := newHarness(t, holders)
	dir := filepath.Join(filepath.Dir(h.path), "azure-vnet")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, h.path, `{"Classic":2}`)
	mustUpdate(t, h.Store, func(s *state) error {
		if ok, err := flock.New(filepath.Join(dir, "azure-vnet.lock")).TryLock(); ok || err != nil {
			t.Errorf("the classic plugin's flock is free (%v)", err)
		}
		if got := read(t, h.path+".lock"); got != strconv.Itoa(os.Getpid()) {
			t.Errorf("the lock of old versions holds %q", got)
		}
		return increment(s)
	})
	mustUpdate(t, h.Store, func(s *state) error { // from now on the file is ours
		if ok, err := flock.New(filepath.Join(dir, "azure-vnet.lock")).TryLock(); !ok || err != nil {
			t.Errorf("the classic plugin's flock is held (%v)", err)
		}
		return increment(s)
	})
}

// What a killed process left holds nobody up: its number is another process's by now, or nobody's.
func TestALockThatAKilledCallLeftIsNoneOf(t *testing.T) {
	t.Parallel()
	for _, content := range []string{strconv.Itoa(os.Getpid()), "999999999", "x", "../self"} {
		h := newHarness(t, holders)
		write(t, h.path, `{"Classic":2}`)
		write(t, h.path+".lock", content)
		mustUpdate(t, h.Store, increment)
	}
}
