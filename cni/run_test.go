package cni_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// Run owns the process: its environment, its streams, its exit code. So the tests start this binary again as
// a plugin, whose ADD does what the variable says.
const (
	behaviour = "CNI_TEST_ADD"
	logFile   = "CNI_TEST_LOG"
)

func TestMain(m *testing.M) {
	if how, child := os.LookupEnv(behaviour); child {
		os.Exit(plugin(how).Run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func plugin(how string) *cni.Plugin {
	done := func(_ context.Context, c *cni.Command) error {
		c.Note("answer", 42)
		return nil
	}
	return &cni.Plugin{
		Limits: limits[how],
		Name:   "test-plugin", Version: "v1.2.3", Codes: table, Usage: "Usage: test-plugin show",
		OpenLog: func(string, string) (*slog.Logger, io.Closer, error) {
			if os.Getenv(logFile) == "" {
				return slog.New(slog.DiscardHandler), io.NopCloser(nil), errors.New("no log was asked for")
			}
			f, err := os.OpenFile(os.Getenv(logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			return slog.New(slog.NewTextHandler(f, nil)), f, err
		},
		Add: func(ctx context.Context, c *cni.Command) (types.Result, error) { return adds[how](ctx, c) },
		Del: done, Check: done, GC: done, Status: statusOf(how),
		Queries: map[string]func(context.Context, []byte) (any, error){
			"ASK": func(_ context.Context, stdin []byte) (any, error) {
				if how == "fails" {
					return nil, fmt.Errorf("ask: %w", errMaster)
				}
				return map[string]string{"heard": string(stdin)}, nil
			},
		},
		Operator: func(_ context.Context, args []string, stdout, _ io.Writer) int {
			_, _ = fmt.Fprintln(stdout, args)
			return 7
		},
	}
}

func statusOf(how string) func(context.Context, *cni.Command) error {
	if s := statuses[how]; s != nil {
		return s
	}
	return func(context.Context, *cni.Command) error { return cni.Unavailable(errMaster, nil) }
}

// limits are those of calls that do not end, or late, or that can be told to end from the start.
var limits = map[string]cni.Limits{
	"waits for its end":   {Command: time.Minute, Undo: time.Minute},
	"is told to end":      {Command: time.Minute, Undo: time.Minute},
	"waits, and is quick": {Command: time.Minute, Undo: time.Minute, Quick: time.Hour},
	"hangs": {Command: 50 * time.Millisecond, Undo: 50 * time.Millisecond, Status: 30 * time.Millisecond,
		EndOfStatus: 40 * time.Millisecond},
	"ends at its deadline":    {Command: 50 * time.Millisecond, Undo: time.Minute},
	"undoes for longer still": {Command: 50 * time.Millisecond, Undo: time.Minute},
}

// statuses are what STATUS does, if it is not to fail at once.
var statuses = map[string]func(context.Context, *cni.Command) error{
	"waits": func(ctx context.Context, _ *cni.Command) error {
		until, ok := ctx.Deadline()
		return fmt.Errorf("bounded %t, %t", ok, time.Until(until) < 5*time.Second)
	},
	"hangs": func(context.Context, *cni.Command) error { select {} },
}

var good = &types100.Result{CNIVersion: "1.1.0",
	IPs: []*types100.IPConfig{{Address: net.IPNet{IP: net.IPv4(10, 240, 1, 1), Mask: net.CIDRMask(16, 32)}}}}

// oddResult is a result that fails on its way out.
type oddResult struct {
	types.Result
	convert, print error
}

func (r oddResult) GetAsVersion(string) (types.Result, error) { return r, r.convert }
func (r oddResult) PrintTo(w io.Writer) error {
	_, _ = io.WriteString(w, `{"half":`)
	return r.print
}

var adds = map[string]func(context.Context, *cni.Command) (types.Result, error){
	"succeeds": func(_ context.Context, c *cni.Command) (types.Result, error) { c.Note("answer", 42); return good, nil },
	"panics":   func(context.Context, *cni.Command) (types.Result, error) { panic("out of luck") },
	"panics with a nil map": func(context.Context, *cni.Command) (types.Result, error) {
		maps.Copy(map[string]int(nil), map[string]int{"x": 1})
		return good, nil
	},
	"fails, and so does its undo": func(context.Context, *cni.Command) (types.Result, error) {
		return nil, errors.Join(fmt.Errorf("add pod: %w", errMaster), fmt.Errorf("undo: %w", ipamError))
	},
	"fails with a result": func(context.Context, *cni.Command) (types.Result, error) { return good, errExists },
	"returns nothing":     func(context.Context, *cni.Command) (types.Result, error) { return nil, nil }, //nolint:nilnil // the defect
	"cannot be converted": func(context.Context, *cni.Command) (types.Result, error) { return oddResult{convert: errUnknown}, nil },
	"cannot be printed":   func(context.Context, *cni.Command) (types.Result, error) { return oddResult{print: errUnknown}, nil },
	"waits for its end": func(ctx context.Context, _ *cni.Command) (types.Result, error) {
		fmt.Fprintln(os.Stderr, "waiting")
		<-ctx.Done()
		return nil, ctx.Err()
	},
	"waits, and is quick": func(ctx context.Context, _ *cni.Command) (types.Result, error) {
		fmt.Fprintln(os.Stderr, "waiting")
		<-ctx.Done()
		return nil, ctx.Err()
	},
	"hangs": func(context.Context, *cni.Command) (types.Result, error) { select {} },
	"ends at its deadline": func(ctx context.Context, _ *cni.Command) (types.Result, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	},
	"undoes for longer still": func(ctx context.Context, _ *cni.Command) (types.Result, error) {
		<-ctx.Done()
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return nil, errors.Join(errMaster, undo.Err())
	},
	"fails in several lines": func(context.Context, *cni.Command) (types.Result, error) { return nil, errors.New("a\n\"b\"\x00\xff") },
}

// call is one execution of the plugin.
type call struct {
	*testing.T
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	log            string
}

func newCall(t *testing.T, add string, env ...string) *call {
	t.Helper()
	c := &call{T: t, cmd: exec.CommandContext(t.Context(), os.Args[0]), log: filepath.Join(t.TempDir(), "log")}
	// The race detector would wait a second at each end.
	c.cmd.Env = append([]string{behaviour + "=" + add, logFile + "=" + c.log, "GORACE=atexit_sleep_ms=0",
		"CNI_COMMAND=ADD", "CNI_CONTAINERID=c1", "CNI_NETNS=/a/namespace", "CNI_NETNS_OVERRIDE=1", "CNI_IFNAME=eth0", "CNI_PATH=/opt/cni/bin"},
		env...)
	c.cmd.Stdin = strings.NewReader(`{"cniVersion":"1.1.0","name":"azure"}`)
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	return c
}

// exit runs the plugin to its end; a signal counts as -1.
func (c *call) exit() int {
	c.Helper()
	err := c.cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.Fatal(err)
	}
	return c.cmd.ProcessState.ExitCode()
}

// document decodes standard output, which has to be exactly one JSON document.
func (c *call) document(into any) {
	c.Helper()
	if err := json.Unmarshal(c.stdout.Bytes(), into); err != nil {
		c.Errorf("standard output is not one JSON document: %v: %q", err, c.stdout.String())
	}
}

func (c *call) logged() string {
	c.Helper()
	b, err := os.ReadFile(c.log)
	if err != nil {
		c.Error(err)
	}
	return string(b)
}

func TestEveryFailureIsOneDocumentAndAnExitCode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		add     string
		env     []string
		stdin   string
		code    uint
		message string
		details string
	}{
		"a panic is a defect": {add: "panics", code: 999, message: "defect in test-plugin: panic: out of luck", details: "run_test.go"},
		"a runtime error, too": {add: "panics with a nil map", code: 999,
			message: "assignment to entry in nil map", details: "run_test.go"},
		"no result is a defect": {add: "returns nothing", code: 999, message: "nil pointer", details: "goroutine"},
		"an error, and one of the undo": {add: "fails, and so does its undo", code: 102,
			message: "add pod: master interface not usable\nundo: no free address; assign more"},
		"an error with a result":     {add: "fails with a result", code: 103, message: "endpoint exists already", details: "DEL it first"},
		"a result of no version":     {add: "cannot be converted", code: 999, message: "convert the result to CNI version 1.1.0: something else"},
		"half a result":              {add: "cannot be printed", code: 999, message: "encode the result: something else"},
		"an error that is no text":   {add: "fails in several lines", code: 999, message: "a\n\"b\"\x00\ufffd"},
		"an unknown command":         {add: "succeeds", env: []string{"CNI_COMMAND=FLY"}, code: 4, message: "unknown CNI_COMMAND: FLY"},
		"no container ID":            {add: "succeeds", env: []string{"CNI_CONTAINERID="}, code: 4, message: "CNI_CONTAINERID"},
		"a container ID with a path": {add: "succeeds", env: []string{"CNI_CONTAINERID=../x"}, code: 4},
		"an interface with a path":   {add: "succeeds", env: []string{"CNI_IFNAME=a/b"}, code: 4},
		"no configuration":           {add: "succeeds", stdin: " ", code: 6},
		"half a configuration":       {add: "succeeds", stdin: `{"name":`, code: 6},
		"a version of the future": {add: "succeeds", stdin: `{"name":"azure","cniVersion":"9.0.0"}`, code: 1,
			message: "incompatible CNI versions"},
		"no name":                  {add: "succeeds", stdin: `{"cniVersion":"1.1.0"}`, code: 7, message: "missing network name"},
		"CHECK before 0.4.0":       {env: []string{"CNI_COMMAND=CHECK"}, stdin: `{"name":"azure","cniVersion":"0.3.1"}`, code: 1},
		"GC before 1.1.0":          {env: []string{"CNI_COMMAND=GC"}, stdin: `{"name":"azure","cniVersion":"1.0.0"}`, code: 1},
		"STATUS that is not ready": {env: []string{"CNI_COMMAND=STATUS"}, code: 50, message: "not ready: master interface not usable"},
		"no log either":            {add: "panics", env: []string{logFile + "="}, code: 999},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCall(t, test.add, test.env...)
			if test.stdin != "" {
				c.cmd.Stdin = strings.NewReader(test.stdin)
			}
			c.fails(test.code, test.message, test.details)
			if name == "no log either" {
				return
			}
			if text := c.logged(); strings.Count(text, "msg=failed") != 1 || !strings.Contains(text, fmt.Sprintf("code=%d", test.code)) {
				t.Errorf("the log is %q", text)
			}
		})
	}
}

