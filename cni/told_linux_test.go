package cni

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// A command that is not quick any more hears who tells it to end. (This process hears so from the start, so that a signal
// that comes too early does not end it.)
func TestACommandThatIsNotQuickCanBeToldToEnd(t *testing.T) {
	if usualLimits.Quick != time.Second {
		t.Errorf("a command is quick for %s, and the documents say a second", usualLimits.Quick)
	}
	safe := make(chan os.Signal, 1)
	signal.Notify(safe, syscall.SIGTERM)
	defer signal.Stop(safe)
	ctx, cancel := context.WithCancel(t.Context())
	r := &run{plugin: &Plugin{Name: "test-plugin"}}
	r.read.Store(true)
	r.canBeToldToEnd(cancel, time.Millisecond)
	for end := time.Now().Add(time.Minute); ctx.Err() == nil; {
		if time.Now().After(end) {
			t.Fatal("nobody heard it")
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-safe
	}
}
