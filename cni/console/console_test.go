package console

import (
	"bytes"
	"flag"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAges(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 119 * time.Minute: "119m", 2 * time.Hour: "2h",
		47 * time.Hour: "47h", 48 * time.Hour: "2d", 1000 * time.Hour: "41d",
	} {
		if got := Age(d); got != want {
			t.Errorf("%v is %q instead of %q", d, got, want)
		}
	}
}

// Options stand anywhere; behind "--" everything is a word.
func TestWordsAndOptions(t *testing.T) {
	t.Parallel()
	u := Usage{"tool", "Usage:\n  tool show [-x] [WORD]\n      more of it\n  tool showing\n      another\n"}
	for line, want := range map[string]struct {
		words []string
		x     bool
		end   int
	}{
		"":           {nil, false, Goes},
		"a":          {[]string{"a"}, false, Goes},
		"-x a b":     {[]string{"a", "b"}, true, Goes},
		"a -x b":     {[]string{"a", "b"}, true, Goes},
		"a b -x":     {[]string{"a", "b"}, true, Goes},
		"-- -x b":    {[]string{"-x", "b"}, false, Goes},
		"a -- -x":    {[]string{"a", "-x"}, false, Goes},
		"a b c":      {nil, false, 2},
		"a -x --y":   {nil, true, 2},
		"a --help":   {nil, false, 0},
		"-x -h a -y": {nil, true, 0},
	} {
		var stdout, stderr bytes.Buffer
		flags := flag.NewFlagSet("tool", flag.ContinueOnError)
		x := flags.Bool("x", false, "cross")
		words, end := u.Parse("show", flags, strings.Fields(line), 2, &stdout, &stderr)
		if !slices.Equal(words, want.words) || *x != want.x || end != want.end {
			t.Errorf("%q: %q, %t, %d", line, words, *x, end)
		}
		if end == 0 && stdout.String() != "Usage:\n  tool show [-x] [WORD]\n      more of it\n\nOptions:\n  -x  cross\n" {
			t.Errorf("help is\n%s", stdout.String())
		}
		if (end == 2) != (stderr.Len() > 0) {
			t.Errorf("%q: standard error is %q", line, stderr.String())
		}
	}
}

// A table that is narrow leaves out columns, then shortens, and says so; one that is not is whole.
func TestATableFits(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]string{
		0:  "POD              IP        STATE\ndefault/web-0-x  10.0.0.1  ready\nä                -         gone\n",
		32: "POD              IP        STATE\ndefault/web-0-x  10.0.0.1  ready\nä                -         gone\n",
		31: "POD              IP\ndefault/web-0-x  10.0.0.1\nä                -\n",
		23: "POD            IP\ndefaul…eb-0-x  10.0.0.1\nä              -\n",
		5:  "POD           IP\ndefau…eb-0-x  10.0.0.1\nä             -\n",
	} {
		table := &Table{Columns: []Column{{Head: "POD", Long: true}, {Head: "IP"}, {Head: "STATE", Spare: 1}}}
		table.Add("default/web-0-x", "10.0.0.1", "ready")
		table.Add("ä", "-", "gone")
		var text bytes.Buffer
		missing := table.Write(&text, width)
		if text.String() != want || missing != (width > 0 && width < 32) {
			t.Errorf("with %d columns, missing %t:\n%s", width, missing, text.String())
		}
	}
}

func TestWarningsForAPerson(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	l := Logger("tool", &text).With("path", "/run/x")
	l.Info("nothing")
	l.Error("state file lost", slog.Int("generation", 7), "cause", "a\nb")
	if want := "tool: note: state file lost (path /run/x, generation 7, cause a b)\n"; text.String() != want {
		t.Errorf("%q", text.String())
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]string{0: "one  two, threé averylongword", 9: "one two,\n  threé\n  averylongword",
		8: "one two,\n  threé\n  averylongword", 80: "one two, threé averylongword"} {
		if got := Wrap("one  two, threé averylongword", width, "  "); got != want {
			t.Errorf("%d: %q", width, got)
		}
	}
}
