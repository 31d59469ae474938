package hns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/store"
	"github.com/gofrs/flock"
)

// Dataplane is the data plane of Windows hosts: HNS in the version that the runtime means. It serves one command.
type Dataplane struct {
	// NetNS is the command's CNI_NETNS: the GUID of a namespace means HCN (v2), anything else HNS v1.
	NetNS string
	// LockPath is the lock under which networks are made; endpoints need none.
	LockPath string
	// Limit bounds each call of HNS.
	Limit time.Duration
	Log   *slog.Logger

	v1, v2 hns
}

var _ network.Dataplane = (*Dataplane)(nil)

// HNSLimit is how long a call of HNS may take unless the configuration says otherwise. A new network can take half a
// minute. Less than a command has, so that something can be done about a call that hangs.
const HNSLimit = time.Minute

// settle is how long the adapter of a new network takes to work again on Windows 1803 and older.
const settle = 10 * time.Second

// Serve says which command it is: its CNI_NETNS, and how long a call of HNS may take (0: HNSLimit).
func (w *Dataplane) Serve(netns string, limit time.Duration) {
	w.NetNS, w.Limit = netns, cmp.Or(limit, HNSLimit)
}

// api is the version that the runtime means by the namespace.
// Errors: ErrKernel, ErrHNS.
func (w *Dataplane) api(ctx context.Context, netns string, dual bool) (hns, error) {
	if !IsNamespace(netns) {
		return w.v1, nil
	}
	return w.v2, tell(ctx, w, "ask for HCN", func() error { return w.v2.Supported(dual) })
}

// anyAPI is for what both can do: v2, or v1 where it is missing. Each sees what the other made.
func (w *Dataplane) anyAPI(ctx context.Context, netns string) hns {
	if netns = cmp.Or(netns, w.NetNS); netns != "" && !IsNamespace(netns) {
		return w.v1
	}
	if tell(ctx, w, "ask for HCN", func() error { return w.v2.Supported(false) }) != nil {
		return w.v1
	}
	return w.v2
}

// CheckNetNS implements network.Dataplane.
func (w *Dataplane) CheckNetNS(ctx context.Context, e *network.Endpoint) error {
	if err := checkPolicies(e); err != nil {
		return err
	}
	h, err := w.api(ctx, e.NetNS, false)
	if err != nil || h == w.v1 {
		return err
	}
	err = tell(ctx, w, "look for namespace "+e.NetNS, func() error { return h.PlaceExists(e.NetNS) })
	if errors.Is(err, errGone) {
		return fmt.Errorf("%w: there is no namespace %s", network.ErrNetNS, e.NetNS)
	}
	if err != nil || e.State == network.Pending {
		return err
	}
	name := nameOf(e.Owner)
	taken, err := w.named(ctx, h, name)
	if err == nil && len(taken) > 0 {
		err = fmt.Errorf("%w: HNS has an endpoint %s", network.ErrExists, name)
	}
	return err
}

// EnsureNetwork implements network.Dataplane. Without a configuration, in a CHECK, there is nothing to make: a network
// that is gone took its endpoints along.
func (w *Dataplane) EnsureNetwork(ctx context.Context, n *network.Network) (network.Ensured, error) {
	seen := network.Ensured{Observed: n.Observed}
	if n.HNS == nil {
		return seen, nil
	}
	dual := slices.ContainsFunc(n.Prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() })
	h, err := w.api(ctx, w.NetNS, dual)
	if err != nil {
		return seen, err
	}
	made := false
	found, err := w.network(ctx, h, n.Name)
	if errors.Is(err, errGone) {
		found, made, err = w.makeNetwork(ctx, h, n)
	}
	if err != nil {
		return seen, err
	}
	if err := w.fits(n, found); err != nil {
		return seen, err
	}
	seen.HNSID = found.ID
	if made {
		err = w.settle(ctx, h)
	}
	return seen, err
}

func (w *Dataplane) network(ctx context.Context, h hns, name string) (hnsNetwork, error) {
	return ask(ctx, w, "look for network "+name, func() (hnsNetwork, error) { return h.Network(name) })
}

