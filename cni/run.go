// Package cni is what the two plugins share of the CNI protocol: the typed network configuration, the
// arguments, the error codes, and Run, which guarantees that standard output carries exactly one JSON
// document whatever happens.
package cni

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// Deadline bounds one command, whatever it waits for. It lies below the time that container runtimes give
// to a sandbox (kubelet's runtimeRequestTimeout is two minutes), so that it is we who clean up.
const Deadline = 90 * time.Second

// Limits bound a command: how long it may take, and how long it then has for undoing what it did. Who asks for STATUS
// has pods waiting, and whatever is stuck is the answer.
type Limits struct {
	Command, Undo       time.Duration
	Status, EndOfStatus time.Duration

	// Quick is how long a command cannot be told to end: until then SIGTERM kills it, as SIGKILL may at any time. To catch
	// signals takes Go five switches between threads, of which each waits for its turn on a busy machine: half of an ADD
	// of azure-vnet-ipam while other pods start.
	Quick time.Duration
}

var usualLimits = Limits{Command: Deadline, Undo: 30 * time.Second, Status: 4 * time.Second,
	EndOfStatus: 500 * time.Millisecond, Quick: time.Second}

// Supported are the versions of the CNI specification that both plugins speak.
var Supported = version.PluginSupports("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

// Command is one call of a plugin.
type Command struct {
	Name string // ADD, DEL, CHECK, GC, STATUS
	*skel.CmdArgs
	Log *slog.Logger // for details; the outcome is logged by Run

	attrs []slog.Attr
}

// Note adds a fact (addresses, mode …) to the one line that is logged about this command.
func (c *Command) Note(key string, value any) { c.attrs = append(c.attrs, slog.Any(key, value)) }

// Plugin is what a binary brings. The functions return Go errors; Codes says which CNI codes they become.
type Plugin struct {
	Name    string // binary name, and that of its log
	Version string
	Codes   []Code
	Limits  Limits // the zero value is the usual ones

	// OpenLog opens the log. It always returns a usable logger; an error says why it is not the one asked for.
	OpenLog func(file, level string) (*slog.Logger, io.Closer, error)

	Add    func(context.Context, *Command) (types.Result, error)
	Del    func(context.Context, *Command) error
	Check  func(context.Context, *Command) error
	GC     func(context.Context, *Command) error
	Status func(context.Context, *Command) error

	// Queries answer values of CNI_COMMAND that are no part of the protocol, with a document; stdin is what there is of a
	// configuration.
	Queries map[string]func(ctx context.Context, stdin []byte) (any, error)

	// Words are a line of --version that other programs look for; "" for none.
	Words string

	// Operator runs a command for a person: the arguments, its output, its exit code. How long it may take is for it to
	// say.
	Operator func(ctx context.Context, args []string, stdout, stderr io.Writer) int
	Usage    string
}

// Run does what the environment and the arguments ask for and returns the exit code.
// Invariant: for a CNI command standard output carries exactly one JSON document, the result or the error
// (VERSION included); a failure never ends with exit code 0.
func (p *Plugin) Run(args []string) int {
	if os.Getenv("CNI_COMMAND") == "" {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		onSignal(cancel)
		return p.person(ctx, args)
	}
	limits := cmp.Or(p.Limits, usualLimits)
	ctx, cancel := context.WithTimeout(context.Background(), limits.Command)
	defer cancel()
	if answer := p.Queries[os.Getenv("CNI_COMMAND")]; answer != nil {
		return p.query(ctx, answer)
	}
	r := &run{plugin: p, ctx: ctx, started: time.Now()}
	r.canBeToldToEnd(cancel, limits.Quick)
	limit, hangs := limits.Command+limits.Undo, types.ErrTryAgainLater
	if os.Getenv("CNI_COMMAND") == "STATUS" {
		limit, hangs = limits.Status+limits.EndOfStatus, codeUnavailable
	}
	watchdog := time.AfterFunc(limit, func() { r.giveUp(hangs, limit) })
	err := r.guarded(r.dispatch)
	watchdog.Stop()
	code := 0
	if err == nil && r.printed != nil && r.said.CompareAndSwap(false, true) {
		if _, werr := Stdout.Write(r.printed); werr != nil {
			// The runtime did not get the result: it must not believe in a success.
			err = types.NewError(types.ErrIOFailure, "write the result to standard output: "+werr.Error(), "")
			code = 1
		}
	} else if err != nil {
		code = 1
		r.fails(err)
	}
	r.report(err)
	return code
}

// query answers one of Queries. Who asks may have no configuration, and leave standard input as it is: only of a pipe
// and a file it is read.
func (p *Plugin) query(ctx context.Context, answer func(context.Context, []byte) (any, error)) int {
	var stdin []byte
	if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeCharDevice == 0 {
		stop := context.AfterFunc(ctx, func() { // nothing can interrupt the read
			printError(types.NewError(types.ErrTryAgainLater,
				p.Name+" hangs: standard input is open, and no configuration came to its end",
				"close standard input, or let it be /dev/null"))
			os.Exit(1)
		})
		stdin, _ = io.ReadAll(os.Stdin)
		stop()
	}
	var text []byte
	value, err := answer(ctx, stdin)
	if err == nil {
		text, err = json.MarshalIndent(value, "", "    ")
	}
	if err == nil {
		_, err = Stdout.Write(append(text, '\n'))
	}
	if err != nil {
		printError(ErrorOf(err, p.Codes))
		return 1
	}
	return 0
}

// canBeToldToEnd has the command end when somebody wants that, if it takes longer than quick.
func (r *run) canBeToldToEnd(cancel context.CancelFunc, quick time.Duration) {
	begin := func() {
		onSignal(func() {
			cancel()
			if !r.read.Load() { // nothing can interrupt a read of standard input, and nothing has been done yet
				r.fails(types.NewError(types.ErrTryAgainLater,
					r.plugin.Name+" was told to end while standard input was open: the configuration had not come to its end", ""))
				os.Exit(1)
			}
		})
	}
	if quick == 0 {
		begin()
		return
	}
	time.AfterFunc(quick, begin)
}

// onSignal calls stop when somebody wants the process to end. It is signal.NotifyContext for less: a tenth of a
// millisecond.
func onSignal(stop func()) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM)
	go func() {
		for range caught {
			stop()
		}
	}()
}

