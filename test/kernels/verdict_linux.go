package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// What the guest writes at the beginning of a line.
const (
	markKernel = "kernels: kernel "
	markBegin  = "kernels: begin "
	markEnd    = "kernels: end " // then 0, or what the test binary ended with
	markFailed = "kernels: failed: "
	markDone   = "kernels: done"
)

// report is what a guest said.
type report struct {
	release string
	runs    []*result
	failed  string
	done    bool
}

// result is how a run ended, and what go test said of each test and subtest.
type result struct {
	name, end string
	tests     map[string]string // PASS, FAIL or SKIP
}

var outcome = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \(`)

// listen reads what a guest says, to its end; each line is passed on.
func listen(r io.Reader, pass func(line string)) report {
	var rep report
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		pass(line)
		rep.add(line)
	}
	return rep
}

func (r *report) add(line string) {
	current := &result{}
	if len(r.runs) > 0 {
		current = r.runs[len(r.runs)-1]
	}
	if m := outcome.FindStringSubmatch(line); m != nil && current.tests != nil {
		current.tests[m[2]] = m[1]
	}
	if rest, ok := strings.CutPrefix(line, markKernel); ok {
		r.release = rest
	}
	if rest, ok := strings.CutPrefix(line, markBegin); ok {
		r.runs = append(r.runs, &result{name: rest, tests: map[string]string{}})
	}
	if rest, ok := strings.CutPrefix(line, markEnd); ok {
		current.end = rest
	}
	if rest, ok := strings.CutPrefix(line, markFailed); ok {
		r.failed = rest
	}
	r.done = r.done || line == markDone
}

// faults says what is wrong with what a guest said. Nothing is wrong only if it came to its end on the right kernel,
// each run ended well, and every test that was to run is there, passed, and was not skipped.
func (k kernel) faults(r report) (list []string) {
	fault := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if !strings.HasPrefix(r.release, k.series+".") {
		fault("the kernel is %q", r.release)
	}
	if r.failed != "" {
		fault("the guest failed: %s", r.failed)
	}
	for i, want := range k.runs {
		if i >= len(r.runs) || r.runs[i].name != want.name {
			fault("%s: did not begin", want.name)
			continue
		}
		got := r.runs[i]
		switch {
		case got.end == "":
			fault("%s: did not end", want.name)
		case got.end != "0":
			fault("%s: %s", want.name, got.end)
		}
		for _, name := range slices.Sorted(maps.Keys(got.tests)) {
			if got.tests[name] != "PASS" {
				fault("%s: %s %s", want.name, got.tests[name], name)
			}
		}
		for _, pattern := range want.tests {
			if _, left := k.not[strings.Split(pattern, "/")[0]]; left {
				continue // as a whole, for a reason that is told
			}
			if !slices.ContainsFunc(slices.Collect(maps.Keys(got.tests)), func(name string) bool { return matches(pattern, name) }) {
				fault("%s: nothing like %s was run", want.name, pattern)
			}
		}
	}
	if !r.done {
		fault("the guest did not come to its end")
	}
	return list
}

// anchored is a pattern for go test whose first element is a whole name.
func anchored(pattern string) string {
	test, sub, ok := strings.Cut(pattern, "/")
	if ok {
		sub = "/" + sub
	}
	return "^" + test + "$" + sub
}

// matches says whether a test or subtest is one of a pattern's, all of whose elements count.
func matches(pattern, name string) bool {
	patterns, names := strings.Split(anchored(pattern), "/"), strings.Split(name, "/")
	if len(names) < len(patterns) {
		return false
	}
	for i, p := range patterns {
		if !regexp.MustCompile(p).MatchString(names[i]) {
			return false
		}
	}
	return true
}
