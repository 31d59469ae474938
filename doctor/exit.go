package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/Azure/azure-container-networking/cni/ipamplugin"
)

// Addresses is doctor as azure-vnet-ipam has it. It returns the exit code.
func Addresses(ctx context.Context, output, config, dir string, stdout, stderr io.Writer) int {
	d := &Examination{Options: Options{Output: output, Config: config, Dir: dir}}
	return Exit(d.Run(ctx, stdout), ipamplugin.Name, stderr)
}

// Exit says what keeps doctor from looking, and returns the exit code: 0 nothing is wrong, 1 warnings, 2 failures, 3
// that it cannot look.
func Exit(err error, program string, stderr io.Writer) int {
	switch {
	case errors.Is(err, ErrWarning):
		return 1
	case errors.Is(err, ErrFailure):
		return 2
	case errors.Is(err, ErrBlind):
		_, _ = fmt.Fprintf(stderr, "%v\n", err)
		return 3
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 1
	}
	return 0
}
