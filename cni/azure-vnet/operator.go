package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

const usage = `CNI network plugin for Azure virtual networks.

Usage:
  azure-vnet show [-o json] [--data-dir DIR]                   networks and endpoints
  azure-vnet doctor [POD] [-o json] [--level warning] [--ignore CHECK] [--config FILE] [--data-dir DIR]
                                                               what is wrong, and what to do
  azure-vnet cleanup [--network NAME] [--yes] [--data-dir DIR] take networks away and restore the host
  azure-vnet host release [--config FILE] [--yes] [--data-dir DIR]
                                                               take addresses off the host that are for pods
  azure-vnet repair [--watch] [--config FILE] [--data-dir DIR] put right what an ADD would, without a pod
  azure-vnet --version
`

// options are those of the operator commands.
type options struct {
	output, dir, network, config string
	pod, level                   string // doctor's
	ignore                       []string
	yes, watch                   bool
	logger                       *slog.Logger
}

var errUsage = errors.New("wrong usage")

func parseOptions(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = fmt.Fprint(stderr, usage) }
	dir := platform.DefaultDataDir
	o.output = "table"
	switch args[0] {
	case "host":
		if len(args) < 2 || args[1] != "release" {
			flags.Usage()
			return o, errUsage
		}
		args, dir = args[1:], "" // the configuration's
		flags.StringVar(&o.config, "config", "", "configuration, or list of configurations, that says where addresses come from")
		flags.BoolVar(&o.yes, "yes", false, "do not ask")
	case "repair":
		dir = "" // the configuration's
		flags.StringVar(&o.config, "config", "", "configuration, or list of configurations, that says where the state is")
		flags.BoolVar(&o.watch, "watch", false, "go on: look again whenever something of the host changes")
	case "show":
		flags.StringVar(&o.output, "o", o.output, "output: table or json")
	case "doctor":
		dir = "" // the configuration's
		flags.StringVar(&o.output, "o", o.output, "output: table or json")
		flags.StringVar(&o.config, "config", "", "configuration, or list of configurations, to look at")
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
		flags.StringVar(&o.network, "network", "", "only this network")
		flags.BoolVar(&o.yes, "yes", false, "do not ask")
	default:
		flags.Usage()
		return o, errUsage
	}
	flags.StringVar(&o.dir, "data-dir", dir, "folder of the state file")
	if flags.Parse(args[1:]) != nil {
		return o, errUsage
	}
	rest := flags.Args()
	if args[0] == "doctor" && len(rest) > 0 { // the pod may come before options
		o.pod = rest[0]
		if flags.Parse(rest[1:]) != nil {
			return o, errUsage
		}
		rest = flags.Args()
	}
	if len(rest) > 0 || o.output != "table" && o.output != "json" {
		flags.Usage()
		return o, errUsage
	}
	o.logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return o, nil
}

// operator runs a command for a person. Exit codes: 0 all is well, 1 a failure, 2 wrong usage; of doctor 0 nothing, 1 warnings, 2 failures, 3 that it
// cannot look.
func operator(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return 2
	}
	if !o.watch {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cni.Deadline)
		defer cancel()
	}
	switch args[0] {
	case "repair":
		err = repair(ctx, o, stdout)
	case "cleanup":
		err = cleanup(ctx, o, os.Stdin, stdout)
	case "host":
		err = hostRelease(ctx, o, os.Stdin, stdout, "/")
	case "doctor":
		switch err = doctor(ctx, o, stdout); {
		case errors.Is(err, errWarning):
			return 1
		case errors.Is(err, errFailure):
			return 2
		case errors.Is(err, errBlind):
			_, _ = fmt.Fprintf(stderr, "%v\n", err)
			return 3
		}
	default:
		s, serr := openStore(o.dir, o.logger)
		if err = serr; err == nil {
			err = s.View(ctx, func(state *network.State) error { return show(state, o.output, stdout) })
		}
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}