// Call runs a command of the plugin in this process as the program of its name would run it: with its own log, its one
// line there, its codes. The caller has checked the protocol's parameters, which are the same for both. The result is
// as the program would print it.
func (p *Plugin) Call(ctx context.Context, command string, args *skel.CmdArgs) (types.Result, error) {
	r := &run{plugin: p, ctx: ctx, started: time.Now()}
	fn := map[string]func(context.Context, *Command) error{"ADD": r.add, "DEL": p.Del, "CHECK": p.Check, "GC": p.GC,
		"STATUS": p.Status}[command]
	err := r.guarded(func() *types.Error {
		if err := r.wrap(command, fn)(args); err != nil {
			return ErrorOf(err, p.Codes)
		}
		return nil
	})
	r.report(err)
	if err != nil {
		return nil, err
	}
	return r.result, nil
}

// giveUp ends a command that does not come back although its deadline has passed and there was time to
// undo: something in it waits without a limit, on a system call that a kernel does not answer for example.
// The runtime gets its one document; the process ends with its locks.
func (r *run) giveUp(code uint, limit time.Duration) {
	remedy := "azure-vnet doctor says what is stuck"
	if !r.read.Load() {
		remedy = "the runtime has to close standard input behind the configuration"
	}
	r.fails(types.NewError(code, r.plugin.Name+" hangs: it did not end in "+limit.String(), remedy))
	os.Exit(1)
}

// fails prints the error, unless there is a document already: of a command that hung, and came back at that very
// moment.
func (r *run) fails(e *types.Error) {
	if r.said.CompareAndSwap(false, true) {
		printError(e)
	}
}

func printError(e *types.Error) {
	b, err := json.MarshalIndent(e, "", "    ")
	if err != nil {
		b = []byte(`{"code":999,"msg":"an error that cannot be encoded"}`)
	}
	if _, err := Stdout.Write(append(b, '\n')); err != nil {
		_, _ = fmt.Fprintf(Stderr, "%s\n", b) // the only place that is left
	}
}

// implementation is a line of --version that tells these plugins from the classic ones, which have the same names.
const implementation = "implementation: 2, the successor of the classic plugins (v1.x)"

// person serves a call without CNI_COMMAND.
func (p *Plugin) person(ctx context.Context, args []string) int {
	if len(args) == 1 && (args[0] == "--version" || args[0] == "-version" || args[0] == "-v" || args[0] == "version") {
		fmt.Printf("%s %s\n%s\n", p.Name, p.Version, implementation)
		if p.Words != "" {
			fmt.Printf("%s %s\n", p.Words, p.Version)
		}
		return 0
	}
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
		fmt.Print(p.usage())
		return 0
	}
	if len(args) == 0 || p.Operator == nil {
		// Exit 2, not 0: a runtime that forgot CNI_COMMAND must not take this for a success.
		fmt.Fprint(os.Stderr, p.usage())
		return 2
	}
	return p.Operator(ctx, args, os.Stdout, os.Stderr)
}

func (p *Plugin) usage() string {
	return fmt.Sprintf("%s %s\n%s\nAs a CNI plugin it is executed with CNI_COMMAND set and the network configuration on "+
		"standard input.\n", p.Name, p.Version, p.Usage)
}

