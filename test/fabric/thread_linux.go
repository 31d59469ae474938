package fabric

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onOwnThread runs fn in a new goroutine locked to an OS thread that is not
// the process's main thread. fn unlocks the thread, or returns without to have
// the thread ended by the runtime.
//
// The main thread must never change namespaces: /proc/self/ns/net is the main
// thread's, so whoever compares with it meanwhile would be misled, and the
// runtime cannot end it.
func onOwnThread(fn func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			fn()
			return
		}
		// While this goroutine keeps the main thread, the next one must
		// get another.
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(locked)
			fn()
		}()
		<-locked
		runtime.UnlockOSThread()
	}()
}

// callOnOwnThread calls fn on its own thread and waits. The thread is given
// back to the runtime only when fn set *clean, else it is ended. A panic or
// runtime.Goexit (testing's FailNow) in fn continues in the caller.
func callOnOwnThread(fn func(clean *bool)) {
	var clean, returned bool
	var panicked any
	done := make(chan struct{})
	onOwnThread(func() {
		defer func() {
			if !returned {
				panicked = recover()
			}
			if clean {
				runtime.UnlockOSThread()
			}
			close(done)
		}()
		fn(&clean)
		returned = true
	})
	<-done
	switch {
	case panicked != nil:
		panic(panicked)
	case !returned:
		runtime.Goexit()
	}
}

// A spawner keeps a thread inside a namespace to start processes from. The
// kernel sends a child's parent-death signal when the thread that started it
// ends; a thread kept for the purpose makes that the moment when the
// namespace is closed or this process dies, by whatever signal.
type spawner struct {
	jobs chan func()
}

func newSpawner(enter func() error) (*spawner, error) {
	s := &spawner{jobs: make(chan func())}
	entered := make(chan error)
	onOwnThread(func() {
		err := enter()
		entered <- err
		if err != nil {
			return
		}
		for job := range s.jobs {
			job()
		}
	})
	if err := <-entered; err != nil {
		return nil, err
	}
	return s, nil
}

func (s *spawner) do(fn func() error) error {
	result := make(chan error)
	s.jobs <- func() { result <- fn() }
	return <-result
}

// stop ends the thread, and thereby the processes it started.
func (s *spawner) stop() { close(s.jobs) }
