package log

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	const big = "0123456789"
	tests := []struct {
		name         string
		before, want map[string]string
	}{
		{"a small file stays", map[string]string{"": "small"}, map[string]string{"": "small"}},
		{"a large file moves", map[string]string{"": big}, map[string]string{"": "", ".1": big}},
		{"the others move up, the oldest goes",
			map[string]string{"": big, ".1": "1", ".2": "2", ".3": "3"},
			map[string]string{"": "", ".1": big, ".2": "1", ".3": "2"}},
		{"a gap left by a killed rotation is filled",
			map[string]string{"": big, ".2": "2", ".3": "3"},
			map[string]string{"": "", ".1": big, ".2": "2", ".3": "3"}},
		{"a gap further up is filled",
			map[string]string{"": big, ".1": "1", ".3": "3"},
			map[string]string{"": "", ".1": big, ".2": "1", ".3": "3"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "x.log")
			for suffix, content := range tt.before {
				write(t, path+suffix, content)
			}
			f, err := openRotated(path, 8, 3)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			entries, err := os.ReadDir(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) != len(tt.want) {
				t.Errorf("%d files, want %d", len(entries), len(tt.want))
			}
			for suffix, want := range tt.want {
				if got := read(t, path+suffix); got != want {
					t.Errorf("x.log%s holds %q, want %q", suffix, got, want)
				}
			}
			if !isNamed(f, path) {
				t.Error("the open file is not the one that the path names")
			}
		})
	}
}

func TestARotationThatFailsKeepsTheLogGoing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.log")
	write(t, path, "0123456789")
	if err := os.MkdirAll(filepath.Join(path+".1", "not empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	logger, closer, err := Open(Options{Path: path, MaxBytes: 8, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	logger.Info("still here")
	if got := read(t, path); !strings.Contains(got, "still here") {
		t.Errorf("the log holds %q", got)
	}
}

// The writers below are processes of this test binary.
const (
	writerPath = "LOG_TEST_WRITER_PATH"
	writerID   = "LOG_TEST_WRITER_ID"

	writers          = 32
	opensPerWriter   = 8
	recordsPerOpen   = 4
	rotateAt         = 100 << 10
	largeRecordBytes = 64 << 10
)

func TestMain(m *testing.M) {
	if path := os.Getenv(writerPath); path != "" {
		if err := writeMany(path, os.Getenv(writerID)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// writeMany opens the log again and again, as the calls of a plugin do. Each record says who wrote it and how long it
// is.
func writeMany(path, id string) error {
	for n := range opensPerWriter {
		logger, closer, err := Open(Options{Path: path, MaxBytes: rotateAt, Keep: 10000})
		if err != nil {
			return err
		}
		for r := range recordsPerOpen {
			size := 10 + r
			if r == 2 && n%4 == 0 {
				size = largeRecordBytes
			}
			logger.Info("record", "id", fmt.Sprintf("%s-%d-%d", id, n, r), "size", size, "fill", strings.Repeat(id[:1], size), "end", "END")
		}
		if err := closer.Close(); err != nil {
			return err
		}
	}
	return nil
}

func TestManyProcessesLoseAndTearNoRecordWhileRotating(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.log")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmds := make([]*exec.Cmd, writers)
	errs := make([]strings.Builder, writers)
	for i := range cmds {
		cmds[i] = exec.Command(self)
		cmds[i].Env = append(os.Environ(), writerPath+"="+path, writerID+"="+strconv.Itoa(i), "GORACE=atexit_sleep_ms=0")
		cmds[i].Stderr = &errs[i]
		if err := cmds[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("writer %d: %v: %s", i, err, errs[i].String())
		}
	}
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, file := range files {
		countRecords(t, file, seen)
	}
	if want := writers * opensPerWriter * recordsPerOpen; len(seen) != want {
		t.Errorf("%d records, want %d", len(seen), want)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("record %s is there %d times", id, n)
		}
	}
	if len(files) < 5 {
		t.Errorf("%d files: too few rotations for this test to mean anything", len(files))
	}
}

func countRecords(t *testing.T, file string, seen map[string]int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 2*largeRecordBytes)
	for lines.Scan() {
		fields := map[string]string{}
		for word := range strings.FieldsSeq(lines.Text()) {
			key, value, _ := strings.Cut(word, "=")
			fields[key] = value
		}
		size, err := strconv.Atoi(fields["size"])
		if err != nil || len(fields) != 8 || fields["end"] != "END" || !strings.HasPrefix(lines.Text(), "time=") ||
			fields["fill"] != strings.Repeat(fields["id"][:1], size) {
			t.Errorf("%s: torn record %.200q…", filepath.Base(file), lines.Text())
			continue
		}
		seen[fields["id"]]++
	}
	if err := lines.Err(); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}
