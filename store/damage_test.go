package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// damages are contents that an operator's node was found with, or that a hand made. %s is replaced by a whole file.
var damages = map[string]string{
	"empty":                     "",
	"half":                      `{"schema":1,"bootID":"boot-1","generation":2,"wr`,
	"NUL bytes":                 strings.Repeat("\x00", 4096),
	"a NUL tail":                "%s\x00\x00\x00\x00",
	"two documents":             "%s%s",
	"a list":                    "[]",
	"null":                      "null",
	"a number":                  "7",
	"no envelope":               "{}",
	"schema of the wrong type":  `{"schema":"1","bootID":"boot-1","generation":2,"written":"2026-11-21T23:45:00Z","data":{"N":7}}`,
	"schema zero":               `{"schema":0,"generation":2,"data":{"N":7}}`,
	"schema null":               `{"schema":null,"generation":2,"data":{"N":7}}`,
	"data of the wrong type":    `{"schema":1,"bootID":"boot-1","generation":2,"written":"2026-11-21T23:45:00Z","data":{"N":"seven"}}`,
	"data null":                 `{"schema":1,"bootID":"boot-1","generation":2,"written":"2026-11-21T23:45:00Z","data":null}`,
	"no data":                   `{"schema":1,"bootID":"boot-1","generation":2,"written":"2026-11-21T23:45:00Z"}`,
	"generation out of range":   `{"schema":1,"bootID":"boot-1","generation":-2,"written":"2026-11-21T23:45:00Z","data":{"N":7}}`,
	"a time that is not a time": `{"schema":1,"bootID":"boot-1","generation":2,"written":"yesterday","data":{"N":7}}`,
}

func TestADamagedFileIsReplacedByItsMirror(t *testing.T) {
	t.Parallel()
	for name, content := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var infos []RecoverInfo
			h := newHarness(t, func(o *Options[state]) {
				o.Recover = func(_ context.Context, s *state, info RecoverInfo) error {
					infos = append(infos, info)
					s.N += 10
					return nil
				}
			})
			mustUpdate(t, h.Store, set(7))
			content := strings.ReplaceAll(content, "%s", read(t, h.path))
			write(t, h.path, content)

			if got := mustView(t, h.Store); got.N != 7 {
				t.Errorf("view: N = %d, want 7 from the mirror", got.N)
			}
			if got := read(t, h.path); got != content || len(infos) != 0 {
				t.Errorf("view changed the file to %q, or recovered", got)
			}
			mustUpdate(t, h.Store, increment)
			if got := mustView(t, h.Store); got.N != 18 {
				t.Errorf("N = %d, want 18: 7 from the mirror, 10 recovered, 1 added", got.N)
			}
			if got := read(t, h.path+".corrupt-20261121T234500Z"); got != content {
				t.Errorf("kept aside: %q, want %q", got, content)
			}
			if !strings.Contains(h.log.String(), "level=ERROR") {
				t.Errorf("no error was logged: %s", h.log)
			}
			if len(infos) != 1 || infos[0].Reason != ReasonDamaged || !infos[0].FromMirror || infos[0].Generation != 1 || infos[0].Cause == nil {
				t.Errorf("recoveries: %+v", infos)
			}
			h.log.Reset()
			mustUpdate(t, h.Store, increment)
			if h.log.Len() != 0 || len(infos) != 1 {
				t.Errorf("the next update logged %q, recoveries: %+v", h.log, infos)
			}
		})
	}
}

func TestADamagedFileWithADamagedMirrorIsRebuiltFromNothing(t *testing.T) {
	t.Parallel()
	for name, content := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var infos []RecoverInfo
			h := newHarness(t, func(o *Options[state]) {
				o.Recover = func(_ context.Context, s *state, info RecoverInfo) error {
					infos = append(infos, info)
					if s.N != 0 {
						t.Errorf("Recover got %+v", *s)
					}
					s.N = 10
					return nil
				}
			})
			content := strings.ReplaceAll(content, "%s", `{"schema":1,"data":{"N":3}}`)
			write(t, h.path, content)
			write(t, h.path+".bak", content)
			if got := mustView(t, h.Store); got.N != 0 {
				t.Errorf("view: N = %d, want 0", got.N)
			}
			mustUpdate(t, h.Store, increment)
			if got := mustView(t, h.Store); got.N != 11 {
				t.Errorf("N = %d, want 11", got.N)
			}
			if len(infos) != 1 || infos[0].FromMirror || infos[0].Generation != 0 || !strings.Contains(infos[0].Cause.Error(), "mirror") {
				t.Errorf("recoveries: %+v", infos)
			}
		})
	}
}

