package main

import (
	"context"
	"errors"
	"io"
	"net/netip"
)

// hostRelease is Linux's: nothing on Windows gives the host what Azure assigned for pods, but a person.
func hostRelease(context.Context, options, io.Reader, io.Writer, string) error {
	return errors.New("not on Windows: Get-NetIPAddress lists the host's addresses, Remove-NetIPAddress takes one away")
}

// hostSource cannot be asked.
func hostSource(netip.Addr) (netip.Addr, error) { return netip.Addr{}, errors.ErrUnsupported }

// releaseCommand is the remedy for addresses of pods on an adapter of the host.
func (*examination) releaseCommand(adapter string) string {
	return "Remove-NetIPAddress -InterfaceAlias '" + adapter + "' -IPAddress each of them"
}
