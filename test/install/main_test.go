//go:build linux

package install

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// releases has a folder for each version that is installed, and userlands the nodes' roots: make test-install makes
// both.
var releases, userlands string

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
	os.Exit(m.Run())
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
