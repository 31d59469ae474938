package network

import "context"

// Dataplane makes the host look as the manager wants: the one seam between operating systems.
type Dataplane interface {
	// EnsureNetwork makes the host look like n and fills in what it observes (MAC, MTU). It verifies first,
	// so the first creation, a restart, a flushed firewall and a half-finished earlier run are one path.
	EnsureNetwork(ctx context.Context, n *Network) error
	// DeleteNetwork takes the network away and restores the host.
	DeleteNetwork(ctx context.Context, n *Network) error
	// CheckNetNS says whether e's namespace can be used, and whether the interface's name is free there. If e
	// is pending, what has the name is taken for what an interrupted ADD left.
	// Errors: ErrNetNS, ErrExists.
	CheckNetNS(ctx context.Context, e *Endpoint) error
	// CreateEndpoint connects the pod and fills in what it observes (host MAC, MTU).
	CreateEndpoint(ctx context.Context, n *Network, e *Endpoint) error
	// DeleteEndpoint takes it away again; what is gone already is success. With a network that is not known
	// (n.Bridge is empty) it finds what belongs to the owner.
	DeleteEndpoint(ctx context.Context, n *Network, e *Endpoint) error
	// CheckEndpoint names the first difference. Error: ErrDifference.
	CheckEndpoint(ctx context.Context, n *Network, e *Endpoint) error
	// Owners lists who has something of the network on this host.
	Owners(ctx context.Context, n *Network) ([]Owner, error)
	// Status says whether the host has what the network's mode needs. Error: ErrKernel.
	Status(ctx context.Context, n *Network) error
}
