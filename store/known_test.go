package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// A command reads a file once that nobody changes, and not at all what it has written itself. What somebody else has
// made of it meanwhile, it sees.
func TestAFileIsReadAgainOnlyAfterAChange(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "azure-vnet.json")
	s, other := New(Options[names]{Path: path}), New(Options[names]{Path: path})
	add := func(s *Store[names], name string) {
		t.Helper()
		if err := s.Update(t.Context(), func(n *names) error { n.list = append(n.list, name); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	// read returns what a store sees, and where its text is in memory.
	read := func(s *Store[names]) (seen string, at *byte) {
		t.Helper()
		l, err := s.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(l.value.list[1:], " "), unsafe.StringData(l.base)
	}
	add(s, strings.Repeat("x", headSize)) // the change is behind the head
	add(s, "one")
	written := s.last.Load()
	if _, _ = read(s); s.last.Load() != written {
		t.Error("what the store has written is read again")
	}
	_, first := read(other)
	if seen, at := read(other); seen != "one" || at != first {
		t.Errorf("the second read of another process sees %q; in the same memory: %v", seen, at == first)
	}
	add(other, "due")
	if seen, _ := read(s); seen != "one due" {
		t.Errorf("after another process has written: %q", seen)
	}
	if seen, at := read(other); seen != "one due" || at == first {
		t.Errorf("after its own change the other process sees %q", seen)
	}
	for name, change := range map[string]func(text string) error{
		// Neither its inode nor its size is another one; the clock of a file system may tick every 4 ms only.
		"in place": func(text string) error {
			file, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = file.WriteAt([]byte("six"), int64(strings.Index(text, "due")))
			_ = file.Close()
			later := time.Now().Add(time.Second)
			return errors.Join(err, os.Chtimes(path, later, later))
		},
		// Another file with the same size and time.
		"replaced": func(text string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			temp := path + ".new"
			err = os.WriteFile(temp, []byte(strings.Replace(text, "due", "six", 1)), 0o600)
			return errors.Join(err, os.Chtimes(temp, info.ModTime(), info.ModTime()), os.Rename(temp, path))
		},
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := change(string(text)); err != nil {
			t.Fatal(err)
		}
		if seen, _ := read(s); seen != "one six" {
			t.Errorf("%s: %q", name, seen)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(2 * time.Second)
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
		if seen, _ := read(s); seen != "one due" {
			t.Errorf("%s, as it was: %q", name, seen)
		}
	}
}

// An inode number may come back with the size and the time of a file that was known: its head is another one.
func TestTheHeadOfAFileTellsItFromItsPredecessor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "azure-vnet.json")
	if err := os.WriteFile(path, []byte(`{"schema":1,"generation":8}`), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := readFile(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for text, same := range map[string]bool{`{"schema":1,"generation":8}`: true, `{"schema":1,"generation":7}`: false} {
		known := &content{read.info, text}
		if again, err := readFile(context.Background(), path, known); err != nil || (again == known) != same || again.text != read.text {
			t.Errorf("known %s: %q, %v; taken for the same: %v", text, again.text, err, again == known)
		}
	}
}

// Somebody cuts the file that is known, and the clock of the file system has not gone on: it is damaged all the same.
func TestAFileThatWasCutIsReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "azure-vnet.json")
	s := New(Options[names]{Path: path})
	err := s.Update(t.Context(), func(n *names) error { n.list = []string{strings.Repeat("x", headSize), "behind the head"}; return nil })
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Truncate(path, info.Size()-8), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	l, err := s.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if l.recovery == nil || l.recovery.Reason != ReasonDamaged || len(l.value.list) != 2 {
		t.Errorf("recovery is %+v, with %d names", l.recovery, len(l.value.list))
	}
}

// A failed write leaves nothing that is taken for known.
func TestAFailedWriteIsNotKnown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "azure-vnet.json")
	s := New(Options[names]{Path: path})
	add := func(name string) error {
		return s.Update(t.Context(), func(n *names) error { n.list = append(n.list, name); return nil })
	}
	if err := add("one"); err != nil {
		t.Fatal(err)
	}
	temp := s.f.temp
	s.f.temp = filepath.Join(dir, "gone", "temporary")
	if err := add("due"); err == nil {
		t.Fatal("written into a folder that is not there")
	}
	s.f.temp = temp
	var seen []string
	if err := s.View(t.Context(), func(n *names) error { seen = n.list; return nil }); err != nil || len(seen) != 1 {
		t.Errorf("after a failed write: %q, %v", seen, err)
	}
	if err := add("three"); err != nil {
		t.Fatal(err)
	}
	if leftovers, _ := filepath.Glob(filepath.Join(dir, ".azure-vnet.json.tmp-*")); len(leftovers) > 0 {
		t.Errorf("left: %q", leftovers)
	}
}
