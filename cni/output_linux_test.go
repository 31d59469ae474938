package cni

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A runtime may hand over a pipe that is non-blocking, full of what others said, and be late with reading: the document
// comes as a whole.
func TestANonBlockingStreamGetsTheWholeDocument(t *testing.T) {
	t.Parallel()
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	reader := os.NewFile(uintptr(ends[0]), "reader")
	defer reader.Close()
	before, one := 0, []byte{'.'}
	for err := error(nil); err == nil; before++ {
		_, err = unix.Write(ends[1], one)
	}
	document := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	type written struct {
		n   int
		err error
	}
	done := make(chan written, 1)
	go func() {
		n, err := output(ends[1]).Write(document)
		_ = unix.Close(ends[1])
		done <- written{n, err}
	}()
	select {
	case w := <-done:
		t.Fatalf("it did not wait for room: %d bytes, %v", w.n, w.err)
	case <-time.After(50 * time.Millisecond): // long enough for who does not wait; who does needs it not
	}
	read, err := io.ReadAll(reader)
	if w := <-done; w.n != len(document) || w.err != nil || err != nil {
		t.Errorf("written: %d bytes, %v; read: %v", w.n, w.err, err)
	}
	if got := read[min(before-1, len(read)):]; !bytes.Equal(got, document) {
		t.Errorf("%d bytes of %d came", len(got), len(document))
	}
}

// Nobody who writes is left waiting for a reader that is gone.
func TestAStreamWithoutAReaderIsAnError(t *testing.T) {
	t.Parallel()
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(ends[1]) }()
	done := make(chan error, 1)
	go func() {
		_, err := output(ends[1]).Write(make([]byte, 1<<20)) // more than a pipe holds
		done <- err
	}()
	if err := unix.Close(ends[0]); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, unix.EPIPE) {
		t.Errorf("the error is %v", err)
	}
}