// fails runs the call and expects exit code 1 and one document with this error.
func (c *call) fails(code uint, message, details string) {
	c.Helper()
	if exit := c.exit(); exit != 1 {
		c.Errorf("exit code %d", exit)
	}
	var e types.Error
	c.document(&e)
	if e.Code != code || !strings.Contains(e.Msg, message) || !strings.Contains(e.Details, details) {
		c.Errorf("the error is %+v", e)
	}
}

func TestSuccessIsTheResultInTheVersionThatWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{"", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		t.Run(asked, func(t *testing.T) {
			t.Parallel()
			version := cmp.Or(asked, "0.1.0") // who asks for none is of before the field
			c := newCall(t, "succeeds")
			c.cmd.Stdin = strings.NewReader(`{"cniVersion":"` + asked + `","name":"azure"}`)
			if exit := c.exit(); exit != 0 {
				t.Errorf("exit code %d", exit)
			}
			var result struct{ CNIVersion string }
			if c.document(&result); result.CNIVersion != version {
				t.Errorf("the result has version %q", result.CNIVersion)
			}
			if text := c.logged(); strings.Count(text, "\n") != 1 ||
				!strings.Contains(text, "msg=done command=ADD containerID=c1 ifName=eth0 answer=42 duration=") {
				t.Errorf("the log is %q", text)
			}
		})
	}
}

