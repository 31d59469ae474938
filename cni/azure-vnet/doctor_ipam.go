package main

import (
	"context"
	"io"

	"github.com/Azure/azure-container-networking/cni/console"
)

// addressChecks are the checks that concern addresses, whichever network plugin asks for them.
var addressChecks = []string{"configuration", "plugins", "data-dir", "state", "locks", "log", "host-agent", "pools", "addresses", "host-addresses"}

// addressDoctor is doctor, as azure-vnet-ipam has it.
func addressDoctor(ctx context.Context, output, config, dir string, stdout, stderr io.Writer) int {
	o := options{output: output, config: config, dir: dir, checks: addressChecks, logger: console.Logger(name, stderr)}
	return ended(doctor(ctx, o, stdout), "doctor", stderr)
}
