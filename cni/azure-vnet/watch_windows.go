package main

import (
	"context"
	"errors"
	"io"
)

// watch is Linux's: on Windows nobody but HNS changes what HNS has.
func watch(context.Context, options, io.Writer) error {
	return errors.New("not on Windows: --watch is for Linux")
}
