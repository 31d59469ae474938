package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// state is what the tests keep.
type state struct {
	N     int
	Names map[string]string `json:",omitempty"`
}

type harness struct {
	*Store[state]
	path string
	log  *bytes.Buffer
}

var clock = time.Date(2026, 11, 21, 23, 45, 0, 0, time.UTC)

// newHarness makes a store in a folder of its own; options change what it is made of.
func newHarness(t testing.TB, options ...func(*Options[state])) *harness {
	t.Helper()
	h := &harness{path: filepath.Join(t.TempDir(), "azure-vnet.json"), log: new(bytes.Buffer)}
	h.Store = h.with(options...)
	return h
}

// with makes another store on the same file.
func (h *harness) with(options ...func(*Options[state])) *Store[state] {
	o := Options[state]{
		Path: h.path, Schema: 1, Boot: "boot-1", Now: func() time.Time { return clock },
		Log: slog.New(slog.NewTextHandler(h.log, nil)),
	}
	for _, f := range options {
		f(&o)
	}
	return New(o)
}

func set(n int) func(*state) error { return func(s *state) error { s.N = n; return nil } }

func increment(s *state) error { s.N++; return nil }

func mustUpdate(t testing.TB, s *Store[state], fn func(*state) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func mustView(t testing.TB, s *Store[state]) state {
	t.Helper()
	var got state
	if err := s.View(t.Context(), func(v *state) error { got = *v; return nil }); err != nil {
		t.Fatalf("view: %v", err)
	}
	return got
}

func read(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// names lists the folder of the state file.
func (h *harness) names(t testing.TB) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(h.path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestTheFileIsAnEnvelope(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(7))
	const want = `{"schema":1,"bootID":"boot-1","generation":1,"written":"2026-11-21T23:45:00Z","Network":"taken over","IPAM":"taken over","data":{"N":7}}` + "\n"
	if diff := cmp.Diff(want, read(t, h.path)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, read(t, h.path+".bak")); diff != "" {
		t.Errorf("mirror (-want +got):\n%s", diff)
	}
	if got, want := h.names(t), "azure-vnet.json azure-vnet.json.bak azure-vnet.lock"; got != want {
		t.Errorf("folder holds %q, want %q", got, want)
	}
}

func TestViewOfNothingIsZeroAndCreatesNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if got := mustView(t, h.Store); got.N != 0 {
		t.Errorf("view = %+v", got)
	}
	if got := h.names(t); got != "" {
		t.Errorf("folder holds %q", got)
	}
}

func TestUpdateThatChangesNothingWritesNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	nothing := func(*state) error { return nil }
	mustUpdate(t, h.Store, nothing)
	if got, want := h.names(t), "azure-vnet.lock"; got != want {
		t.Errorf("after an empty first update the folder holds %q, want %q", got, want)
	}
	mustUpdate(t, h.Store, func(s *state) error { s.N, s.Names = 7, map[string]string{"<a>": `,"data":{`}; return nil })
	before, err := os.Stat(h.path)
	if err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, h.Store, nothing)
	mustUpdate(t, h.Store, set(7))
	after, err := os.Stat(h.path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("the file was replaced without need")
	}
}

func TestAnErrorOfTheFunctionComesBackAsItIsAndNothingIsWritten(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(1))
	before := read(t, h.path)
	full := errors.New("no free address")
	if err := h.Update(t.Context(), func(s *state) error { s.N = 99; return full }); err != full { //nolint:errorlint // unwrapped
		t.Errorf("update = %v, want %v itself", err, full)
	}
	if err := h.View(t.Context(), func(*state) error { return full }); err != full { //nolint:errorlint // unwrapped
		t.Errorf("view = %v, want %v itself", err, full)
	}
	if got := read(t, h.path); got != before {
		t.Errorf("file became %q", got)
	}
	mustUpdate(t, h.Store, increment) // the lock is free
}

func TestAPanicOfTheFunctionFreesTheLockAndWritesNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	func() {
		defer func() { _ = recover() }()
		_ = h.Update(t.Context(), func(s *state) error { s.N = 99; panic("defect") })
	}()
	mustUpdate(t, h.Store, increment)
	if got := mustView(t, h.Store); got.N != 1 {
		t.Errorf("N = %d, want 1", got.N)
	}
}

