package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

const usage = `CNI network plugin for Azure virtual networks.

Usage:
  azure-vnet show [-o json] [--data-dir DIR]                   networks and endpoints
  azure-vnet cleanup [--network NAME] [--yes] [--data-dir DIR] take networks away and restore the host
  azure-vnet --version
`

// options are those of the operator commands.
type options struct {
	output, dir, network string
	yes                  bool
	logger               *slog.Logger
}

var errUsage = errors.New("wrong usage")

func parseOptions(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = fmt.Fprint(stderr, usage) }
	flags.StringVar(&o.dir, "data-dir", platform.DefaultDataDir, "folder of the state file")
	switch args[0] {
	case "show":
		flags.StringVar(&o.output, "o", "table", "output: table or json")
	case "cleanup":
		flags.StringVar(&o.network, "network", "", "only this network")
		flags.BoolVar(&o.yes, "yes", false, "do not ask")
	default:
		flags.Usage()
		return o, errUsage
	}
	if flags.Parse(args[1:]) != nil {
		return o, errUsage
	}
	if flags.NArg() > 0 || args[0] == "show" && o.output != "table" && o.output != "json" {
		flags.Usage()
		return o, errUsage
	}
	o.logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return o, nil
}

// operator runs a command for a person. Exit codes: 0 all is well, 1 a finding or a failure, 2 wrong usage.
func operator(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return 2
	}
	if args[0] == "cleanup" {
		err = cleanup(ctx, o, os.Stdin, stdout)
	} else {
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
