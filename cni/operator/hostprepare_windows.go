package operator

import (
	"context"
	"errors"
	"io"
)

var errOnlyLinux = errors.New("not on Windows: nothing there has to be prepared")

func hostPrepare(context.Context, options, io.Writer) error { return errOnlyLinux }
func hostRestore(context.Context, options, io.Writer) error { return errOnlyLinux }
