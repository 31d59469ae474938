package log

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestParseLevel(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]slog.Level{
		"error": slog.LevelError, "warn": slog.LevelWarn, "info": slog.LevelInfo, "debug": slog.LevelDebug, "Debug": slog.LevelDebug,
	} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("ParseLevel(%q) = %v, %v; want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "warning", "trace", "INFO ", "4"} {
		if got, err := ParseLevel(name); err == nil {
			t.Errorf("ParseLevel(%q) = %v, want an error", name, got)
		}
	}
}

func TestARecordIsOneLineWithTimeInUTCAndPID(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	logger, closer, err := Open(Options{
		Path: Stderr, Stderr: &buf, Level: slog.LevelInfo, Fields: []slog.Attr{slog.String("plugin", "azure-vnet")},
	})
	if err != nil {
		t.Fatal(err)
	}
	logger.Debug("dropped")
	logger.Error("two\nlines", "key", "a\nb\r\nc", "cause", errors.New("x\ny"))
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
	want := regexp.MustCompile(fmt.Sprintf(
		`^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=ERROR msg="two\\nlines" pid=%d plugin=azure-vnet key="a\\nb\\r\\nc" cause="x\\ny"\n$`,
		os.Getpid()))
	if !want.Match(buf.Bytes()) {
		t.Errorf("got  %q\nwant %s", buf.String(), want)
	}
}

func TestAFileIsAppendedTo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "azure-vnet.log")
	for n := range 3 {
		logger, closer, err := Open(Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		logger.Info("record", "n", n)
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(read(t, path), "\n"); got != 3 {
		t.Errorf("%d lines, want 3", got)
	}
}

func TestAFileThatCannotBeOpenedGivesALoggerToStderrAndAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, path := range map[string]string{
		"a folder":       dir,
		"no such folder": filepath.Join(dir, "none", "x.log"),
		"no name":        "",
	} {
		t.Run(name, func(t *testing.T) { servesWithoutFile(t, path) })
	}
}

// servesWithoutFile expects a logger to standard error, and an error, for a path that cannot be opened.
func servesWithoutFile(t *testing.T, path string) {
	t.Helper()
	var buf bytes.Buffer
	logger, closer, err := Open(Options{Path: path, Stderr: &buf})
	if err == nil {
		t.Error("no error")
	}
	logger.Info("still here")
	if !strings.Contains(buf.String(), "still here") {
		t.Errorf("stderr got %q", buf.String())
	}
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