// makeNetwork makes the network, unless another process is faster: made is false then.
func (w *Dataplane) makeNetwork(ctx context.Context, h hns, n *network.Network) (_ hnsNetwork, made bool, err error) {
	write := networkV2
	if h == w.v1 {
		write = networkV1
	}
	doc, err := write(n)
	if err != nil {
		return hnsNetwork{}, false, err
	}
	lock := flock.New(w.LockPath)
	if err = store.Wait(ctx, lock); err != nil {
		return hnsNetwork{}, false, fmt.Errorf("%w: network %s is being made by another process: %w",
			network.ErrBusy, n.Name, err)
	}
	defer func() { _ = lock.Close() }() // cannot fail in a way that matters
	found, err := w.network(ctx, h, n.Name)
	if !errors.Is(err, errGone) {
		return found, false, err
	}
	found, err = ask(ctx, w, "create network "+n.Name, func() (hnsNetwork, error) { return h.CreateNetwork(doc) })
	if errors.Is(err, errThere) { // by a call that another process has given up
		found, err = w.network(ctx, h, n.Name)
		return found, false, err
	}
	if errors.Is(err, network.ErrMaster) { // HNS does not name it
		err = fmt.Errorf("adapter %q: %w", n.HNSAdapter(), err)
	}
	return found, err == nil, err
}

// fits says whether what HNS has is what the configuration wants. HNS cannot change a network, and without it its
// endpoints are gone: so a person has to decide.
// Error: ErrConflict.
func (w *Dataplane) fits(n *network.Network, found hnsNetwork) error {
	const remedy = "drain the node and run azure-vnet cleanup"
	kind, err := switchType(n)
	if err != nil {
		return err
	}
	if !strings.EqualFold(kind, found.Type) {
		return fmt.Errorf("%w: HNS has network %s with type %s, mode %s needs %s: %s", network.ErrConflict, n.Name,
			found.Type, n.Mode, kind, remedy)
	}
	for _, p := range n.Prefixes {
		if !slices.Contains(found.Subnets, p) {
			return fmt.Errorf("%w: HNS has network %s with %v, without %v: %s", network.ErrConflict,
				n.Name, found.Subnets, p, remedy)
		}
	}
	return nil
}

// settle waits until the host has its network again. No lock is held.
func (w *Dataplane) settle(ctx context.Context, h hns) error {
	slow, err := ask(ctx, w, "ask for the version of HNS", h.NeedsSettling)
	if err != nil || !slow {
		return err
	}
	select {
	case <-time.After(settle):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: no time was left for the new network to settle: %w", network.ErrHNS, ctx.Err())
	}
}

