// Package operator has the commands of azure-vnet for people.
package operator

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
	"github.com/Azure/azure-container-networking/cni/metrics"
	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/doctor"
	"github.com/Azure/azure-container-networking/doctor/networks"
	"github.com/Azure/azure-container-networking/platform"
)

const name = netplugin.Name

const usage = `CNI network plugin for Azure virtual networks.

Usage:
  azure-vnet show [POD] [-n NAMESPACE] [--network NAME] [-o json|wide]
      [--config FILE] [--data-dir DIR]
      networks and pods of this node; all about one pod
  azure-vnet doctor [POD] [--level warning|failure] [--ignore CHECK] [-o json]
      [--config FILE] [--data-dir DIR]
      what is wrong, and what to do
  azure-vnet cleanup [--network NAME] [--classic] [--dry-run] [--yes]
      [--config FILE] [--data-dir DIR]
      take networks away and restore the host
  azure-vnet host release [--config FILE] [--yes] [--data-dir DIR]
      take addresses off the host that are for pods
  azure-vnet host prepare [--dry-run] [--config FILE] [--root DIR]
      write the files that this node needs before its first pod
  azure-vnet host restore [--dry-run] [--root DIR]
      take these files away
  azure-vnet repair [--watch] [--config FILE] [--data-dir DIR]
      put right what an ADD would, without a pod
  azure-vnet metrics [--textfile FILE] [--config FILE] [--data-dir DIR]
      what a monitoring system wants to know, for node_exporter
  azure-vnet bundle [FILE] [--config FILE] [--data-dir DIR]
      one archive for a report of an error
  azure-vnet --version
`

// options are those of the operator commands.
type options struct {
	command                      string // with both words, if it has two
	output, dir, network, config string
	pod, namespace, level        string
	textfile, file, version      string
	root                         string   // of the node's files
	ignore                       []string // checks of doctor
	yes, watch, dryRun, classic  bool
	logger                       *slog.Logger
}

// parseOptions reads a command line. If that ends the command, end is the exit code, and all is said; else it is
// console.Goes.
func parseOptions(args []string, stdout, stderr io.Writer) (o options, end int) {
	help := console.Usage{Program: name, Text: usage}
	command := args[0]
	if command == "host" && len(args) > 1 {
		command, args = command+" "+args[1], args[1:]
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	preparing := command == "host prepare" || command == "host restore" // which have nothing to do with the state
	if command != "host restore" {
		flags.StringVar(&o.config, "config", "",
			"`FILE` with the configuration, or list, that counts; else those of "+doctor.ConfDir)
	}
	if preparing {
		flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
		flags.StringVar(&o.root, "root", "/", "`DIR` where the node's files are, if this is a container")
	} else {
		flags.StringVar(&o.dir, "data-dir", "", "`DIR` of the state; else the configuration's, or "+platform.DefaultDataDir)
	}
	words, outputs := 0, []string{"table"}
	switch command {
	case "host prepare", "host restore":
	case "host release":
		flags.BoolVar(&o.yes, "yes", false, "do not ask")
	case "repair":
		flags.BoolVar(&o.watch, "watch", false, "go on: look again whenever something of the host changes")
	case "show":
		words, outputs = 1, append(outputs, "json", "wide")
		flags.StringVar(&o.namespace, "n", "", "only pods of this `NAMESPACE`")
		flags.StringVar(&o.network, "network", "", "only the network of this `NAME`")
	case "bundle":
		words = 1
	case "metrics":
		flags.StringVar(&o.textfile, "textfile", "", "write it to `FILE`, as a whole")
	case "doctor":
		words, outputs = 1, append(outputs, "json")
		flags.Func("level", "say only what is at least: ok, warning or failure", func(level string) error {
			if o.level = level; !slices.Contains([]string{"ok", "warning", "failure"}, level) {
				return errors.New("it is ok, warning or failure")
			}
			return nil
		})
		flags.Func("ignore", "leave out this check; several times for several", func(check string) error {
			o.ignore = append(o.ignore, check)
			return nil
		})
	case "cleanup":
		flags.StringVar(&o.network, "network", "", "only the network of this `NAME`")
		flags.BoolVar(&o.classic, "classic", false,
			"also what the classic plugin left: bridges, host veths, rules of ebtables")
		flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
		flags.BoolVar(&o.yes, "yes", false, "do not ask")
	default:
		return o, help.Misused(stderr, "", fmt.Sprintf("there is no command %q", command))
	}
	o.command = command
	if o.output = outputs[0]; len(outputs) > 1 {
		flags.StringVar(&o.output, "o", o.output, "`FORMAT`: "+strings.Join(outputs, ", "))
	}
	given, end := help.Parse(command, flags, args[1:], words, stdout, stderr)
	if end != console.Goes {
		return o, end
	}
	if !slices.Contains(outputs, o.output) {
		return o, help.Misused(stderr, command, fmt.Sprintf("-o %s: there is %s", o.output, strings.Join(outputs, ", ")))
	}
	switch {
	case len(given) == 0:
	case command == "bundle":
		o.file = given[0]
	default:
		o.pod = given[0]
	}
	o.logger = console.Logger(name, stderr)
	return o, console.Goes
}

// examined are those of doctor.
func (o options) examined() doctor.Options {
	return doctor.Options{Output: o.output, Dir: o.dir, Config: o.config, Pod: o.pod, Level: o.level, Ignore: o.ignore}
}

// folders are where the state is.
func (o options) folders() ([]string, error) {
	return cni.Folder(o.dir, o.config, doctor.ConfDir, platform.DefaultDataDir,
		func(s cni.Section) bool { return s.Type == name })
}

// Serve lets the plugin have commands for people.
func Serve(p *cni.Plugin) {
	p.Usage = usage
	p.Operator = func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		return operator(ctx, p.Version, args, stdout, stderr)
	}
}