func TestAnEndedContextIsAnError(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.View(ctx, func(*state) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("view = %v", err)
	}
	if err := h.Update(ctx, increment); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrLocked) {
		t.Errorf("update = %v", err)
	}
}

func TestBootIdentity(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, written, now string
		wantRebooted       bool
		wantBoot           string // in the file, after an update that changes nothing itself
	}{
		{"the same boot", "a", "a", false, "a"},
		{"another boot", "a", "b", true, "b"},
		{"an unknown boot is taken for the file's, which is kept", "a", "", false, "a"},
		{"a file of an unknown boot is taken for this one's", "", "b", false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(o *Options[state]) { o.Boot = tt.written })
			mustUpdate(t, h.Store, set(5))
			calls := 0
			s := h.with(func(o *Options[state]) {
				o.Boot = tt.now
				o.Rebooted = func(v *state) {
					calls++
					if v.N != 5 {
						t.Errorf("Rebooted got %+v", *v)
					}
				}
			})
			mustView(t, s)
			mustUpdate(t, s, func(*state) error { return nil })
			mustUpdate(t, s, func(*state) error { return nil })
			wantCalls := 0
			if tt.wantRebooted {
				wantCalls = 2 // one view, one update: after that the file is of this boot
			}
			if calls != wantCalls {
				t.Errorf("Rebooted was called %d times, want %d", calls, wantCalls)
			}
			if want := fmt.Sprintf(`"bootID":%q`, tt.wantBoot); !strings.Contains(read(t, h.path), want) {
				t.Errorf("file is %s, want it to contain %s", read(t, h.path), want)
			}
		})
	}
}

// Somebody may have written whatever into the file that an unknown boot takes the identity from.
func TestABootIdentityOfAnyLength(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(o *Options[state]) { o.Boot = strings.Repeat("long", headRoom) })
	mustUpdate(t, h.Store, set(7))
	mustUpdate(t, h.Store, increment)
	if got := mustView(t, h.Store); got.N != 8 || !json.Valid([]byte(read(t, h.path))) {
		t.Errorf("N = %d, of %.700s", got.N, read(t, h.path))
	}
}

func TestRebootedDropsWhatCannotBeAlive(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(5))
	s := h.with(func(o *Options[state]) { o.Boot, o.Rebooted = "boot-2", func(v *state) { v.N = 0 } })
	if got := mustView(t, s); got.N != 0 {
		t.Errorf("view = %+v", got)
	}
	mustUpdate(t, s, increment)
	if got := mustView(t, s); got.N != 1 {
		t.Errorf("N = %d, want 1", got.N)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	file := func(schema int) string {
		return fmt.Sprintf(`{"schema":%d,"bootID":"boot-1","generation":41,"written":"2026-11-21T23:45:00Z","data":{"Old":3}}`, schema)
	}
	migrate := func(from int, raw []byte, v *state) error {
		var old struct{ Data struct{ Old int } }
		if err := json.Unmarshal(raw, &old); err != nil {
			return err
		}
		v.N = 100*from + old.Data.Old
		return nil
	}
	tests := []struct {
		name    string
		file    string
		options func(*Options[state])
		want    int
		wantErr string
	}{
		{"newer", file(3), nil, 0, "has version 3, this program understands 2"},
		{"newer, with data that does not decode", strings.Replace(file(3), `{"Old":3}`, `[1]`, 1), nil, 0, "has version 3"},
		{"older without a migration", file(1), nil, 0, "has version 1, this program understands 2"},
		{"older", file(1), func(o *Options[state]) { o.Migrate = migrate }, 103, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			options := []func(*Options[state]){func(o *Options[state]) { o.Schema = 2 }}
			if tt.options != nil {
				options = append(options, tt.options)
			}
			h := newHarness(t, options...)
			write(t, h.path, tt.file)
			if tt.wantErr != "" {
				for _, err := range []error{h.Update(t.Context(), increment), h.View(t.Context(), increment)} {
					if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), tt.wantErr) || !strings.Contains(err.Error(), h.path) {
						t.Errorf("error = %v", err)
					}
				}
				if got, want := h.names(t), "azure-vnet.json azure-vnet.lock"; got != want || read(t, h.path) != tt.file {
					t.Errorf("folder holds %q, want %q with the file untouched", got, want)
				}
				return
			}
			if got := mustView(t, h.Store); got.N != tt.want {
				t.Errorf("view: N = %d, want %d", got.N, tt.want)
			}
			mustUpdate(t, h.Store, increment)
			const head = `{"schema":2,"bootID":"boot-1","generation":42,`
			if got := read(t, h.path); !strings.HasPrefix(got, head) || !strings.Contains(got, fmt.Sprintf(`{"N":%d}`, tt.want+1)) {
				t.Errorf("file is %s", got)
			}
		})
	}
}

