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
	must := func(paths []string, err error) []string {
		if err != nil {
			t.Fatal(err)
		}
		return paths
	}
	for _, path := range must(namespacePaths()) {
		if NamespaceNumber(path) == number {
			return others
		}
	}
	own := fmt.Sprintf("/proc/%d/", os.Getpid())
	for _, process := range must(numbered("/proc")) {
		for _, path := range must(namespaceLinks(process)) {
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

// A process that may open no more files, and one without /proc, see nothing that holds a namespace.
func TestNothingIsGoneThatCannotBeLookedFor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("it needs root")
	}
	number := NamespaceNumber(ownNamespace)
	look := func(what string) (failed bool) {
		gone, err := GoneNamespaces([]uint64{number})
		if gone[number] {
			t.Errorf("%s: this process's own namespace is gone, error %v", what, err)
		}
		return err != nil
	}
	var usual unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for files := range uint64(32) {
		few := unix.Rlimit{Cur: files, Max: usual.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
			t.Fatal(err)
		}
		found := look(fmt.Sprint(files, " files"))
		threads, err := numbered("/proc/self/task")
		if lerr := unix.Setrlimit(unix.RLIMIT_NOFILE, &usual); lerr != nil {
			t.Fatal(lerr)
		}
		if found {
			failed++
		}
		if len(threads) == 0 && err == nil {
			t.Errorf("%d files: a process without threads, and no error", files)
		}
	}
	if failed == 0 || failed == 32 {
		t.Errorf("%d of 32 limits were too few files", failed)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the thread ends with its mounts
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			t.Error(err)
			return
		}
		err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		if err == nil {
			err = unix.Mount("tmpfs", "/proc", "tmpfs", 0, "")
		}
		if err != nil {
			t.Error(err)
			return
		}
		if !look("without /proc") {
			t.Error("without /proc: no error")
		}
	}()
	<-done
}

// An overlay's line is long, and what is mounted behind it is held, too.
func TestMountedNamespacesBehindALongLine(t *testing.T) {
	overlay := "35 1 0:40 / /merged rw - overlay overlay rw,lowerdir=" + strings.Repeat("/layers/0123456789abcdef:", 8000)
	for text, want := range map[string]string{
		overlay + "\n36 35 0:4 net:[4026532281] /run/netns/a\\040pod rw shared:1 - nsfs nsfs rw\n": "/run/netns/a pod",
		strings.Repeat(overlay, 10): "",
	} {
		paths, err := mountedNamespaces(strings.NewReader(text))
		if got := strings.Join(paths, " "); got != want || (err != nil) != (want == "") {
			t.Errorf("%d bytes: %q, %v, want %q", len(text), got, err, want)
		}
	}
}
