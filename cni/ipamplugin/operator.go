package ipamplugin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/console"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/platform"
)

const usage = `CNI IPAM plugin for Azure virtual networks.

Usage:
  azure-vnet-ipam show [-o json|wide] [--config FILE] [--data-dir DIR]
      pools, and who holds which address
  azure-vnet-ipam refresh [--config FILE] [--data-dir DIR]
      ask the source of addresses now
  azure-vnet-ipam release ADDRESS|CONTAINER [--force]
      [--config FILE] [--data-dir DIR]
      free what somebody holds who is gone
  azure-vnet-ipam doctor [-o json] [--config FILE] [--data-dir DIR]
      what keeps containers from getting addresses, and what to do
  azure-vnet-ipam --version
`

// Doctor looks for what is wrong with addresses. output is table or json; config and dir, or "", are options. It
// returns the exit code.
type Doctor func(ctx context.Context, output, config, dir string, stdout, stderr io.Writer) int

// options are those of the operator commands.
type options struct {
	output, dir, config string
	word                string
	force               bool
	logger              *slog.Logger
}

// Operator serves a person. Exit codes: 0 all is well, 1 a failure, 2 wrong usage; doctor has its own.
func Operator(doctor Doctor) func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		o, end := parseOptions(args, stdout, stderr)
		if end != console.Goes {
			return end
		}
		ctx, cancel := context.WithTimeout(ctx, cni.Deadline)
		defer cancel()
		if args[0] == "doctor" {
			return doctor(ctx, o.output, o.config, o.dir, stdout, stderr)
		}
		if err := run(ctx, args[0], o, stdout); err != nil {
			_, _ = fmt.Fprintf(stderr, "%s: %v\n", Name, remedied(err, args[0]))
			return 1
		}
		return 0
	}
}

// parseOptions reads a command line. If that ends the command, end is the exit code, and all is said; else it is
// console.Goes.
func parseOptions(args []string, stdout, stderr io.Writer) (o options, end int) {
	help := console.Usage{Program: Name, Text: usage}
	flags := flag.NewFlagSet(Name, flag.ContinueOnError)
	flags.StringVar(&o.config, "config", "",
		"`FILE` with the configuration, or list, that counts; else those of "+platform.ConfDir)
	flags.StringVar(&o.dir, "data-dir", "", "`DIR` of the state; else the configuration's, or "+platform.DefaultDataDir)
	words, outputs := 0, []string{"table", "json", "wide"}
	o.output = outputs[0]
	switch command := args[0]; command {
	case "show":
		flags.StringVar(&o.output, "o", o.output, "`FORMAT`: "+strings.Join(outputs, ", "))
	case "doctor":
		outputs = []string{"table", "json"}
		flags.StringVar(&o.output, "o", o.output, "`FORMAT`: "+strings.Join(outputs, ", "))
	case "refresh":
	case "release":
		words = 1
		flags.BoolVar(&o.force, "force", false, "also what a container of this node has")
	case "cleanup", "repair", "host", "metrics", "bundle":
		return o, help.Misused(stderr, "",
			fmt.Sprintf("there is no command %q here; it is azure-vnet's: %s %s", command,
				filepath.Join(filepath.Dir(self()), "azure-vnet"), command))
	default:
		return o, help.Misused(stderr, "", fmt.Sprintf("there is no command %q", command))
	}
	given, end := help.Parse(args[0], flags, args[1:], words, stdout, stderr)
	switch {
	case end != console.Goes:
		return o, end
	case len(given) < words:
		return o, help.Misused(stderr, args[0], "an address or a container is missing")
	case !slices.Contains(outputs, o.output):
		return o, help.Misused(stderr, args[0], fmt.Sprintf("-o %s: there is %s", o.output, strings.Join(outputs, ", ")))
	case words > 0:
		o.word = given[0]
	}
	o.logger = console.Logger(Name, stderr)
	return o, console.Goes
}

// self is this program's path.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return "/opt/cni/bin/" + Name
	}
	return path
}

func run(ctx context.Context, command string, o options, stdout io.Writer) error {
	ours := func(s cni.Section) bool { return s.IPAM == Name }
	dirs, err := cni.Folder(o.dir, o.config, platform.ConfDir, platform.DefaultDataDir, ours)
	if err != nil {
		return err
	}
	if len(dirs) > 1 {
		o.logger.Warn("there are several configurations with a dataDir each; this is about the first, --data-dir names "+
			"another one", "dataDir", dirs)
	}
	o.dir = dirs[0]
	switch command {
	case "refresh":
		return refresh(ctx, o, stdout)
	case "release":
		return release(ctx, o, stdout)
	}
	s, err := OpenStore(o.dir, o.logger)
	if err != nil {
		return err
	}
	return s.View(ctx, func(state *ipam.State) error { return show(o, state, stdout) })
}

// remedied adds what a person can do.
func remedied(err error, command string) error {
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() > 0 { // Windows has none
		return fmt.Errorf("%w; remedy: run it as root: sudo %s %s", err, self(), command)
	}
	if e := cni.ErrorOf(err, codes); e.Details != "" && command == "refresh" {
		return fmt.Errorf("%w; remedy: %s", err, e.Details)
	}
	return err
}
