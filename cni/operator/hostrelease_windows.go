package operator

import (
	"context"
	"errors"
	"io"
)

// hostRelease is Linux's: nothing on Windows gives the host what Azure assigned for pods, but a person.
func hostRelease(context.Context, options, io.Reader, io.Writer, string) error {
	return errors.New("not on Windows: Get-NetIPAddress lists the host's addresses, Remove-NetIPAddress takes one away")
}
