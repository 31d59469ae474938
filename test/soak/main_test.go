//go:build linux

package soak

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// binaries is the folder of the plugins.
var binaries = os.Getenv("AZURE_CNI_BIN")

// inside is set in the process that has a mount namespace of its own.
const inside = "SOAK_INSIDE"

// The tests run in a mount namespace of their own: a small file system for each VM's state shall not be seen on the
// machine, nor stay there whatever becomes of this process.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "test/soak makes namespaces and needs root")
		os.Exit(1)
	}
	if _, err := os.Stat(filepath.Join(binaries, "azure-vnet-ipam")); err != nil || binaries == "" {
		fmt.Fprintf(os.Stderr, "test/soak: AZURE_CNI_BIN does not name the folder of the plugins (%v); run \"make soak\"\n", err)
		os.Exit(1)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(max(1, exit.ExitCode()))
	case err != nil:
		fmt.Fprintf(os.Stderr, "test/soak: start in a mount namespace: %v\n", err)
		os.Exit(1)
	}
}
