// Package log opens a slog.Logger on a file that many short-lived processes append to.
//
// Each record is one line and one write(2) on a descriptor opened with O_APPEND, so records of several processes never
// mix. On Windows the write is done under a lock. The file is rotated when it is opened and found too large; see
// rotate.
//
// A plugin call must not fail because its log cannot be written: Open always returns a logger that works.
package log

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

const (
	// Stderr as Options.Path sends records to Options.Stderr.
	Stderr = "stderr"

	defaultMaxBytes = 5 << 20
	defaultKeep     = 8
)

// Options say where records go.
type Options struct {
	Path     string      // a file, or Stderr
	Level    slog.Level  // records below are dropped
	Stderr   io.Writer   // where records go for Path Stderr, or when the file cannot be opened; nil discards them
	MaxBytes int64       // the file is rotated when it is larger, in bytes; 0 means 5 MiB
	Keep     int         // rotated files kept, as <path>.1 (newest) to <path>.<Keep>; 0 means 8
	Fields   []slog.Attr // added to each record, after the process ID
}

// OpenFor opens a plugin's log. A level that nobody knows is info here: the check of the configuration reports it.
// Fields are added to each record.
func OpenFor(path, level string, stderr io.Writer, fields ...slog.Attr) (*slog.Logger, io.Closer, error) {
	l, err := ParseLevel(level)
	if err != nil {
		l = slog.LevelInfo
	}
	return Open(Options{Path: path, Level: l, Stderr: stderr, Fields: fields})
}

// Open returns a logger, and what closes its file. Neither is ever nil: if the file cannot be opened, the logger writes
// to Options.Stderr and the error says why, for the caller to log.
func Open(o Options) (*slog.Logger, io.Closer, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Keep == 0 {
		o.Keep = defaultKeep
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	if o.Path == Stderr {
		return newLogger(o.Stderr, o), io.NopCloser(nil), nil
	}
	f, err := openRotated(o.Path, o.MaxBytes, o.Keep)
	if err != nil {
		return newLogger(o.Stderr, o), io.NopCloser(nil), fmt.Errorf("open log file: %w", err)
	}
	return newLogger(appending(f), o), f, nil
}

// ParseLevel understands error, warn, info and debug, in any case.
func ParseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "error":
		return slog.LevelError, nil
	case "warn":
		return slog.LevelWarn, nil
	case "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	}
	return slog.LevelInfo, fmt.Errorf("log level %q is none of error, warn, info, debug", name)
}

// newLogger relies on two properties of slog.TextHandler: it hands each record to the writer in one Write, and it
// quotes values with newlines.
func newLogger(w io.Writer, o Options) *slog.Logger {
	h := slog.NewTextHandler(w, &slog.HandlerOptions{Level: o.Level, ReplaceAttr: utc})
	fields := append([]slog.Attr{slog.Int("pid", os.Getpid())}, o.Fields...)
	return slog.New(h.WithAttrs(fields))
}

// utc makes the records of nodes in different time zones comparable.
func utc(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}
