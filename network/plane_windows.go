package network

import (
	"context"
	"fmt"
)

// Windows is the data plane of Windows hosts. It is not there yet: every change answers so.
type Windows struct{}

var _ Dataplane = (*Windows)(nil)

var errNotYet = fmt.Errorf("%w yet on Windows", ErrUnsupported)

// EnsureNetwork implements Dataplane.
func (*Windows) EnsureNetwork(context.Context, *Network) error { return errNotYet }

// DeleteNetwork implements Dataplane.
func (*Windows) DeleteNetwork(context.Context, *Network) error { return errNotYet }

// CheckNetNS implements Dataplane.
func (*Windows) CheckNetNS(context.Context, *Endpoint) error { return errNotYet }

// CreateEndpoint implements Dataplane.
func (*Windows) CreateEndpoint(context.Context, *Network, *Endpoint) error { return errNotYet }

// DeleteEndpoint implements Dataplane: there is nothing that could have been created.
func (*Windows) DeleteEndpoint(context.Context, *Network, *Endpoint) error { return nil }

// CheckEndpoint implements Dataplane.
func (*Windows) CheckEndpoint(context.Context, *Network, *Endpoint) error { return errNotYet }

// Owners implements Dataplane.
func (*Windows) Owners(context.Context, *Network) ([]Owner, error) { return nil, nil }

// Status implements Dataplane.
func (*Windows) Status(context.Context, *Network) error { return errNotYet }
