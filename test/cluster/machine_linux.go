package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
)

//go:embed boot.sh
var bootScript []byte

// machine is a VM of the fabric with everything else that a machine has of its own: processes, mounts, files, a name and cgroups. It sees
// nothing of the machine that this runs on but its kernel.
type machine struct {
	vm    *fabric.VM
	name  string
	dir   string   // of its files, and of the logs of its daemons
	group string   // the name of its cgroup in each hierarchy
	begin []string // boot.sh with its arguments
	init  *fabric.Cmd
}

// path is where programs are looked for on a VM.
const path = "PATH=/opt/cluster:/usr/sbin:/usr/bin:/sbin:/bin"

// boot starts a VM for the first time. dir is made; userland and programs are folders that boot.sh explains.
func boot(ctx context.Context, vm *fabric.VM, dir, userland, programs string) (*machine, error) {
	name := vm.Config.Name
	m := &machine{vm: vm, name: name, dir: dir, group: fmt.Sprintf("test-cluster-%d-%s", os.Getpid(), name)}
	for _, d := range []string{"upper", "work", "root", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	script := filepath.Join(dir, "boot.sh")
	if err := os.WriteFile(script, bootScript, 0o755); err != nil {
		return nil, err
	}
	m.begin = []string{script, name, m.group, dir, userland, programs, "/opt/cluster/pause"}
	return m, m.on(ctx)
}

// on starts the first process of a VM that is off. The VM outlasts ctx.
func (m *machine) on(ctx context.Context) error {
	m.init = m.vm.Ns.Command(context.WithoutCancel(ctx), m.begin[0], m.begin[1:]...)
	m.init.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC
	var stderr bytes.Buffer
	m.init.Stderr = &stderr
	out, err := m.init.StdoutPipe()
	if err != nil {
		return err
	}
	if err := m.init.Start(); err != nil {
		return err
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // "ready"
		return errors.Join(fmt.Errorf("boot %s: %w", m.name, err), m.halt(), errors.New(stderr.String()))
	}
	return nil
}

// reset switches the VM off and on, without a warning: of what it had there is what was written to its disk.
func (m *machine) reset(ctx context.Context) error {
	if err := m.halt(); err != nil {
		return err
	}
	if err := m.vm.Restart(); err != nil {
		return err
	}
	return m.on(ctx)
}

// halt ends all processes of the VM, and with them its mounts, and removes its cgroups. Its files stay.
func (m *machine) halt() error {
	_ = m.init.Process.Kill()
	_ = m.init.Wait() // "killed", when the last process has gone
	var errs []error
	trees, err := filepath.Glob("/sys/fs/cgroup/*/" + m.group)
	if err != nil {
		return err
	}
	for _, tree := range trees {
		var dirs []string
		_ = filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("remove the cgroup %s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
}

// pid is the number of the VM's first process on this machine.
func (m *machine) pid() int { return m.init.Process.Pid }

// command is a program on the VM: in its namespaces and cgroups.
func (m *machine) command(ctx context.Context, args ...string) *fabric.Cmd {
	const enter = `for f in /sys/fs/cgroup/*/cgroup.procs; do echo 0 >$f; done; exec "$@"`
	cmd := m.vm.Ns.Command(ctx, "nsenter",
		append([]string{"--target", strconv.Itoa(m.pid()), "--all", "/bin/sh", "-c", enter, "sh"}, args...)...)
	cmd.Env = []string{path, "HOME=/root", "LC_ALL=C.UTF-8"}
	return cmd
}

// run runs a program on the VM and returns what it prints.
func (m *machine) run(ctx context.Context, args ...string) (string, error) {
	out, err := m.command(ctx, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %s: %w: %s", m.name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// start starts a daemon, whose output goes to a file of its name, and which ends with the VM. It writes its process's number, on the VM, to
// /run/NAME.pid.
func (m *machine) start(ctx context.Context, name string, args ...string) error {
	log, err := os.OpenFile(m.log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := m.command(context.WithoutCancel(ctx), append([]string{"/bin/sh", "-c", `echo $$ >/run/$0.pid; exec "$@"`, name}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

func (m *machine) log(daemon string) string { return filepath.Join(m.dir, "log", daemon+".log") }

// write writes a file of the VM's. The VM sees it at once.
func (m *machine) write(ctx context.Context, file, text string) error {
	cmd := m.command(ctx, "/bin/sh", "-c", `mkdir -p "${0%/*}" && cat >"$0"`, file)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: write %s: %w: %s", m.name, file, err, out)
	}
	return nil
}

// until asks again and again until the answer is nil, or ctx ends.
func until(ctx context.Context, what string, ask func(context.Context) error) error {
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w: %w", what, context.Cause(ctx), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
