package operator

import (
	"context"
	"errors"
	"io"
)

// repair is Linux's: on Windows nobody but HNS changes what HNS has.
func repair(context.Context, options, io.Writer) error {
	return errors.New("not on Windows: the next ADD looks at the network, and at what HNS has of pods")
}
