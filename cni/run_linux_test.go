package cni_test

import (
	"bufio"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
)

// deafOutputs are what a standard output may be that takes nothing.
var deafOutputs = map[string]func() (*os.File, error){
	"a full disk":              func() (*os.File, error) { return os.OpenFile("/dev/full", os.O_WRONLY, 0) },
	"a pipe that nobody reads": pipeThatNobodyReads,
}

func TestThePluginsOwnNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	c := newCall(t, "succeeds", "CNI_NETNS=/proc/self/ns/net", "CNI_NETNS_OVERRIDE=")
	c.fails(8, "should not be the same", "")
}

// What is no text cannot be named in JSON. (On Windows the environment is text.)
func TestAnInterfaceThatIsNoTextIsRefused(t *testing.T) {
	t.Parallel()
	newCall(t, "succeeds", "CNI_IFNAME=eth\xff").fails(4, `CNI_IFNAME="eth\xff" is not UTF-8`, "")
}

// Go opens /dev/null for a descriptor that is closed (runtime/fds_unix.go), so there is nothing to notice.
func TestStreamsThatAreClosed(t *testing.T) {
	t.Parallel()
	for redirect, test := range map[string]struct {
		add  string
		exit int
		code uint
	}{
		"<&-":          {add: "succeeds", exit: 1, code: 6},
		"2>&-":         {add: "panics", exit: 1, code: 999},
		">&-":          {add: "panics", exit: 1},
		"<&- >&- 2>&-": {add: "panics", exit: 1},
	} {
		t.Run(redirect, func(t *testing.T) {
			t.Parallel()
			c := newCall(t, test.add)
			c.cmd.Path, c.cmd.Args = "/bin/sh", []string{"sh", "-c", `exec "$0" ` + redirect, os.Args[0]}
			if exit := c.exit(); exit != test.exit {
				t.Errorf("exit code %d", exit)
			}
			var e types.Error
			if test.code == 0 {
				return
			}
			if c.document(&e); e.Code != test.code {
				t.Errorf("the error is %+v", e)
			}
		})
	}
}

// stopped sends a signal to a call that waits.
func stopped(t *testing.T, how string, s syscall.Signal) *call {
	t.Helper()
	c := newCall(t, how)
	c.cmd.Stderr = nil
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(stderr).ReadString('\n'); err != nil { // it waits now
		t.Error(err)
	}
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Error(err)
	}
	_ = c.cmd.Wait()
	return c
}

// Most commands end before anybody could tell them to, and do not pay for being told: a signal ends them, and what they
// leave is what a killed one leaves.
func TestAQuickCommandThatIsStoppedIsKilled(t *testing.T) {
	t.Parallel()
	c := stopped(t, "waits, and is quick", syscall.SIGTERM)
	if status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", c.cmd.ProcessState)
	}
}

func TestACommandThatIsStoppedAnswersTryAgainLater(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		c := stopped(t, "waits for its end", s)
		var e types.Error
		if c.document(&e); e.Code != types.ErrTryAgainLater || c.cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%v: %v, %+v", s, c.cmd.ProcessState, e)
		}
		if text := c.logged(); !strings.Contains(text, "level=WARN msg=failed") {
			t.Errorf("somebody stopped it, and the log is %q", text)
		}
	}
}

// Nothing has been done as long as standard input is open, and nothing interrupts a read of it: who is told to end
// ends.
func TestACommandEndsWhileStandardInputIsOpen(t *testing.T) {
	t.Parallel()
	c := newCall(t, "is told to end")
	c.cmd.Stdin = nil
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(make([]byte, 1<<20)); err != nil { // more than a pipe holds: it reads, so it hears signals
		t.Fatal(err)
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	_ = c.cmd.Wait()
	var e types.Error
	if c.document(&e); e.Code != types.ErrTryAgainLater || !strings.Contains(e.Msg, "standard input") || c.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v, %+v", c.cmd.ProcessState, e)
	}
}
