package network

import (
	"context"
	"net/netip"

	"github.com/Azure/azure-container-networking/finding"
)

// Ensured is what making a network has shown.
type Ensured struct {
	Observed
	Other string   // another NIC of the host, by which answers leave, too; "" if there is none
	Moved bool     // this call moved the host's configuration, so that it knows best what there was
	Reset []string // settings of the host that this call had to give their values again
}

// Dataplane makes the host look as the manager wants: the one seam between operating systems. What an operating system
// has nothing of succeeds and finds nothing.
type Dataplane interface {
	// EnsureNetwork makes the host look like n, which stays as it is, and says what it observed. It verifies first,
	// so the first creation, a restart, a flushed firewall and a half-finished earlier run are one path.
	// Errors: ErrMaster, ErrNoPort, ErrConflict, ErrKernel, ErrBusy.
	EnsureNetwork(ctx context.Context, n *Network) (Ensured, error)
	// DeleteNetwork takes the network away and restores the host.
	DeleteNetwork(ctx context.Context, n *Network) error
	// Status says whether the host has what the network's mode needs.
	// Error: ErrKernel.
	Status(ctx context.Context, n *Network) error

	// There says whether the host has a network of that name without any state: HNS has. Where networks have no names
	// on the host it is not.
	There(ctx context.Context, name string) (bool, error)
	// Networks are those that the host shows to be ours without any state; none where networks have no names there.
	Networks(ctx context.Context) ([]string, error)

	// CheckNetNS says whether e's namespace can be used, and whether the interface's name is free there. If e
	// is pending, what has the name is taken for what an interrupted ADD left.
	// Errors: ErrNetNS, ErrExists.
	CheckNetNS(ctx context.Context, e *Endpoint) error
	// CreateEndpoint connects the pod and fills in what it observes (host MAC, MTU).
	CreateEndpoint(ctx context.Context, n *Network, e *Endpoint) error
	// DeleteEndpoint takes it away again; what is gone already is success. With a network that is not known
	// (n.Bridge is empty) it finds what belongs to the owner.
	DeleteEndpoint(ctx context.Context, n *Network, e *Endpoint) error
	// DeleteEndpoints takes many away at once, which can be much faster than one by one. After an error some may be left.
	DeleteEndpoints(ctx context.Context, n *Network, list []*Endpoint) error
	// CheckEndpoint names the first difference.
	// Error: ErrDifference.
	CheckEndpoint(ctx context.Context, n *Network, e *Endpoint) error
	// Adopt looks whether the pod has the endpoint's MAC, which another plugin gave it, and lets it use that. Error:
	// ErrDifference.
	Adopt(ctx context.Context, n *Network, e *Endpoint) error
	// FollowMTU sets the MTU of both ends of the endpoint's veth. One that is gone needs none.
	FollowMTU(ctx context.Context, e *Endpoint, mtu int) error

	// Named is whose host veth of that name is there; the zero Owner is nobody's that we know.
	Named(ctx context.Context, name string) (Owner, error)
	// Rename gives the owner's host veth of that name another one, and its elements. What is not there needs none.
	Rename(ctx context.Context, o Owner, from, to string) error

	// Share attaches a container to the endpoint that the owner has, and completes e as far as it is not known (HNS v1:
	// Docker's kubelet has an ADD and a DEL for each container of a pod). found is false if there is none.
	Share(ctx context.Context, n *Network, e *Endpoint, containerID string) (found bool, err error)
	// Unshare takes the container off it; what is gone already is success.
	Unshare(ctx context.Context, n *Network, e *Endpoint, containerID string) error

	// What only the host knows:

	// Owners lists who has something of the network on this host.
	Owners(ctx context.Context, n *Network) ([]Owner, error)
	// Endpoints finds the endpoints that a network has on the host, ours and those of the classic plugin.
	// Error: ErrLost if there is one of which not all can be found out.
	Endpoints(ctx context.Context, n *Network) ([]*Endpoint, error)
	// Gone says whether it is certain that neither the endpoint's namespace nor its interface on the host is there.
	Gone(ctx context.Context, e *Endpoint) (bool, error)
	// Sever takes away what another plugin made of a pod, by its namespace.
	Sever(ctx context.Context, o Owner, netns string) error
	// Sweep removes what is left of addresses that nobody has, and that names no owner. known are those of all endpoints;
	// it is called after looking at the host, where nothing is made before it is in the state.
	Sweep(ctx context.Context, n *Network, known func(context.Context) (map[netip.Addr]bool, error)) error
	// Remains says what the classic plugin left beside the bridges of these networks, one thing each; with remove it is
	// taken away.
	// Error: ErrLost if a pod lives on some of it.
	Remains(ctx context.Context, networks []*Network, remove bool) ([]string, error)

	// Ailing says what of a network, and of the host's end of its live pods, is not as it should be.
	Ailing(ctx context.Context, n *Network) ([]string, error)
	// Examine says what is wrong with the host, for a person. It changes nothing.
	Examine(networks []*Network) []finding.Finding
}

// RepairCommand is a remedy: an operator's command. Who prints it may know more of where the program is, and where it
// has to look.
const RepairCommand = "azure-vnet repair"
