package hns

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/network"
)

// HNS keeps what files lose: which endpoints a network has, and where each is attached.

// Endpoints implements network.Dataplane: those of the network that are attached to something, and that the state does
// not have. One with a name of earlier versions does not tell whose it is: its address stays reserved, and DEL finds
// it.
func (w *Dataplane) Endpoints(ctx context.Context, n *network.Network) (list []*network.Endpoint, err error) {
	found, err := w.endpointsOf(ctx, n)
	for _, f := range found {
		o, ours := ownerOf(f.Name, n.Name)
		if !ours || len(f.Places) == 0 || knownAs(n, f.ID) {
			continue
		}
		e := &network.Endpoint{
			Owner: o, State: network.Ready, HostIfName: f.Name, MAC: f.MAC, Addresses: f.Addresses, Rebuilt: true,
			HNS: &network.HNSEndpoint{ID: f.ID, DNS: f.DNS},
		}
		if IsNamespace(f.Places[0]) {
			e.NetNS = f.Places[0]
		}
		list = append(list, e)
	}
	return list, err
}

// There implements network.Dataplane: a network of a type that this plugin makes.
func (w *Dataplane) There(ctx context.Context, name string) (bool, error) {
	found, err := w.network(ctx, w.anyAPI(ctx, ""), name)
	if errors.Is(err, errGone) {
		return false, nil
	}
	return found.canBeOurs(), err
}

func (n hnsNetwork) canBeOurs() bool {
	return strings.EqualFold(n.Type, "L2Bridge") || strings.EqualFold(n.Type, "L2Tunnel")
}

// Networks implements network.Dataplane: those with an endpoint that has a name of ours. Another plugin's network can
// be of the same type.
func (w *Dataplane) Networks(ctx context.Context) (names []string, err error) {
	h := w.anyAPI(ctx, "")
	list, err := ask(ctx, w, "list networks", h.Networks)
	for _, n := range list {
		if !n.canBeOurs() {
			continue
		}
		has, eerr := ask(ctx, w, "list the endpoints of network "+n.Name,
			func() ([]hnsEndpoint, error) { return h.EndpointsOf(n.ID) })
		err = errors.Join(err, eerr)
		if slices.ContainsFunc(has, func(e hnsEndpoint) bool { _, ours := ownerOf(e.Name, n.Name); return ours }) {
			names = append(names, n.Name)
		}
	}
	return names, err
}

// Owners implements network.Dataplane.
func (w *Dataplane) Owners(ctx context.Context, n *network.Network) (list []network.Owner, err error) {
	found, err := w.endpointsOf(ctx, n)
	for _, f := range found {
		if o, ours := ownerOf(f.Name, n.Name); ours {
			list = append(list, o)
		}
	}
	return list, err
}

// endpointsOf are those of the network in HNS: none if it has no such network.
func (w *Dataplane) endpointsOf(ctx context.Context, n *network.Network) ([]hnsEndpoint, error) {
	h := w.anyAPI(ctx, "")
	at, err := w.network(ctx, h, n.Name)
	if errors.Is(err, errGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := ask(ctx, w, "list the endpoints of network "+n.Name,
		func() ([]hnsEndpoint, error) { return h.EndpointsOf(at.ID) })
	return list, err
}

// Gone implements network.Dataplane: HNS has no such endpoint. It went with its network, or somebody removed it.
func (w *Dataplane) Gone(ctx context.Context, e *network.Endpoint) (bool, error) {
	if e.HNS == nil || e.HNS.ID == "" {
		return false, nil
	}
	h := w.anyAPI(ctx, e.NetNS)
	_, err := ask(ctx, w, "look for endpoint "+nameOf(e.Owner),
		func() (hnsEndpoint, error) { return h.Endpoint(e.HNS.ID) })
	if errors.Is(err, errGone) {
		return true, nil
	}
	return false, err
}

func attachedTo(e hnsEndpoint, place string) bool {
	return slices.ContainsFunc(e.Places, func(p string) bool { return strings.EqualFold(p, place) })
}
