package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// What the host writes into the guest's root for its init.
const (
	planFile   = "/plan.json"
	reportPort = "/dev/ttyS1"
)

// step is a command that the guest runs.
type step struct {
	Name string
	Args []string
	Env  []string
}

// guest is what the guest's init does: it runs the steps one after the other, and says how each ended.
func guest() {
	report := io.Writer(os.Stdout)
	err := prepare()
	if err == nil {
		var port *os.File
		if port, err = os.OpenFile(reportPort, os.O_WRONLY, 0); err == nil {
			report = port
			err = work(port)
		}
	}
	if err != nil {
		_, _ = fmt.Fprintf(report, "%s%v\n", markFailed, err)
	}
	_, _ = fmt.Fprintln(report, markDone)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // init must not end
}

// prepare makes of an archive in memory what a machine looks like.
func prepare() error {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"},
		{"tmpfs", "/tmp"}, {"tmpfs", "/var"}} {
		if err := errors.Join(os.MkdirAll(m.at, 0o755), unix.Mount(m.kind, m.at, m.kind, 0, "")); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	for _, dir := range []string{"/tmp", "/var/log", "/var/lib", "/var/tmp"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("/run", "/var/run"); err != nil {
		return err
	}
	// What a node has loaded; the rest the kernel loads when it is asked for.
	if out, err := exec.Command("/sbin/modprobe", "-a", "br_netfilter", "macvlan").CombinedOutput(); err != nil {
		return fmt.Errorf("modprobe: %w: %s", err, out)
	}
	return nil
}

func work(report io.Writer) error {
	var release unix.Utsname
	if err := unix.Uname(&release); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(report, "%s%s\n", markKernel, unix.ByteSliceToString(release.Release[:]))
	text, err := os.ReadFile(planFile)
	if err != nil {
		return err
	}
	var steps []step
	if err = json.Unmarshal(text, &steps); err != nil {
		return fmt.Errorf("%s: %w", planFile, err)
	}
	for _, s := range steps {
		_, _ = fmt.Fprintln(report, markBegin+s.Name)
		cmd := exec.Command(s.Args[0], s.Args[1:]...)
		cmd.Dir = filepath.Dir(s.Args[0])
		cmd.Env = slices.Concat(s.Env, []string{"PATH=" + strings.Join(folders, ":"), "HOME=/tmp", "TMPDIR=/tmp"})
		cmd.Stdout, cmd.Stderr = report, report
		end := "0"
		if err := cmd.Run(); err != nil {
			end = err.Error()
		}
		_, _ = fmt.Fprintln(report, markEnd+end)
	}
	return nil
}