// DeleteNetwork implements network.Dataplane. HNS takes the network's endpoints along.
func (w *Dataplane) DeleteNetwork(ctx context.Context, n *network.Network) error {
	h := w.anyAPI(ctx, "")
	found, err := w.network(ctx, h, n.Name)
	if err == nil {
		err = tell(ctx, w, "delete network "+n.Name, func() error { return h.DeleteNetwork(found.ID) })
	}
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// CreateEndpoint implements network.Dataplane. What it made before an error DeleteEndpoint finds.
func (w *Dataplane) CreateEndpoint(ctx context.Context, n *network.Network, e *network.Endpoint) error {
	h, err := w.api(ctx, e.NetNS, false)
	if err != nil {
		return err
	}
	write, place := endpointV2, e.NetNS
	if h == w.v1 {
		write, place = endpointV1, e.ContainerID
	}
	if e.HNS == nil {
		e.HNS = &network.HNSEndpoint{}
	}
	hops := standIns(n, e)
	doc, err := write(n.HNSID, n, e)
	if err != nil {
		return err
	}
	made, err := w.makeEndpoint(ctx, h, n, e, doc)
	if errors.Is(err, errPort) {
		return fmt.Errorf("host ports %v of the pod: %w", e.HNS.Ports, err)
	}
	if err != nil {
		return err
	}
	e.HNS.ID, e.MAC, e.HostIfName = made.ID, made.MAC, nameOf(e.Owner)
	if err = w.attach(ctx, h, place, e); err != nil {
		return err
	}
	for _, hop := range hops {
		err = tell(ctx, w, fmt.Sprintf("make %v a neighbour of endpoint %s", hop, nameOf(e.Owner)),
			func() error { return h.AddNeighbor(place, e.MAC, hop) })
		if err != nil {
			return err
		}
	}
	return nil
}

// standIns replaces Azure's next hop for IPv6, which is link-local, by one of the subnet (see gatewayOf), and returns
// those: nobody answers for them, so the pod has to be told their MAC.
func standIns(n *network.Network, e *network.Endpoint) (hops []netip.Addr) {
	for i, r := range e.Routes {
		for _, p := range n.Prefixes {
			if r.GW.Is6() && r.GW.IsLinkLocalUnicast() && p.Addr().Is6() {
				e.Routes[i].GW = gatewayOf(n, p)
				if !slices.Contains(hops, e.Routes[i].GW) {
					hops = append(hops, e.Routes[i].GW)
				}
			}
		}
	}
	return hops
}

func (w *Dataplane) attach(ctx context.Context, h hns, place string, e *network.Endpoint) error {
	return tell(ctx, w, "attach endpoint "+nameOf(e.Owner)+" to "+place, func() error { return h.Attach(place, e.HNS.ID) })
}

// makeEndpoint makes it. If that fails because of what somebody left behind, it is tried once more without that.
func (w *Dataplane) makeEndpoint(ctx context.Context, h hns, n *network.Network, e *network.Endpoint,
	doc []byte) (hnsEndpoint, error) {
	create := func() (hnsEndpoint, error) { return h.CreateEndpoint(doc) }
	what := "create endpoint " + nameOf(e.Owner)
	made, err := ask(ctx, w, what, create)
	if err == nil || ctx.Err() != nil || errors.Is(err, errPort) {
		return made, err
	}
	evicted, eerr := w.evict(ctx, h, n, e)
	if evicted {
		return ask(ctx, w, what, create)
	}
	return made, errors.Join(err, eerr)
}

// evict deletes an endpoint of the network that has one of e's addresses and is attached to nothing: what a call that
// was given up made later, or what a reboot left of a network of v1, which survives it. The address is e's: the IPAM
// plugin gave it. One that is attached serves a container that we have lost sight of, and stays.
func (w *Dataplane) evict(ctx context.Context, h hns, n *network.Network, e *network.Endpoint) (bool, error) {
	list, err := ask(ctx, w, "list the endpoints of network "+n.Name,
		func() ([]hnsEndpoint, error) { return h.EndpointsOf(n.HNSID) })
	if err != nil {
		return false, err
	}
	evicted := false
	for _, old := range list {
		if !slices.ContainsFunc(old.Addresses, func(p netip.Prefix) bool { return slices.Contains(e.Addresses, p) }) {
			continue
		}
		if len(old.Places) > 0 {
			return false, fmt.Errorf("endpoint %s of HNS has an address of %v, and is attached to %v",
				old.Name, e.Addresses, old.Places)
		}
		w.Log.Warn("delete an endpoint that is attached to nothing and has the pod's address",
			"endpoint", old.Name, "addresses", old.Addresses)
		if err := w.remove(ctx, h, old.Name, old.ID); err != nil {
			return false, err
		}
		evicted = true
	}
	return evicted, nil
}

// remove deletes an endpoint; one that is gone is success.
func (w *Dataplane) remove(ctx context.Context, h hns, name, id string) error {
	err := tell(ctx, w, "delete endpoint "+name, func() error { return h.DeleteEndpoint(id) })
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// DeleteEndpoint implements network.Dataplane. Without an ID it goes by the name.
func (w *Dataplane) DeleteEndpoint(ctx context.Context, n *network.Network, e *network.Endpoint) error {
	h := w.anyAPI(ctx, e.NetNS)
	name := nameOf(e.Owner)
	found := []hnsEndpoint{{}}
	if e.HNS != nil && e.HNS.ID != "" {
		found[0].ID = e.HNS.ID
		if IsNamespace(e.NetNS) {
			found[0].Places = []string{e.NetNS}
		}
	} else {
		var err error
		if found, err = w.own(ctx, h, n, e); err != nil {
			return err
		}
	}
	for _, one := range found {
		for _, place := range one.Places {
			if !IsNamespace(place) {
				continue // HNS detaches from containers by itself
			}
			// The runtime may have removed the namespace already. Deleting the endpoint takes it out of it, too.
			if err := tell(ctx, w, "detach endpoint "+name+" from "+place, func() error {
				return h.Detach(place, one.ID)
			}); err != nil && !errors.Is(err, errGone) {
				w.Log.Warn("detach an endpoint that is deleted all the same", "endpoint", name, "error", err)
			}
		}
		if err := w.remove(ctx, h, name, one.ID); err != nil {
			return err
		}
	}
	return nil
}

// own lists the owner's endpoints in HNS as their names tell. The name of earlier versions may be another container's:
// such a one is the owner's if it is not another one's by the state, and attached to nothing or to where the owner is.
func (w *Dataplane) own(ctx context.Context, h hns, n *network.Network,
	e *network.Endpoint) (list []hnsEndpoint, err error) {
	at, err := w.network(ctx, h, n.Name)
	if errors.Is(err, errGone) {
		return nil, nil // its endpoints went with it
	}
	if err != nil {
		return nil, err
	}
	for _, name := range []string{nameOf(e.Owner), formerName(e.Owner)} {
		found, err := w.named(ctx, h, name)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			former := name != nameOf(e.Owner)
			elsewhere := len(f.Places) > 0 && !attachedTo(f, cmp.Or(e.NetNS, w.NetNS)) && !attachedTo(f, e.ContainerID)
			if !strings.EqualFold(f.NetworkID, at.ID) || former && (elsewhere || knownAs(n, f.ID)) {
				continue
			}
			list = append(list, f)
		}
	}
	return list, nil
}

func (w *Dataplane) named(ctx context.Context, h hns, name string) ([]hnsEndpoint, error) {
	return ask(ctx, w, "look for endpoint "+name, func() ([]hnsEndpoint, error) { return h.EndpointsByName(name) })
}

// knownAs says whether the state has the endpoint, by HNS's ID.
func knownAs(n *network.Network, id string) bool {
	for other := range n.Attached() {
		if other.HNS != nil && strings.EqualFold(other.HNS.ID, id) {
			return true
		}
	}
	return false
}

// CheckEndpoint implements network.Dataplane.
func (w *Dataplane) CheckEndpoint(ctx context.Context, _ *network.Network, e *network.Endpoint) error {
	h := w.anyAPI(ctx, e.NetNS)
	name := nameOf(e.Owner)
	if e.HNS == nil {
		return fmt.Errorf("%w: endpoint %s is not known to be in HNS", network.ErrDifference, name)
	}
	found, err := ask(ctx, w, "look for endpoint "+name, func() (hnsEndpoint, error) { return h.Endpoint(e.HNS.ID) })
	if errors.Is(err, errGone) {
		return fmt.Errorf("%w: HNS has no endpoint %s (%s)", network.ErrDifference, name, e.HNS.ID)
	}
	if err != nil {
		return err
	}
	for _, a := range e.Addresses {
		if !slices.Contains(found.Addresses, a) {
			return fmt.Errorf("%w: endpoint %s has %v in HNS instead of %v", network.ErrDifference, name,
				found.Addresses, e.Addresses)
		}
	}
	place := e.NetNS
	if !IsNamespace(place) {
		place = e.ContainerID
	}
	if !attachedTo(found, place) {
		return fmt.Errorf("%w: endpoint %s is not attached to %s, but to %v",
			network.ErrDifference, name, place, found.Places)
	}
	return nil
}

// Status implements network.Dataplane.
func (w *Dataplane) Status(ctx context.Context, n *network.Network) error {
	if _, err := switchType(n); err != nil {
		return err
	}
	_, err := w.network(ctx, w.anyAPI(ctx, ""), n.Name)
	if errors.Is(err, errGone) {
		return nil // the first ADD makes it
	}
	return err
}
