// Package source says which addresses Azure assigned to this VM's NICs: it asks the host agent, or reads the file of an
// Azure Stack.
package source

import (
	"errors"
	"fmt"
	"net/netip"
)

// Errors of asking.
var (
	// ErrUnavailable: the source could not be asked, or its answer makes no sense.
	ErrUnavailable = errors.New("source of addresses unavailable")
	// ErrFile is ErrUnavailable where the source is a file, as on Azure Stack.
	ErrFile = fmt.Errorf("%w", ErrUnavailable)
)

// Subnet is what a source says about one subnet of one NIC.
type Subnet struct {
	MAC       string       // of the NIC, "00:0d:3a:11:22:33"; "*" stands for the first usable interface
	Primary   bool         // the NIC is the VM's primary one
	Prefix    netip.Prefix // 10.240.0.0/16
	Addresses []netip.Addr // what containers may get: the NIC's secondary addresses
}
