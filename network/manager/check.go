package manager

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/network"
)

// Believed is what the runtime's result says of an endpoint: our ADD's, with what plugins further back in the chain
// changed. A zero MTU and an empty MAC say nothing; neither does a result without addresses. Of the routes destination
// and gateway count.
type Believed struct {
	MAC       string
	MTU       int
	Addresses []netip.Prefix
	Routes    []network.Route
}

// Check compares the endpoint, and the namespace and the result that the runtime believes in, with what is. What the
// result has from others passes; what is ours is judged. What is wrong on the host's side is repaired, and reported all
// the same.
// Error: ErrDifference, which names the first one.
func (m *Manager) Check(ctx context.Context, o network.Owner, netns string, b Believed) error {
	n, known, err := m.find(ctx, o)
	if err == nil && known == nil {
		n, known, err = m.namelessIn(ctx, o, netns)
	}
	if err != nil {
		return err
	}
	if known == nil || known.State != network.Ready {
		return fmt.Errorf("%w: no ready endpoint for %s is known", network.ErrDifference, o)
	}
	e, err := b.of(known)
	if err != nil {
		return err
	}
	if e.NetNS == "" {
		e.NetNS = netns // the endpoint was rebuilt from the host, which does not tell
	}
	if e.MAC != known.MAC && !n.Imported {
		if n, err = m.adopt(ctx, n, e); err != nil {
			return err
		}
	}
	err = m.Dataplane.CheckEndpoint(ctx, n, e)
	if !errors.Is(err, network.ErrDifference) ||
		n.Imported { // what another plugin made is taken over by an ADD or a DEL: until then there is a way back
		return err
	}
	n.Suspect = true
	if rerr := m.ensure(ctx, n); rerr != nil {
		return fmt.Errorf("%w; and it cannot be repaired: %w", err, rerr)
	}
	if n, known, rerr := m.find(ctx, known.Owner); rerr == nil && known != nil { // the repair may have changed it
		e.MTU = cmp.Or(b.MTU, known.MTU)
		if m.Dataplane.CheckEndpoint(ctx, n, e) == nil {
			err = fmt.Errorf("%w; it has been repaired just now", err)
		}
	}
	return err
}

// of is the endpoint as the result has it: with what plugins further back gave it, and without what they took.
// Error: ErrDifference if it does not have its addresses.
func (b Believed) of(e *network.Endpoint) (*network.Endpoint, error) {
	out := *e
	for _, a := range e.Addresses {
		if len(b.Addresses) > 0 && !slices.Contains(b.Addresses, a) {
			return nil, fmt.Errorf("%w: the endpoint has %v, the runtime's result says %v",
				network.ErrDifference, e.Addresses, b.Addresses)
		}
	}
	for _, a := range b.Addresses {
		if !slices.Contains(e.Addresses, a) {
			out.Further = append(out.Further, a)
		}
	}
	out.MTU = cmp.Or(b.MTU, e.MTU)
	if b.MAC != "" {
		mac, err := net.ParseMAC(b.MAC)
		if err != nil {
			return nil, fmt.Errorf("%w: the runtime's result: %w", network.ErrDifference, err)
		}
		if own, err := net.ParseMAC(e.MAC); err != nil || !bytes.Equal(own, mac) { // HNS writes it in another way
			out.MAC = mac.String()
		}
	}
	if len(b.Addresses) > 0 { // the result says what there is
		out.Routes = slices.DeleteFunc(slices.Clone(e.Routes), func(r network.Route) bool {
			return !slices.ContainsFunc(b.Routes,
				func(k network.Route) bool { return k.Dst.Masked() == r.Dst.Masked() && k.GW == r.GW })
		})
	}
	return &out, nil
}

// adopt takes a MAC over that another plugin gave the pod, as far as it is not somebody else's. It returns the network
// as it is then.
// Error: ErrDifference.
func (m *Manager) adopt(ctx context.Context, n *network.Network, e *network.Endpoint) (*network.Network, error) {
	ifaces, err := m.interfaces()
	if err != nil {
		return nil, err
	}
	err = m.Store.Update(ctx, func(s *network.State) error {
		record, known := s.Endpoint(e.Owner)
		if known == nil {
			return fmt.Errorf("%w: %s was deleted meanwhile", network.ErrDifference, e.Owner)
		}
		if err := s.UsableMAC(record, e, ifaces); err != nil {
			return fmt.Errorf("%w: %w", network.ErrDifference, err)
		}
		if err := m.Dataplane.Adopt(ctx, n, e); err != nil {
			return err
		}
		changed := *known
		changed.MAC = e.MAC
		record.Endpoints.Set(&changed)
		n = s.ViewOf(record)
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.Log.Info("another plugin gave the pod a MAC", "endpoint", e.Owner, "mac", e.MAC)
	n.Suspect = true
	return n, m.ensure(ctx, n)
}

// Gateways are those that the IPAM plugin named for the owner's endpoint, where its pod has another one.
// Errors: the store's.
func (m *Manager) Gateways(ctx context.Context, o network.Owner) ([]netip.Addr, error) {
	_, e, err := m.find(ctx, o)
	if err != nil || e == nil {
		return nil, err
	}
	return e.Gateways, nil
}