func TestADeletedFileIsReplacedByItsMirror(t *testing.T) {
	t.Parallel()
	for _, mirror := range []string{"whole", "damaged"} {
		t.Run(mirror, func(t *testing.T) {
			t.Parallel()
			var infos []RecoverInfo
			h := newHarness(t, func(o *Options[state]) {
				o.Recover = func(_ context.Context, _ *state, info RecoverInfo) error {
					infos = append(infos, info)
					return nil
				}
			})
			mustUpdate(t, h.Store, set(7))
			if err := os.Remove(h.path); err != nil {
				t.Fatal(err)
			}
			want := 8
			if mirror == "damaged" {
				write(t, h.path+".bak", "\x00\x00")
				want = 1
			}
			mustUpdate(t, h.Store, increment)
			if got := mustView(t, h.Store); got.N != want {
				t.Errorf("N = %d, want %d", got.N, want)
			}
			if len(infos) != 1 || infos[0].Reason != ReasonMissing || infos[0].FromMirror != (mirror == "whole") {
				t.Errorf("recoveries: %+v", infos)
			}
			if got := h.names(t); strings.Contains(got, "corrupt") {
				t.Errorf("folder holds %q", got)
			}
		})
	}
}

// What was recovered must not be lost because the update that noticed it failed.
func TestARecoveryIsRepeatedUntilAnUpdateSucceeds(t *testing.T) {
	t.Parallel()
	calls := 0
	var recoverErr error
	h := newHarness(t, func(o *Options[state]) {
		o.Recover = func(_ context.Context, s *state, _ RecoverInfo) error { calls++; s.N = 10; return recoverErr }
	})
	write(t, h.path, "broken")
	refuse := errors.New("refused")
	if err := h.Update(t.Context(), func(*state) error { return refuse }); !errors.Is(err, refuse) {
		t.Errorf("update = %v", err)
	}
	recoverErr = errors.New("netlink is down")
	err := h.Update(t.Context(), increment)
	if !errors.Is(err, ErrUnusable) || !errors.Is(err, recoverErr) || !strings.Contains(err.Error(), h.path) {
		t.Errorf("update = %v, want ErrUnusable", err)
	}
	if got := read(t, h.path); got != "broken" {
		t.Errorf("file became %q", got)
	}
	recoverErr = nil
	mustUpdate(t, h.Store, func(*state) error { return nil })
	if got := mustView(t, h.Store); got.N != 10 || calls != 3 {
		t.Errorf("N = %d after %d recoveries, want 10 after 3", got.N, calls)
	}
}

func TestAnImportOrMigrationThatFailsIsDamage(t *testing.T) {
	t.Parallel()
	for _, content := range []string{`{"Network":1}`, `{"schema":1,"data":{}}`} {
		h := newHarness(t, func(o *Options[state]) {
			o.Schema = 2
			o.Import = func([]byte, *state) error { return errors.New("not understood") }
			o.Migrate = func(int, []byte, *state) error { return errors.New("not understood") }
		})
		write(t, h.path, content)
		mustUpdate(t, h.Store, increment)
		if got := read(t, h.path+".corrupt-20261121T234500Z"); got != content {
			t.Errorf("kept aside: %q, want %q", got, content)
		}
	}
}

