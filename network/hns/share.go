package hns

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-container-networking/network"
)

// Share implements network.Dataplane. The endpoint is told by HNS, for it outlives the state; what HNS does not keep of
// it (routes) is the state's.
func (w *Dataplane) Share(ctx context.Context, n *network.Network, e *network.Endpoint,
	containerID string) (bool, error) {
	h := w.v1
	found, err := w.shared(ctx, h, n, e)
	if errors.Is(err, errGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if e.HNS == nil {
		e.HNS = &network.HNSEndpoint{DNS: found.DNS}
	}
	e.HNS.ID = found.ID
	if !attachedTo(found, containerID) {
		if err := w.attach(ctx, h, containerID, e); err != nil {
			return false, err
		}
	}
	if e.State != network.Ready {
		e.MAC, e.Addresses, e.HostIfName = found.MAC, found.Addresses, found.Name
		for _, gw := range found.Gateways {
			e.Routes = append(e.Routes, network.Route{Dst: everything(gw), GW: gw})
		}
	}
	return true, nil
}

// Unshare implements network.Dataplane.
func (w *Dataplane) Unshare(ctx context.Context, n *network.Network, e *network.Endpoint, containerID string) error {
	h := w.v1
	found, err := w.shared(ctx, h, n, e)
	if err == nil && attachedTo(found, containerID) {
		err = tell(ctx, w, "detach endpoint "+found.Name+" from "+containerID, func() error {
			return h.Detach(containerID, found.ID)
		})
	}
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// shared finds the endpoint by its ID, or else by its name.
// Error: errGone.
func (w *Dataplane) shared(ctx context.Context, h hns, n *network.Network, e *network.Endpoint) (hnsEndpoint, error) {
	name := nameOf(e.Owner)
	if e.HNS != nil && e.HNS.ID != "" {
		return ask(ctx, w, "look for endpoint "+name, func() (hnsEndpoint, error) { return h.Endpoint(e.HNS.ID) })
	}
	found, err := w.own(ctx, h, n, e)
	switch {
	case err != nil:
		return hnsEndpoint{}, err
	case len(found) == 0:
		return hnsEndpoint{}, errGone
	case len(found) > 1:
		return hnsEndpoint{}, fmt.Errorf("%w: there are %d endpoints %s, and the state knows neither",
			network.ErrHNS, len(found), name)
	}
	return found[0], nil
}
