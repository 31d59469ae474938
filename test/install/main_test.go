//go:build linux

package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// releases has a folder for each version that is installed, and userlands the nodes' roots: make test-install makes
// both.
var releases, userlands string

// distributions are the userlands of packages: this machine's release, and Ubuntu's where its archive could be reached, which
// "make test" says. Tests of what a distribution has a part in run on each, all others on the first.
var distributions []string

// arch is what the nodes are of.
const arch = runtime.GOARCH

const (
	older = "v2.0.0"
	newer = "v2.0.1"
)

// private is set in the process that has a mount namespace of its own.
const private = "INSTALL_TEST_PRIVATE"

func TestMain(m *testing.M) {
	if os.Getenv(private) == "" {
		os.Exit(again())
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Fprintln(os.Stderr, "test/install: make mounts private:", err)
		os.Exit(1)
	}
	for _, v := range []struct {
		name, file string
		dir        *string
	}{{"INSTALL_RELEASES", newer + "/VERSION", &releases}, {"INSTALL_NODES", ".made", &userlands}} {
		*v.dir = os.Getenv(v.name)
		if _, err := os.Stat(filepath.Join(*v.dir, v.file)); err != nil || *v.dir == "" {
			fmt.Fprintf(os.Stderr, "test/install: %s does not name a folder with %s (%v); run \"make test-install\"\n", v.name, v.file, err)
			os.Exit(1)
		}
	}
	if err := findDistributions(); err != nil {
		fmt.Fprintln(os.Stderr, "test/install:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func findDistributions() error {
	if only := os.Getenv("INSTALL_DISTRIBUTION"); only != "" {
		distributions = []string{only}
		_, err := os.Stat(filepath.Join(userlands, only))
		return err
	}
	distributions = []string{"debian"}
	_, err := os.Stat(filepath.Join(userlands, "ubuntu"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	distributions = append(distributions, "ubuntu")
	return err
}

// onEach runs a test on each distribution, and on the other userlands that are named.
func onEach(t *testing.T, test func(t *testing.T, userland string), others ...string) {
	t.Helper()
	for _, userland := range append(slices.Clone(distributions), others...) {
		t.Run(userland, func(t *testing.T) { test(t, userland) })
	}
}

// again runs these tests in a mount namespace of their own, where nodes can have roots that the machine does not see.
func again() int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "test/install makes namespaces and needs root")
		return 1
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/install:", err)
		return 1
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), private+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/install:", err)
		return 1
	}
	return 0
}