// operator runs a command for a person. Exit netplugin.Codes: 0 all is well, 1 a failure, 2 wrong usage; of doctor 0
// nothing, 1 warnings, 2 failures, 3 that it cannot look.
func operator(ctx context.Context, version string, args []string, stdout, stderr io.Writer) int {
	o, end := parseOptions(args, stdout, stderr)
	if end != console.Goes {
		return end
	}
	o.version = version
	if !o.watch {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cni.Deadline)
		defer cancel()
	}
	return ended(run(ctx, o, stdout), o.command, stderr)
}

// ended says what a command ended with, as far as that has not been said, and is its exit code.
func ended(err error, command string, stderr io.Writer) int {
	if command == "doctor" {
		return doctor.Exit(err, name, stderr)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", name, asRoot(err, command))
		return 1
	}
	return 0
}

// run runs a command whose options are as they should be.
func run(ctx context.Context, o options, stdout io.Writer) error {
	command := o.command
	switch command {
	case "doctor":
		return networks.New(o.examined()).Run(ctx, stdout) // which says itself what is wrong with the folder
	case "host prepare":
		return hostPrepare(ctx, o, stdout)
	case "host restore":
		return hostRestore(ctx, o, stdout)
	}
	dirs, err := o.folders()
	unnamed := o.dir == "" // repair goes on for ever, whatever becomes of the configuration
	switch {
	case command == "repair" && (err == nil || unnamed):
		return repair(ctx, o, stdout)
	case command == "host release" && (err == nil || unnamed):
		return hostRelease(ctx, o, os.Stdin, stdout, "/")
	case err != nil:
		return err
	case command == "bundle":
		return bundle(ctx, o, dirs, stdout)
	case command == "metrics":
		return metrics.Write(ctx, metrics.Options{Options: o.examined(), Version: o.version, Textfile: o.textfile,
			Log: o.logger}, dirs[0], stdout)
	case command == "cleanup":
		return cleanup(ctx, o, dirs, os.Stdin, stdout)
	}
	return show(ctx, o, dirs, stdout)
}

// asRoot adds what helps somebody who may not read the state.
func asRoot(err error, command string) error {
	if !errors.Is(err, fs.ErrPermission) || os.Geteuid() <= 0 { // Windows has none
		return err
	}
	return fmt.Errorf("%w; remedy: run it as root: sudo %s %s", err, filepath.Join(cni.ProgramDir(), name), command)
}
