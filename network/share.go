package network

import (
	"context"
	"errors"
	"fmt"
)

// sharer is what a data plane can offer besides: several containers use a pod's endpoint, and each has an ADD and a DEL of
// its own (HNS v1; Docker's kubelet).
type sharer interface {
	// Share attaches a container to the endpoint that the owner has, and completes e as far as it is not known. found is
	// false if there is none.
	Share(ctx context.Context, n *Network, e *Endpoint, containerID string) (found bool, err error)
	// Unshare takes the container off it; what is gone already is success.
	Unshare(ctx context.Context, n *Network, e *Endpoint, containerID string) error
}

// Share lets a container use the endpoint that the owner has already, which can be the owner's own container once more. It
// returns nil if there is none, or only what an interrupted ADD left.
func (m *Manager) Share(ctx context.Context, o Owner, netns, containerID string) (*Endpoint, error) {
	plane, n, e, err := m.shared(ctx, o, netns)
	if plane == nil || err != nil || e.State == Pending {
		return nil, err
	}
	found, err := plane.Share(ctx, n, e, containerID)
	if err != nil || !found {
		return nil, err
	}
	return e, nil
}

// Unshare takes the container off the owner's endpoint, which stays.
func (m *Manager) Unshare(ctx context.Context, o Owner, netns, containerID string) error {
	plane, n, e, err := m.shared(ctx, o, netns)
	if plane == nil || err != nil {
		return err
	}
	return plane.Unshare(ctx, n, e, containerID)
}

// shared is what the state knows of the owner's endpoint; without a state, what the name says.
func (m *Manager) shared(ctx context.Context, o Owner, netns string) (sharer, *Network, *Endpoint, error) {
	plane, ok := m.Plane.(sharer)
	if !ok {
		return nil, nil, nil, nil
	}
	n, e, err := m.find(ctx, o)
	if n == nil {
		n = &Network{Name: o.Network}
	}
	if e == nil {
		e = &Endpoint{Owner: o, NetNS: netns}
	}
	return plane, n, e, err
}

var _ sharer = (*Windows)(nil)

// Share implements sharer. The endpoint is told by HNS, for it outlives the state; what HNS does not keep of it (routes)
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

// Unshare implements sharer.
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