// run is one CNI command under way.
type run struct {
	plugin  *Plugin
	ctx     context.Context
	started time.Time
	cmd     *Command
	log     *slog.Logger
	closer  io.Closer
	version string       // of the configuration
	result  types.Result // in the version of the configuration
	printed []byte       // the result as it will be printed
	read    atomic.Bool  // the configuration has been read: from now on something may be done
	said    atomic.Bool  // standard output has its document
}

// guarded runs everything that can panic.
func (r *run) guarded(fn func() *types.Error) (err *types.Error) {
	defer func() {
		if p := recover(); p != nil {
			r.result, r.printed = nil, nil
			err = types.NewError(CodeDefect, fmt.Sprintf("defect in %s: panic: %v", r.plugin.Name, p), string(debug.Stack()))
		}
	}()
	return fn()
}

// dispatch lets skel check the protocol and call us.
func (r *run) dispatch() *types.Error {
	p := r.plugin
	funcs := skel.CNIFuncs{
		Add:    r.wrap("ADD", r.addAndPrint),
		Del:    r.wrap("DEL", p.Del),
		Check:  r.wrap("CHECK", p.Check),
		GC:     r.wrap("GC", p.GC),
		Status: r.wrap("STATUS", p.Status),
	}
	return skel.PluginMainFuncsWithError(funcs, Supported, "")
}

// addAndPrint encodes the result, but skel checks the namespace once more afterwards, so writing it is left to Run,
// when nothing can fail any more.
func (r *run) addAndPrint(ctx context.Context, c *Command) error {
	if err := r.add(ctx, c); err != nil {
		return err
	}
	printed, err := encode(r.result)
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	r.printed = printed
	return nil
}

// add runs ADD and keeps the result.
func (r *run) add(ctx context.Context, c *Command) error {
	result, err := r.plugin.Add(ctx, c)
	if err != nil {
		return err
	}
	converted, err := result.GetAsVersion(r.version)
	if err != nil {
		return fmt.Errorf("convert the result to CNI version %s: %w", r.version, err)
	}
	r.result = converted
	return nil
}

func (r *run) wrap(name string, fn func(context.Context, *Command) error) func(*skel.CmdArgs) error {
	return func(args *skel.CmdArgs) error {
		r.read.Store(true)
		var conf head
		_ = unmarshal(args.StdinData, &conf, (*head).usual) // only a hint here; the plugin parses and reports
		r.version = cmp.Or(conf.CNIVersion, "0.1.0")        // what the library takes a configuration without a version for
		if conf.LogFile != "stderr" && !filepath.IsAbs(conf.LogFile) {
			conf.LogFile = "" // would depend on the runtime's working directory; the plugin refuses it
		}
		r.openLog(conf.LogFile, conf.LogLevel)
		r.cmd = &Command{Name: name, CmdArgs: args, Log: r.log.With("command", name, "containerID", args.ContainerID)}
		ctx := r.ctx
		if name == "STATUS" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, cmp.Or(r.plugin.Limits, usualLimits).Status)
			defer cancel()
		}
		if !utf8.ValidString(args.IfName) { // no JSON can name it, neither a result nor a state
			return types.NewError(types.ErrInvalidEnvironmentVariables,
				fmt.Sprintf("CNI_IFNAME=%q is not UTF-8", args.IfName), "")
		}
		if err := fn(ctx, r.cmd); err != nil {
			return ErrorOf(err, r.plugin.Codes)
		}
		return nil
	}
}

func (r *run) openLog(file, level string) {
	log, closer, err := r.plugin.OpenLog(file, level)
	r.log, r.closer = log, closer
	if err != nil {
		log.Warn("the log is not where it was asked for", "error", err)
	}
}

// report writes the one line about this command, and is the only place that logs an error.
func (r *run) report(err *types.Error) {
	if r.log == nil {
		if err == nil {
			return // VERSION
		}
		r.openLog("", "")
	}
	defer func() { _ = r.closer.Close() }()
	attrs := []slog.Attr{slog.String("command", os.Getenv("CNI_COMMAND"))}
	if c := r.cmd; c != nil {
		attrs[0] = slog.String("command", c.Name)
		attrs = append(attrs, slog.String("containerID", c.ContainerID), slog.String("ifName", c.IfName))
		attrs = append(attrs, c.attrs...)
	}
	attrs = append(attrs, slog.Duration("duration", time.Since(r.started).Round(time.Microsecond)))
	if err == nil {
		r.log.LogAttrs(r.ctx, slog.LevelInfo, "done", attrs...)
		return
	}
	attrs = append(attrs, slog.Uint64("code", uint64(err.Code)), slog.String("error", err.Msg))
	if err.Details != "" {
		attrs = append(attrs, slog.String("details", err.Details))
	}
	level := slog.LevelError
	if errors.Is(r.ctx.Err(), context.Canceled) {
		level = slog.LevelWarn // somebody stopped us
	}
	r.log.LogAttrs(context.WithoutCancel(r.ctx), level, "failed", attrs...)
}
