package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Other processes are this test binary, told by its environment what to do with which file.
const (
	helperRole = "STORE_TEST_ROLE"
	helperPath = "STORE_TEST_PATH"

	processIncrements = 20
)

func TestMain(m *testing.M) {
	role := os.Getenv(helperRole)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := helper(role, New(Options[state]{Path: os.Getenv(helperPath), Boot: "boot-1"})); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func helper(role string, s *Store[state]) error {
	ctx := context.Background()
	switch role {
	case "increment":
		for range processIncrements {
			if err := s.Update(ctx, increment); err != nil {
				return err
			}
		}
		return nil
	case "hold": // until killed
		return s.Update(ctx, func(*state) error {
			fmt.Println("ready")
			time.Sleep(time.Hour)
			return nil
		})
	case "update forever": // until killed
		for n := 0; ; n++ {
			if err := s.Update(ctx, grow); err != nil {
				return err
			}
			if n == 0 {
				fmt.Println("ready")
			}
		}
	default:
		return fmt.Errorf("no role %q", role)
	}
}

// grow increments, and keeps the file at a size that takes a while to write.
func grow(s *state) error {
	s.N++
	s.Names = map[string]string{"fill": strings.Repeat(strconv.Itoa(s.N%10), 30_000)}
	return nil
}

// start runs a helper; wait makes it wait for the helper's "ready".
func start(t *testing.T, role, path string, wait bool) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), helperRole+"="+role, helperPath+"="+path, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if wait {
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("helper %s said %q, %v", role, line, err)
		}
	}
	return cmd
}

// kill is SIGKILL, TerminateProcess on Windows.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
}

func TestManyGoroutinesAndProcessesLoseNoUpdate(t *testing.T) {
	t.Parallel()
	const goroutines, perGoroutine, processes = 64, 5, 16
	h := newHarness(t)
	cmds := make([]*exec.Cmd, processes)
	for i := range cmds {
		cmds[i] = start(t, "increment", h.path, false)
	}
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for range perGoroutine {
				if err := h.Update(context.Background(), increment); err != nil {
					t.Errorf("update: %v", err)
				}
			}
		})
	}
	group.Go(func() { // a reader sees the generations in their order
		last := 0
		for range 500 {
			err := h.View(context.Background(), func(s *state) error {
				if s.N < last {
					return fmt.Errorf("N went back from %d to %d", last, s.N)
				}
				last = s.N
				return nil
			})
			if err != nil {
				t.Errorf("view: %v", err)
				return
			}
		}
	})
	group.Wait()
	for _, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process: %v", err)
		}
	}
	want := goroutines*perGoroutine + processes*processIncrements
	if got := mustView(t, h.Store); got.N != want {
		t.Errorf("N = %d, want %d", got.N, want)
	}
	if !strings.Contains(read(t, h.path), fmt.Sprintf(`"generation":%d,`, want)) {
		t.Errorf("file is %s, want generation %d", read(t, h.path), want)
	}
}

func TestAKilledProcessLeavesAWholeFileAndNoLock(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	last := 0
	for range 40 {
		cmd := start(t, "update forever", h.path, true)
		time.Sleep(time.Duration(rand.IntN(5000)) * time.Microsecond) // anywhere in an update
		kill(t, cmd)
		l, err := h.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if l.recovery != nil {
			t.Fatalf("the file had to be recovered: %+v", *l.recovery)
		}
		if l.value.N <= last || l.generation != uint64(l.value.N) {
			t.Fatalf("generation %d, N = %d after N = %d", l.generation, l.value.N, last)
		}
		last = l.value.N
	}
	mustUpdate(t, h.Store, increment)
	if got, want := h.names(t), "azure-vnet.json azure-vnet.json.bak azure-vnet.lock"; got != want {
		t.Errorf("folder holds %q, want %q", got, want)
	}
	if h.log.Len() != 0 {
		t.Errorf("logged %s", h.log)
	}
}

func TestALockThatIsHeldIsAnErrorInTheEndAndFreeOnceItsHolderIsKilled(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	holder := start(t, "hold", h.path, true)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := h.Update(ctx, increment)
	if !errors.Is(err, ErrLocked) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), LockPath(h.path)) {
		t.Errorf("update against a held lock = %v, want ErrLocked that names %s", err, LockPath(h.path))
	}
	if got := mustView(t, h.Store); got.N != 0 { // needs no lock
		t.Errorf("view = %+v", got)
	}
	kill(t, holder)
	mustUpdate(t, h.Store, increment)
}
