package step_test

import (
	"bytes"
	"errors"
	"log/slog"
	"regexp"
	"testing"

	"github.com/Azure/azure-container-networking/log/step"
)

func TestAStepIsOneLine(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	l := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	_ = step.Do(l, "read", func() error { return nil }, slog.String("path", "/a b"))
	if _, err := step.Get(l, "write", func() (int, error) { return 7, errors.New("a\nb") }); err == nil {
		t.Error("the error is lost")
	}
	want := regexp.MustCompile(`^time=\S+ level=DEBUG msg=step step=read path="/a b" duration=\S+\ntime=\S+ level=DEBUG msg=step step=write duration=\S+ error="a\\nb"\n$`)
	if !want.MatchString(text.String()) {
		t.Errorf("the log is\n%s", text.String())
	}
}

// At level info a step must not cost what a command notices.
func TestAStepThatNobodyReadsCostsNothing(t *testing.T) {
	var text bytes.Buffer
	l := slog.New(slog.NewTextHandler(&text, nil))
	for name, log := range map[string]*slog.Logger{"info": l, "none": nil} {
		if n := testing.AllocsPerRun(100, func() { step.Begin(log, "read")(nil) }); n > 0 || text.Len() > 0 {
			t.Errorf("%s: %v allocations, %s", name, n, text.String())
		}
	}
}