func TestFilesKeptAsideAreBoundedAndNeverOverwritten(t *testing.T) {
	t.Parallel()
	now := clock
	h := newHarness(t, func(o *Options[state]) { o.Now = func() time.Time { return now } })
	contents := map[string]bool{}
	for n := range 12 {
		content := "broken " + strings.Repeat("x", n)
		write(t, h.path, content)
		mustUpdate(t, h.Store, increment)
		contents[content] = true
		if n >= 5 {
			now = now.Add(time.Second)
		}
	}
	kept, err := filepath.Glob(h.path + ".corrupt-*")
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) != asideKeep {
		t.Errorf("%d files kept aside, want %d", len(kept), asideKeep)
	}
	for _, name := range kept {
		content := read(t, name)
		if !contents[content] {
			t.Errorf("%s holds %q twice", name, content)
		}
		delete(contents, content)
		if len(content) < len("broken ")+4 {
			t.Errorf("%s is one of the oldest: %q", name, content)
		}
	}
	now = clock.Add(-time.Hour) // the clock went back
	write(t, h.path, "newest")
	mustUpdate(t, h.Store, increment)
	if got := read(t, h.path+".corrupt-20261121T224500Z"); got != "newest" {
		t.Errorf("kept aside: %q", got)
	}
}

func TestATooLargeFileIsDamageAndATooLargeStateIsRefused(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(7))
	if err := os.Truncate(h.path, maxSize+1); err != nil { // sparse
		t.Fatal(err)
	}
	mustUpdate(t, h.Store, increment)
	if !strings.Contains(h.log.String(), "the limit is") {
		t.Errorf("it was read all the same: %s", h.log)
	}
	if got := mustView(t, h.Store); got.N != 8 {
		t.Errorf("N = %d, want 8", got.N)
	}
	err := h.Update(t.Context(), func(s *state) error {
		s.Names = map[string]string{"": strings.Repeat("x", maxSize)}
		return nil
	})
	if !errors.Is(err, ErrWrite) {
		t.Errorf("update = %.200v, want ErrWrite", err)
	}
	if got := mustView(t, h.Store); got.N != 8 {
		t.Errorf("N = %d, want 8", got.N)
	}
}

func TestLeftoversOfKilledProcessesAreSweptAndNothingElse(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	dir := filepath.Dir(h.path)
	for _, name := range []string{
		".azure-vnet.json.tmp-123", ".azure-vnet.json.tmp-456",
		".azure-vnet-ipam.json.tmp-123", "azure-vnet.json.tmp-123", ".azure-vnet.json", "azure-vnet.json.lock",
	} {
		write(t, filepath.Join(dir, name), "x")
	}
	mustUpdate(t, h.Store, increment)
	const want = ".azure-vnet-ipam.json.tmp-123 .azure-vnet.json azure-vnet.json azure-vnet.json.bak azure-vnet.json.lock " +
		"azure-vnet.json.tmp-123 azure-vnet.lock"
	if got := h.names(t); got != want {
		t.Errorf("folder holds\n%q, want\n%q", got, want)
	}
}

func TestAFolderInPlaceOfTheStateIsRefused(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if err := os.Mkdir(h.path, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{h.View(t.Context(), increment), h.Update(t.Context(), increment)} {
		if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), h.path+" is not a regular file") {
			t.Errorf("error = %v, want ErrUnusable", err)
		}
	}
}

func TestAFolderInPlaceOfTheMirrorStopsNobody(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if err := os.MkdirAll(filepath.Join(h.path+".bak", "not empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, h.Store, increment)
	if !strings.Contains(h.log.String(), "state mirror not written") {
		t.Errorf("logged %s", h.log)
	}
	write(t, h.path, "broken")
	mustUpdate(t, h.Store, increment)
	if got := mustView(t, h.Store); got.N != 1 {
		t.Errorf("N = %d, want 1", got.N)
	}
}

func TestAFolderThatDoesNotExist(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.path = filepath.Join(h.path, "none", "azure-vnet.json")
	s := h.with()
	if got := mustView(t, s); got.N != 0 {
		t.Errorf("view = %+v", got)
	}
	if err := s.Update(t.Context(), increment); !errors.Is(err, ErrWrite) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("update = %v, want ErrWrite", err)
	}
}
