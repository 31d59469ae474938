package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed skipped.txt
var skippedText string

// exception is a pattern of tests that are not run, and why.
type exception struct {
	pattern *regexp.Regexp
	only    string // a word that the cell must have; "" is every cell
	reason  string
}

// free is the word of cells in which nobody enforces network policies.
const free = "free"

// exceptions reads the list: lines of a pattern, optionally behind "WORD: ", and a reason behind " # ".
func exceptions(text string, cell cell, policies bool) (list []exception, err error) {
	s := bufio.NewScanner(strings.NewReader(text))
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, reason, found := strings.Cut(line, " # ")
		if !found {
			return nil, fmt.Errorf("skipped.txt: %q has no reason", line)
		}
		e := exception{reason: strings.TrimSpace(reason)}
		for _, word := range []string{"transparent", "bridge", "tunnel", "iptables", "nftables", "ipv4", "dual", free} {
			if rest, ok := strings.CutPrefix(pattern, word+": "); ok {
				e.only, pattern = word, rest
			}
		}
		if e.pattern, err = regexp.Compile(strings.TrimSpace(pattern)); err != nil {
			return nil, fmt.Errorf("skipped.txt: %w", err)
		}
		if e.only == "" || e.only == cell.mode || e.only == cell.proxy || e.only == cell.family || e.only == free && !policies {
			list = append(list, e)
		}
	}
	return list, s.Err()
}

// verdict is what came of the tests in a cell, by their names; of those that were skipped or failed with the cause behind a colon.
type verdict struct {
	passed, failed, skipped []string
	again                   []string // of those that passed: they failed at first, among many others
}

// spec is one test of ginkgo's report (ginkgo types.SpecReport).
type spec struct {
	ContainerHierarchyTexts []string
	LeafNodeType            string
	LeafNodeText            string
	State                   string
	NumAttempts             int
	Failure                 struct{ Message string }
}

func (s spec) name() string {
	return strings.Join(append(append([]string(nil), s.ContainerHierarchyTexts...), s.LeafNodeText), " ")
}

// few is how many tests may fail among many others, and get a second chance.
const few = 10

// judge runs Kubernetes' tests against the cluster. Those few that fail run again, one after the other: many at once overload a small
// machine, and the tests have deadlines. An error means that there is no verdict.
func (c *control) judge(ctx context.Context, focus string, list []exception, procs int) (verdict, error) {
	v, err := c.round(ctx, "judge", regexp.MustCompile(focus), list, procs)
	if err != nil || len(v.failed) == 0 || len(v.failed) > few {
		return v, err
	}
	var patterns []string
	for _, f := range v.failed {
		name, _, _ := strings.Cut(f, ": failed: ")
		patterns = append(patterns, regexp.QuoteMeta(name)+"$")
	}
	second, err := c.round(ctx, "judge-again", regexp.MustCompile(strings.Join(patterns, "|")), list, 1)
	for _, name := range second.passed {
		v.failed = slices.DeleteFunc(v.failed, func(f string) bool { return strings.HasPrefix(f, name+": failed: ") })
	}
	v.again, v.passed = second.passed, append(v.passed, second.passed...)
	return v, err
}

// round runs the tests in focus once, so many at a time. The log has the name that is given.
func (c *control) round(ctx context.Context, name string, focus *regexp.Regexp, list []exception, procs int) (verdict, error) {
	results := "/var/log/" + name
	args := []string{"ginkgo", "--no-color", "--timeout=2h", fmt.Sprintf("--procs=%d", procs), "--json-report=report.json",
		"--output-dir=" + results, "--focus=" + focus.String()}
	for _, e := range list {
		args = append(args, "--skip="+e.pattern.String())
	}
	args = append(args, "/opt/cluster/e2e.test", "--", "--kubeconfig="+configFile, "--provider=skeleton",
		fmt.Sprintf("--num-nodes=%d", nodes), "--kubectl-path=/opt/cluster/kubectl", "--disable-log-dump")
	if _, err := c.run(ctx, "mkdir", "-p", results); err != nil {
		return verdict{}, err
	}
	log, err := os.Create(c.log(name))
	if err != nil {
		return verdict{}, err
	}
	defer func() { _ = log.Close() }()
	cmd := c.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return verdict{}, err
	}
	if ctx.Err() != nil {
		return verdict{}, context.Cause(ctx)
	}
	b, readErr := os.ReadFile(filepath.Join(c.dir, "upper", results, "report.json"))
	if readErr != nil {
		return verdict{}, errors.Join(err, readErr)
	}
	v, parseErr := read(b, focus, list)
	if parseErr == nil && err != nil && len(v.failed) == 0 {
		parseErr = fmt.Errorf("the tests end with an error, and none of them failed: %w", err)
	}
	return v, parseErr
}

// read reads ginkgo's report: which of the tests in focus passed, and which were not run and why.
func read(report []byte, focus *regexp.Regexp, list []exception) (v verdict, err error) {
	var suites []struct{ SpecReports []spec }
	if err := json.Unmarshal(report, &suites); err != nil {
		return v, fmt.Errorf("ginkgo's report: %w", err)
	}
	used := map[string]bool{}
	for _, suite := range suites {
		for _, s := range suite.SpecReports {
			name := s.name()
			if s.LeafNodeType != "It" {
				if s.State != "passed" {
					v.failed = append(v.failed, s.LeafNodeType+": "+s.Failure.Message)
				}
				continue
			}
			reason, excepted := except(list, name, used)
			if !focus.MatchString(name) {
				continue
			}
			switch {
			case s.State == "passed":
				v.passed = append(v.passed, name)
			case s.State == "skipped" && s.NumAttempts > 0:
				v.skipped = append(v.skipped, name+": it says itself: "+first(s.Failure.Message))
			case excepted:
				v.skipped = append(v.skipped, name+": "+reason)
			default:
				v.failed = append(v.failed, name+": "+s.State+": "+first(s.Failure.Message))
			}
		}
	}
	for _, e := range list {
		if !used[e.pattern.String()] && e.only == "" {
			err = errors.Join(err, fmt.Errorf("skipped.txt: %q is the name of no test", e.pattern))
		}
	}
	if len(v.passed)+len(v.failed) == 0 {
		err = errors.Join(err, errors.New("no test was run"))
	}
	return v, err
}

// first is the first line of a text, or as much of it as helps.
func first(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line[:min(len(line), 200)]
}

func except(list []exception, name string, used map[string]bool) (reason string, found bool) {
	for _, e := range list {
		if e.pattern.MatchString(name) {
			used[e.pattern.String()] = true
			if !found {
				reason, found = e.reason, true
			}
		}
	}
	return reason, found
}
