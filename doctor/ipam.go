package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// addressChecks are the checks that concern addresses, whichever network plugin asks for them.
var addressChecks = []string{"configuration", "plugins", "data-dir", "state", "locks", "log", "host-agent", "pools", "addresses", "host-addresses"}

// Addresses is doctor, as azure-vnet-ipam has it.
func Addresses(ctx context.Context, output, config, dir string, stdout, stderr io.Writer) int {
	o := Options{Output: output, Config: config, Dir: dir, checks: addressChecks}
	return Exit(Run(ctx, o, stdout), stderr)
}

// Exit says what keeps doctor from looking, and is its exit code: 0 nothing is wrong, 1 warnings, 2 failures, 3 that it cannot look.
func Exit(err error, stderr io.Writer) int {
	switch {
	case errors.Is(err, ErrWarning):
		return 1
	case errors.Is(err, ErrFailure):
		return 2
	case errors.Is(err, ErrBlind):
		_, _ = fmt.Fprintf(stderr, "%v\n", err)
		return 3
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}
