package wire

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is an open network namespace, as a file descriptor.
type Namespace int

// OpenNamespace opens what a path leads to. That it is a network namespace shows when it is entered.
func OpenNamespace(path string) (Namespace, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return Namespace(fd), nil
}

// Close closes it.
func (n Namespace) Close() { _ = unix.Close(int(n)) }

// Do runs fn on a thread that is in the namespace. The thread is given up if it cannot get back.
func (n Namespace) Do(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		back, err := OpenNamespace("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer back.Close()
		if err := unix.Setns(int(n), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the network namespace: %w", os.NewSyscallError("setns", err))
			return
		}
		err = fn()
		if unix.Setns(int(back), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
