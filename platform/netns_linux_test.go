package platform

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A namespace is there as long as anything holds it: a process, a thread, an open file; then it is gone.
func TestNamespacesThatAreThere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("it needs root")
	}
	made, keep := make(chan uint64), make(chan struct{})
	open := make(chan *os.File)
	var onThread func()
	onThread = func() { // which ends with its goroutine
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // what this one has, the process has
			go onThread()
			<-keep
			return
		}
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			panic(err)
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			panic(err)
		}
		made <- NamespaceNumber("/proc/thread-self/ns/net")
		open <- f
		<-keep
	}
	go onThread()
	number, file := <-made, <-open
	there := func(held string, want bool) {
		t.Helper()
		own := NamespaceNumber("/proc/self/ns/net")
		gone, err := GoneNamespaces([]uint64{own, number})
		if err != nil {
			t.Fatal(err)
		}
		if gone[number] == want {
			t.Errorf("held by %s: gone is %t", held, gone[number])
		}
		if own == 0 || gone[own] {
			t.Errorf("one's own, %d, is not there", own)
		}
	}
	if number == 0 {
		t.Fatal("it has no number")
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	there("a thread", true)
	cmd := exec.Command("unshare", "-n", "sh", "-c", "echo ready; read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	close(keep)
	path := fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)
	number = NamespaceNumber(path)
	file, err = os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	there("a process and a file", true)
	_ = in.Close()
	_ = cmd.Wait()
	there("a file", true)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	// The kernel gives a number that is free to the next namespace that anybody on this machine makes, perhaps for a moment.
	for turns := 0; ; turns++ {
		gone, err := GoneNamespaces([]uint64{number})
		if err != nil {
			t.Fatal(err)
		}
		who := holder(t, number)
		if gone[number] || who == others {
			break
		}
		if who == itself || turns == 100 {
			t.Fatalf("held by %q: not gone", who)
		}
	}
	for _, path := range []string{"/none", "/etc/passwd", t.TempDir()} {
		if n := NamespaceNumber(path); n != 0 {
			t.Errorf("%s has the number %d", path, n)
		}
	}
}

const itself, others = "this process", "another one"

// holder says who holds a namespace; "" is nobody.
func holder(t *testing.T, number uint64) (who string) {
	t.Helper()
	for _, path := range namespacePaths() {
		if NamespaceNumber(path) == number {
			return others
		}
	}
	own := fmt.Sprintf("/proc/%d/", os.Getpid())
	for _, process := range numbered("/proc") {
		for _, path := range namespaceLinks(process) {
			if ino, err := namespaceBehind(path); err != nil || ino != number {
				continue
			}
			if !strings.HasPrefix(path, own) {
				return others
			}
			who = itself
		}
	}
	return who
}
