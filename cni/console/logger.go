package console

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Logger tells a person what a log would hold, from warnings on: one line, without time and level.
func Logger(program string, w io.Writer) *slog.Logger {
	return slog.New(&handler{program: program, w: w})
}

type handler struct {
	program string
	w       io.Writer
	attrs   []slog.Attr
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle implements slog.Handler.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	var facts []string
	add := func(a slog.Attr) bool {
		facts = append(facts, a.Key+" "+a.Value.String())
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	text := r.Message
	if len(facts) > 0 {
		text += " (" + strings.Join(facts, ", ") + ")"
	}
	_, err := fmt.Fprintf(h.w, "%s: note: %s\n", h.program, strings.ReplaceAll(text, "\n", " "))
	return err
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.program, h.w, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

// WithGroup implements slog.Handler. Nobody here makes groups.
func (h *handler) WithGroup(string) slog.Handler { return h }
