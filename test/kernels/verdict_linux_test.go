package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var example = kernel{name: "6.1", series: "6.1", runs: []run{
	{name: "one", tests: []string{"TestA", "TestB/dual"}}, {name: "two", tests: []string{"TestA"}},
}}

const good = `kernels: kernel 6.1.0-56-cloud-amd64
kernels: begin one
--- PASS: TestA (0.01s)
--- PASS: TestB (0.01s)
    --- PASS: TestB/bridge_dual (1.01s)
kernels: end 0
kernels: begin two
--- PASS: TestA (0.01s)
kernels: end 0
kernels: done
`

// Only what a guest says is believed: each thing that is missing in it, or wrong, is a fault.
func TestWhatAGuestMustSay(t *testing.T) {
	t.Parallel()
	judge := func(text string) []string { return example.faults(listen(strings.NewReader(text), func(string) {})) }
	if faults := judge(strings.ReplaceAll(good, "\n", "\r\n")); len(faults) > 0 { // as a terminal writes it
		t.Errorf("nothing is wrong, but %q", faults)
	}
	for name, c := range map[string]struct{ old, now, fault string }{
		"a failure":          {"--- PASS: TestA (", "--- FAIL: TestA (", "FAIL TestA"},
		"a failed subtest":   {"--- PASS: TestB/bridge_dual", "--- FAIL: TestB/bridge_dual", "FAIL TestB/bridge_dual"},
		"a skipped test":     {"    --- PASS: TestB/bridge_dual", "    --- SKIP: TestB/bridge_dual", "SKIP TestB/bridge_dual"},
		"no such subtest":    {"    --- PASS: TestB/bridge_dual (1.01s)\n", "", "nothing like TestB/dual"},
		"no such test":       {"kernels: begin two\n--- PASS: TestA (0.01s)\n", "kernels: begin two\n", "nothing like TestA"},
		"another test":       {"begin two\n--- PASS: TestA (", "begin two\n--- PASS: TestAll (", "nothing like TestA"},
		"an exit status":     {"kernels: end 0\nkernels: done", "kernels: end exit status 2\nkernels: done", "two: exit status 2"},
		"a run is missing":   {"kernels: begin two\n--- PASS: TestA (0.01s)\nkernels: end 0\n", "", "two: did not begin"},
		"a run does not end": {"kernels: end 0\nkernels: done", "kernels: done", "two: did not end"},
		"a panic":            {"kernels: done\n", "", "did not come to its end"},
		"another kernel":     {"kernel 6.1.0", "kernel 6.12.0", "the kernel is"},
		"no kernel":          {good, "", "the kernel is"},
		"a guest that fails": {"kernels: begin one", "kernels: failed: modprobe\nkernels: begin one", "the guest failed: modprobe"},
	} {
		faults := strings.Join(judge(strings.Replace(good, c.old, c.now, 1)), "; ")
		if !strings.Contains(faults, c.fault) {
			t.Errorf("%s: %q instead of %q", name, faults, c.fault)
		}
	}
}

// A guest that hangs is ended, with its qemu, and what it said until then is known.
func TestAGuestThatHangsIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "qemu-system-x86_64"), []byte("#!/bin/sh\necho 'kernels: kernel 6.1.0'\nexec sleep 600\n"),
		0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	late := errors.New("late")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var rep report
	began := time.Now()
	err := boot(ctx, "tcg", "image", "root", "console", func(r io.Reader) {
		rep = listen(r, func(string) { cancel(late) })
	})
	if !errors.Is(err, late) || rep.release != "6.1.0" || time.Since(began) > time.Minute {
		t.Errorf("after %v: %v, %+v", time.Since(began), err, rep)
	}
}

// Each pattern of the table has to be one of go test's.
func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"TestA", "TestA", true}, {"TestA", "TestAB", false}, {"TestA", "TestA/sub", true}, {"TestA/su", "TestA", false},
		{"TestA/su", "TestA/sub", true},
		{"TestServices/(bridge|tunnel)_.*_$", "TestServices/tunnel_nft_IPv6=true_", true},
		{"TestServices/(bridge|tunnel)_.*_$", "TestServices/tunnel_nft_IPv6=true_another_subnet", false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("%s, %s: %t", c.pattern, c.name, got)
		}
	}
}

// Every test of the subset is there, and what is not run is known by name.
func TestTheSubsetIsOfTestsThatThereAre(t *testing.T) {
	t.Parallel()
	others, err := leftOut("../e2e")
	if err != nil {
		t.Fatal(err)
	}
	if len(others) < 10 || slices.Contains(others, "TestServices") || !slices.Contains(others, "TestKilledAnywhere") {
		t.Errorf("left out are %v", others)
	}
	files, err := filepath.Glob("../e2e/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, pattern := range subset {
		name, _, _ := strings.Cut(pattern, "/")
		if !strings.Contains(all.String(), "func "+name+"(t ") {
			t.Errorf("there is no %s", name)
		}
	}
}