func TestCommandsWithoutAResultPrintNothing(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"DEL", "CHECK", "GC"} {
		c := newCall(t, "", "CNI_COMMAND="+command)
		if exit := c.exit(); exit != 0 || c.stdout.Len() != 0 {
			t.Errorf("%s: exit code %d, %q", command, exit, c.stdout.String())
		}
	}
	c := newCall(t, "", "CNI_COMMAND=VERSION")
	exit := c.exit()
	var v struct{ SupportedVersions []string }
	if c.document(&v); exit != 0 || len(v.SupportedVersions) != 7 {
		t.Errorf("VERSION: exit code %d, %q", exit, c.stdout.String())
	}
}

func pipeThatNobodyReads() (*os.File, error) {
	r, w, err := os.Pipe()
	return w, errors.Join(err, r.Close())
}

// The result did not arrive: the runtime must not take that for a success, and it stands in the log.
func TestStandardOutputThatTakesNothingIsAFailure(t *testing.T) {
	t.Parallel()
	for _, add := range []string{"succeeds", "panics"} {
		for name, open := range deafOutputs {
			t.Run(add+", "+name, func(t *testing.T) {
				t.Parallel()
				stdout, err := open()
				if err != nil {
					t.Fatal(err)
				}
				defer stdout.Close()
				c := newCall(t, add)
				c.cmd.Stdout = stdout
				if exit := c.exit(); exit != 1 {
					t.Errorf("exit code %d: %v", exit, c.cmd.ProcessState)
				}
				if text := c.logged(); strings.Count(text, "msg=failed") != 1 {
					t.Errorf("the log is %q", text)
				}
				if add == "panics" && !strings.Contains(c.stderr.String(), "out of luck") {
					t.Errorf("standard error is %q", c.stderr.String())
				}
			})
		}
	}
}