// Whoever moves a newer version's file away is told that its mirror is there, and not to move what is gone.
func TestAMirrorOfANewerVersionIsNamed(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(o *Options[state]) { o.Schema = 2 })
	write(t, h.path+".bak", `{"schema":3,"bootID":"boot-1","generation":41,"written":"2026-11-21T23:45:00Z","data":{}}`)
	for _, err := range []error{h.Update(t.Context(), increment), h.View(t.Context(), increment)} {
		if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), h.path+".bak has version 3") {
			t.Errorf("error = %v", err)
		}
	}
	if err := os.Remove(h.path + ".bak"); err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, h.Store, increment)
}

func TestAClassicFileIsImportedAndKept(t *testing.T) {
	t.Parallel()
	const classic = `{"Network": {"Version": "v1.4.43", "TimeStamp": "2026-11-01T00:00:00Z"}}`
	imports := func(o *Options[state]) {
		o.Import = func(raw []byte, v *state) error {
			if string(raw) != classic {
				return fmt.Errorf("import got %q", raw)
			}
			v.N = 10
			return nil
		}
		o.Recover = func(context.Context, *state, RecoverInfo) error { return errors.New("nothing to recover") }
	}
	h := newHarness(t, imports)
	write(t, h.path, classic)
	write(t, h.path+".lock", "4711") // a lock of the classic plugin, left behind by a killed process
	if got := mustView(t, h.Store); got.N != 10 {
		t.Errorf("view = %+v", got)
	}
	if got := read(t, h.path); got != classic {
		t.Errorf("view changed the file to %q", got)
	}
	mustUpdate(t, h.Store, increment)
	if got := mustView(t, h.Store); got.N != 11 {
		t.Errorf("N = %d, want 11", got.N)
	}
	if got := read(t, h.path+".classic-20261121T234500Z"); got != classic {
		t.Errorf("kept aside: %q", got)
	}
	if got := read(t, h.path+".lock"); got != "4711" {
		t.Errorf("the classic lock became %q", got)
	}
	if log := h.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("logged %s", log)
	}
}

func BenchmarkUpdate50KB(b *testing.B) {
	type reservation struct{ Address, Network, ContainerID, IfName, Created string }
	type big struct{ Reservations map[string]reservation }
	dir, err := os.MkdirTemp("/dev/shm", "store-bench")
	if err != nil {
		b.Skip(err)
	}
	defer os.RemoveAll(dir)
	s := New(Options[big]{Path: filepath.Join(dir, "azure-vnet.json"), Boot: "boot-1"})
	fill := func(v *big) error {
		v.Reservations = map[string]reservation{}
		for n := range 200 {
			a := fmt.Sprintf("10.240.0.%d", n)
			v.Reservations[a] = reservation{a, "azure", strings.Repeat("c0ffee01", 8) + a, "eth0", "2026-11-21T23:45:00.123456789Z"}
		}
		return nil
	}
	if err := s.Update(b.Context(), fill); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		n++
		err := s.Update(b.Context(), func(v *big) error {
			r := v.Reservations["10.240.0.7"]
			r.IfName = fmt.Sprintf("eth%d", n)
			v.Reservations["10.240.0.7"] = r
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "azure-vnet.json"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size()), "file-bytes")
}
