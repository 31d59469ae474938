package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrOwnNamespace is returned when a command would run in the namespace of
// this process or of PID 1, where it could harm the machine.
var ErrOwnNamespace = errors.New("refused in the machine's own network namespace")

// Cmd is an [exec.Cmd] that starts inside a namespace. Of the methods that
// start a process only those below do; the others are exec.Cmd's.
type Cmd struct {
	*exec.Cmd
	ns *Namespace
}

// Command returns a command to be started inside the namespace. The process is
// killed when ctx ends, when the namespace is closed, and when this process
// dies. Starting it fails with [ErrOwnNamespace] if the namespace is this
// process's own or that of PID 1.
func (n *Namespace) Command(ctx context.Context, name string, args ...string) *Cmd {
	c := &Cmd{Cmd: exec.CommandContext(ctx, name, args...), ns: n}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// Start starts the command without waiting for it.
func (c *Cmd) Start() error {
	n := c.ns
	if err := n.startSpawner(); err != nil {
		return err
	}
	// Read-locked, so that Close cannot stop the spawner under our hands.
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.fd < 0 {
		return fmt.Errorf("start %s in namespace %s: %w", c.Path, n.name, ErrClosed)
	}
	err := n.spawn.do(c.Cmd.Start)
	if err != nil {
		return fmt.Errorf("start %s in namespace %s: %w", c.Path, n.name, err)
	}
	return nil
}

// Run starts the command and waits for its end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the command and returns its standard output. An [exec.ExitError]
// carries the standard error unless Stderr was set.
func (c *Cmd) Output() ([]byte, error) {
	var stdout, stderr bytes.Buffer
	c.Stdout = &stdout
	if c.Stderr == nil {
		c.Stderr = &stderr
	}
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		exit.Stderr = stderr.Bytes()
	}
	return stdout.Bytes(), err
}

// CombinedOutput runs the command and returns standard output and error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var both bytes.Buffer
	c.Stdout, c.Stderr = &both, &both
	err := c.Run()
	return both.Bytes(), err
}

func (n *Namespace) startSpawner() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return fmt.Errorf("enter namespace %s: %w", n.name, ErrClosed)
	}
	if n.spawn != nil {
		return nil
	}
	var own unix.Stat_t
	if err := unix.Stat(threadNS, &own); err != nil {
		return fmt.Errorf("look at own namespace: %w", err)
	}
	fd := n.fd
	s, err := newSpawner(func() error {
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.name, err)
		}
		return refuseMachine(own)
	})
	if err != nil {
		return err
	}
	n.spawn = s
	return nil
}

// refuseMachine looks where the calling thread really is, rather than trust
// what led it there. own is the process's namespace.
func refuseMachine(own unix.Stat_t) error {
	var here, first unix.Stat_t
	if err := unix.Stat(threadNS, &here); err != nil {
		return fmt.Errorf("look at the entered namespace: %w", err)
	}
	if here.Dev == own.Dev && here.Ino == own.Ino {
		return ErrOwnNamespace
	}
	// Where PID 1 belongs to another user namespace this is forbidden, even
	// to root; the check above then has to do.
	err := unix.Stat("/proc/1/ns/net", &first)
	if err == nil && here.Dev == first.Dev && here.Ino == first.Ino {
		return ErrOwnNamespace
	}
	return nil
}
