// Package step writes to the log how long the parts of a command take, at level debug. At other levels it costs next to
// nothing.
package step

import (
	"context"
	"log/slog"
	"time"
)

// Begin begins a step. The function that it returns ends it, with the error that it ended with, and writes one line:
// what it was, the attributes, its duration. What is in them everybody reads to whom a log is sent: names, paths and
// numbers, never what a configuration or the environment holds.
func Begin(l *slog.Logger, what string, attrs ...slog.Attr) (end func(error)) {
	if l == nil || !l.Enabled(context.Background(), slog.LevelDebug) {
		return nothing
	}
	began := time.Now()
	return func(err error) {
		all := append([]slog.Attr{slog.String("step", what)}, attrs...)
		all = append(all, slog.Duration("duration", time.Since(began).Round(time.Microsecond)))
		if err != nil {
			all = append(all, slog.String("error", err.Error()))
		}
		l.LogAttrs(context.Background(), slog.LevelDebug, "step", all...)
	}
}

func nothing(error) {}

// Do is a step that is a function.
func Do(l *slog.Logger, what string, fn func() error, attrs ...slog.Attr) error {
	end := Begin(l, what, attrs...)
	err := fn()
	end(err)
	return err
}

// Get is a step that is a function with a result.
func Get[T any](l *slog.Logger, what string, fn func() (T, error), attrs ...slog.Attr) (T, error) {
	end := Begin(l, what, attrs...)
	value, err := fn()
	end(err)
	return value, err
}
