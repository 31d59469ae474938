package hns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/network"
)

// hns is Windows' Host Networking Service in one of its versions. No method has a limit of time: see ask. Errors:
// errGone for an object that is not there, errThere for a network of that name, errPort, ErrMaster for an adapter.
type hns interface {
	// Supported says why this version cannot be used. dual asks for endpoints with IPv4 and IPv6, too.
	// Error: ErrKernel.
	Supported(dual bool) error
	// NeedsSettling says whether a new network needs time until its adapter works again.
	NeedsSettling() (bool, error)
	// Network finds one by its name.
	Network(name string) (hnsNetwork, error)
	// Networks lists all.
	Networks() ([]hnsNetwork, error)
	// CreateNetwork takes one of the documents of documents.go.
	CreateNetwork(doc []byte) (hnsNetwork, error)
	DeleteNetwork(id string) error
	// Endpoint finds one by its ID.
	Endpoint(id string) (hnsEndpoint, error)
	// EndpointsByName lists the endpoints of a name: HNS takes any number of them.
	EndpointsByName(name string) ([]hnsEndpoint, error)
	// EndpointsOf lists the endpoints of a network.
	EndpointsOf(networkID string) ([]hnsEndpoint, error)
	// CreateEndpoint takes one of the documents of documents.go.
	CreateEndpoint(doc []byte) (hnsEndpoint, error)
	DeleteEndpoint(id string) error
	// PlaceExists says whether a namespace (v2) is there; containers (v1) are not looked for.
	PlaceExists(place string) error
	// Attach connects an endpoint to a namespace (v2) or a running container (v1). What is attached already is success.
	Attach(place, endpointID string) error
	Detach(place, endpointID string) error
	// AddNeighbor makes a next hop a permanent neighbour, at the MAC of Azure's network, of the endpoint with that MAC
	// in a namespace. v1 has none.
	AddNeighbor(place, mac string, hop netip.Addr) error
}

type hnsNetwork struct {
	ID, Name, Type string
	Subnets        []netip.Prefix
}

type hnsEndpoint struct {
	ID, Name, NetworkID string
	MAC                 string // with colons
	Addresses           []netip.Prefix
	Gateways            []netip.Addr // v1
	DNS                 network.PodDNS
	Places              []string // the namespace, or the containers, that it is attached to
}

var (
	errGone  = errors.New("it is not there")
	errThere = errors.New("it is there already")
	errPort  = errors.New("a host port is in use")
)

// IsNamespace says whether a runtime means HCN (HNS v2): its CNI_NETNS is the GUID of a namespace. Docker's is "none".
func IsNamespace(netns string) bool {
	// Compiled here and not in a variable: each start of the program would take 50 µs more, on Linux, too.
	is, err := regexp.MatchString(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`, netns)
	return is && err == nil
}

// SandboxOf is the container whose endpoint a container of Docker's shares: that of "container:<id>" in CNI_NETNS.
func SandboxOf(netns string) (containerID string, shared bool) {
	return strings.CutPrefix(netns, "container:")
}

// nameOf is the name of the owner's endpoint, the one by which it is found without any state.
func nameOf(o network.Owner) string { return o.ContainerID + "-" + o.IfName + "-" + o.Network }

// formerName is the one that the classic plugin gives, and this one gave: two containers can have the same.
func formerName(o network.Owner) string {
	return o.ContainerID[:min(8, len(o.ContainerID))] + "-" + o.IfName
}

// ownerOf reads back what nameOf wrote. The last "-" is taken to be before the interface.
func ownerOf(name, networkName string) (o network.Owner, ok bool) {
	rest, ours := strings.CutSuffix(name, "-"+networkName)
	at := strings.LastIndexByte(rest, '-')
	if !ours || at <= 0 || at == len(rest)-1 {
		return o, false
	}
	return network.Owner{Network: networkName, ContainerID: rest[:at], IfName: rest[at+1:]}, true
}

// ask lets HNS do something, and gives up when ctx or the limit of a call ends: HNS can hang, and no call of its can be
// taken back. The goroutine that waits for it ends with the process. What it does later does no harm: an endpoint that
// is made too late is attached to nothing, and is removed by DEL, by its name, or by the next ADD with one of its
// addresses.
// Errors: ErrHNS, and those of hns.
func ask[T any](ctx context.Context, w *Dataplane, what string, call func() (T, error)) (value T, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.Limit)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return value, fmt.Errorf("%w: %s: there was no time left to ask: %w", network.ErrHNS, what, err)
	}
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	began := time.Now()
	go func() {
		v, err := call()
		answered <- answer{v, err}
	}()
	select {
	case a := <-answered:
		w.Log.Debug("HNS answered", "asked", what, "duration", time.Since(began).Round(time.Microsecond), "error", a.err)
		switch {
		case errors.Is(a.err, network.ErrMaster), errors.Is(a.err, network.ErrKernel): // they have a code of their own
			return a.value, fmt.Errorf("%s: %w", what, a.err)
		case a.err != nil:
			return a.value, fmt.Errorf("%w: %s: %w", network.ErrHNS, what, a.err)
		}
		return a.value, nil
	case <-ctx.Done():
		return value, fmt.Errorf("%w: %s: no answer in %s", network.ErrHNS, what, time.Since(began).Round(time.Millisecond))
	}
}

// tell is ask for what answers nothing.
func tell(ctx context.Context, w *Dataplane, what string, call func() error) error {
	_, err := ask(ctx, w, what, func() (struct{}, error) { return struct{}{}, call() })
	return err
}
