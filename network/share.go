package network

import (
	"context"
	"errors"
	"fmt"
)

// Share lets a container use the endpoint that the owner has already, which can be the owner's own container once more. It
// returns nil if there is none, or only what an interrupted ADD left.
func (m *Manager) Share(ctx context.Context, o Owner, netns, containerID string) (*Endpoint, error) {
	n, e, err := m.shared(ctx, o, netns)
	if err != nil || e.State == Pending {
		return nil, err
	}
	found, err := m.Plane.Share(ctx, n, e, containerID)
	if err != nil || !found {
		return nil, err
	}
	return e, nil
}

// Unshare takes the container off the owner's endpoint, which stays.
func (m *Manager) Unshare(ctx context.Context, o Owner, netns, containerID string) error {
	n, e, err := m.shared(ctx, o, netns)
	if err != nil {
		return err
	}
	return m.Plane.Unshare(ctx, n, e, containerID)
}

// shared is what the state knows of the owner's endpoint; without a state, what the name says.
func (m *Manager) shared(ctx context.Context, o Owner, netns string) (*Network, *Endpoint, error) {
	n, e, err := m.find(ctx, o)
	if n == nil {
		n = &Network{Name: o.Network}
	}
	if e == nil {
		e = &Endpoint{Owner: o, NetNS: netns}
	}
	return n, e, err
}

// Share implements Dataplane. The endpoint is told by HNS, for it outlives the state; what HNS does not keep of it (routes)
// is the state's.
func (w *Windows) Share(ctx context.Context, n *Network, e *Endpoint, containerID string) (bool, error) {
	h := w.v1
	found, err := w.shared(ctx, h, n, e)
	if errors.Is(err, errGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if e.HNS == nil {
		e.HNS = &HNSEndpoint{DNS: found.DNS}
	}
	e.HNS.ID = found.ID
	if !attachedTo(found, containerID) {
		if err := w.attach(ctx, h, containerID, e); err != nil {
			return false, err
		}
	}
	if e.State != Ready {
		e.MAC, e.Addresses, e.HostIfName = found.MAC, found.Addresses, found.Name
		for _, gw := range found.Gateways {
			e.Routes = append(e.Routes, Route{Dst: everything(gw), GW: gw})
		}
	}
	return true, nil
}

// Unshare implements Dataplane.
func (w *Windows) Unshare(ctx context.Context, n *Network, e *Endpoint, containerID string) error {
	h := w.v1
	found, err := w.shared(ctx, h, n, e)
	if err == nil && attachedTo(found, containerID) {
		err = tell(ctx, w, "detach endpoint "+found.Name+" from "+containerID, func() error { return h.Detach(containerID, found.ID) })
	}
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// shared finds the endpoint by its ID, or else by its name.
// Error: errGone.
func (w *Windows) shared(ctx context.Context, h hns, n *Network, e *Endpoint) (hnsEndpoint, error) {
	name := e.Owner.hnsName()
	if e.HNS != nil && e.HNS.ID != "" {
		return ask(ctx, w, "look for endpoint "+name, func() (hnsEndpoint, error) { return h.Endpoint(e.HNS.ID) })
	}
	found, err := w.own(ctx, h, n, name)
	switch {
	case err != nil:
		return hnsEndpoint{}, err
	case len(found) == 0:
		return hnsEndpoint{}, errGone
	case len(found) > 1:
		return hnsEndpoint{}, fmt.Errorf("%w: there are %d endpoints %s, and the state knows neither", ErrHNS, len(found), name)
	}
	return found[0], nil
}