// A question that is none of the protocol's has one document as its answer, too, and a failure an exit code.
func TestAQueryIsAnsweredByOneDocument(t *testing.T) {
	t.Parallel()
	var answer struct{ Heard string }
	c := newCall(t, "answers", "CNI_COMMAND=ASK")
	c.cmd.Stdin = strings.NewReader("a configuration")
	exit := c.exit()
	if c.document(&answer); exit != 0 || answer.Heard != "a configuration" {
		t.Errorf("exit %d, and %+v", exit, answer)
	}
	newCall(t, "fails", "CNI_COMMAND=ASK").fails(102, "ask: master interface not usable", "")
	for name, open := range deafOutputs {
		stdout, err := open()
		if err != nil {
			t.Fatal(err)
		}
		c := newCall(t, "answers", "CNI_COMMAND=ASK")
		c.cmd.Stdout = stdout
		if exit := c.exit(); exit != 1 || !strings.Contains(c.stderr.String(), `"code":`) {
			t.Errorf("%s: %v, %s", name, c.cmd.ProcessState, c.stderr.String())
		}
		_ = stdout.Close()
	}
}

// Who asks may leave standard input open, and there is an end of waiting for it all the same.
func TestAQueryDoesNotWaitForEverForStandardInput(t *testing.T) {
	t.Parallel()
	c := newCall(t, "hangs", "CNI_COMMAND=ASK")
	c.cmd.Stdin = nil
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c.fails(11, "standard input is open", "close standard input")
}

// Whatever is stuck, STATUS answers within five seconds: it waits for less, and is given up if it does not come back.
func TestStatusDoesNotHang(t *testing.T) {
	t.Parallel()
	for how, want := range map[string]string{"waits": "bounded true, true", "hangs": "test-plugin hangs: it did not end in 70ms"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := newCall(t, how, "CNI_COMMAND=STATUS")
			var said types.Error
			if exit := c.exit(); exit != 1 {
				t.Errorf("exit %d", exit)
			}
			c.document(&said)
			if !strings.Contains(said.Msg, want) || how == "hangs" && said.Code != 50 {
				t.Errorf("STATUS says %+v", said)
			}
		})
	}
}

// A command that does not come back although its deadline has passed, and there was time to undo, is given up: the
// runtime gets its one document, and the process ends. Who comes back in that time says itself what was wrong.
func TestACommandThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	for how, want := range map[string]struct {
		code             uint
		message, details string
	}{
		"hangs":                   {11, "test-plugin hangs: it did not end in 100ms", "azure-vnet doctor says what is stuck"},
		"ends at its deadline":    {11, "context deadline exceeded", ""},
		"undoes for longer still": {102, "master interface not usable", ""},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := newCall(t, how)
			c.fails(want.code, want.message, want.details)
			if how == "hangs" {
				return // what hangs may be the log
			}
			if text := c.logged(); !strings.Contains(text, "level=ERROR msg=failed") {
				t.Errorf("nobody stopped it, and the log is %q", text)
			}
		})
	}
}

// Standard input that stays open is what a runtime did wrong.
func TestACommandWithoutItsConfigurationIsGivenUp(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	c := newCall(t, "hangs")
	c.cmd.Stdin = r
	c.fails(11, "test-plugin hangs", "the runtime has to close standard input behind the configuration")
}

func TestAPersonGetsHelp(t *testing.T) {
	t.Parallel()
	const usage = "test-plugin v1.2.3\nUsage: test-plugin show\nAs a CNI plugin it is executed with CNI_COMMAND set and the network " +
		"configuration on standard input.\n"
	for args, test := range map[string]struct {
		exit           int
		stdout, stderr string
	}{
		"":          {exit: 2, stderr: usage}, // a runtime that forgot CNI_COMMAND must not take it for a success
		"--help":    {stdout: usage},
		"-h":        {stdout: usage},
		"--version": {stdout: "test-plugin v1.2.3\nimplementation: 2, the successor of the classic plugins (v1.x)\n"},
		"version":   {stdout: "test-plugin v1.2.3\nimplementation: 2, the successor of the classic plugins (v1.x)\n"},
		"show -o":   {exit: 7, stdout: "[show -o]\n"},
	} {
		t.Run("test-plugin "+args, func(t *testing.T) {
			t.Parallel()
			c := newCall(t, "", "CNI_COMMAND=")
			c.cmd.Args = append(c.cmd.Args, strings.Fields(args)...)
			if exit := c.exit(); exit != test.exit || c.stdout.String() != test.stdout || c.stderr.String() != test.stderr {
				t.Errorf("exit code %d, %q, %q", exit, c.stdout.String(), c.stderr.String())
			}
		})
	}
}
