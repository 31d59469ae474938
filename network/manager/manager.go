package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/log/step"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
)

// Manager brings networks and endpoints into being and takes them away. Its fields are set once.
type Manager struct {
	Store      *store.Store[network.State]
	Dataplane  network.Dataplane
	Interfaces func() ([]platform.Interface, error)
	// Interface is one of them, without its addresses; nil looks for it among all.
	Interface func(name string) (platform.Interface, bool, error)
	// OnHost says which addresses the host has itself, of the families that are asked for, and on which interface; nil:
	// none.
	OnHost func(v4, v6 bool) (map[netip.Addr]string, error)
	// Holders says which containers hold addresses, for pods of which the host does not tell; nil: nobody knows.
	Holders func(ctx context.Context) (map[netip.Addr]string, error)
	Now     func() time.Time
	Log     *slog.Logger

	// Claims keep two commands for one owner apart, and a cleanup from all others.
	Claims store.Claims

	alone  bool                          // this command has claimed everything
	ifaces []platform.Interface          // read once: a command lasts milliseconds
	named  map[string]platform.Interface // likewise
}

// masters are the interfaces among which the master is: the one that is wanted if it is there, else all. On a node with
// hundreds of pods it takes as long to list them as to connect one.
func (m *Manager) masters(want string) ([]platform.Interface, error) {
	if want == "" || m.Interface == nil || m.ifaces != nil {
		return m.interfaces()
	}
	if i, known := m.named[want]; known {
		return []platform.Interface{i}, nil
	}
	i, ok, err := m.Interface(want)
	if err != nil || !ok {
		return m.interfaces() // for the message
	}
	m.named = map[string]platform.Interface{want: i}
	return []platform.Interface{i}, nil
}

func (m *Manager) interfaces() ([]platform.Interface, error) {
	if m.ifaces == nil {
		ifaces, err := step.Get(m.Log, "list the host's interfaces", m.Interfaces)
		if err != nil {
			return nil, fmt.Errorf("list the host's interfaces: %w", err)
		}
		m.ifaces = ifaces
	}
	return m.ifaces, nil
}

// Claim keeps other commands for the owner away until it is released: what a slow one deletes could be the next pod's
// by then, with the same address.
// Errors: the store's.
func (m *Manager) Claim(ctx context.Context, o network.Owner) (*store.Claim, error) {
	return m.take(ctx, o.String())
}

func (m *Manager) take(ctx context.Context, things ...string) (*store.Claim, error) {
	return step.Get(m.Log, "wait for other commands of this container",
		func() (*store.Claim, error) { return m.Claims.Take(ctx, things...) })
}

// ClaimAll keeps all other commands away.
// Errors: the store's.
func (m *Manager) ClaimAll(ctx context.Context) (*store.Claim, error) {
	claim, err := step.Get(m.Log, "wait for all other commands",
		func() (*store.Claim, error) { return m.Claims.TakeAll(ctx) })
	m.alone = err == nil
	return claim, err
}

// Precheck says whether an ADD of this endpoint could work, before anything is taken for it: the owner has
// no ready endpoint, the namespace is there, is not the host's, and has no interface of that name, and the
// master is usable if the configuration names one. It also gives the host back what it lost with a bridge.
// Errors: ErrExists, ErrNetNS, ErrMaster.
func (m *Manager) Precheck(ctx context.Context, c network.Config, e *network.Endpoint) error {
	var state *network.State
	err := m.Store.View(ctx, func(s *network.State) error {
		state = s
		if _, old := s.Endpoint(e.Owner); old != nil {
			e.State = old.State
		}
		return exists(s, e.Owner)
	})
	if err != nil {
		return err
	}
	if c.Master != "" {
		ifaces, err := m.masters(c.Master)
		if err != nil {
			return err
		}
		if _, err := network.PickMaster(ifaces, c.Master, nil); err != nil {
			return err
		}
	}
	if err := step.Do(m.Log, "look at the pod's namespace", func() error { return m.Dataplane.CheckNetNS(ctx, e) },
		slog.String("netns", e.NetNS)); err != nil {
		return err
	}
	m.restore(ctx, state)
	return nil
}

// restore brings bridges back that somebody deleted or set down, with the addresses that the host had there: before an
// address is given, since it must not be one of those.
func (m *Manager) restore(ctx context.Context, s *network.State) {
	if m.Interface == nil {
		return
	}
	for _, n := range s.Networks {
		if n.Bridge == "" || !n.Made() || n.Imported {
			continue
		}
		if bridge, ok, err := m.Interface(n.Bridge); err != nil || ok && bridge.Up {
			continue
		}
		if err := m.ensure(ctx, s.ViewOf(n)); err != nil { // the ADD tries again, and says so
			m.Log.Warn("bring a bridge back", "bridge", n.Bridge, "error", err)
		}
	}
}

// tellOthers lets networks of other NICs know that there is one more NIC with pods: the host has to route between them.
func (m *Manager) tellOthers(ctx context.Context, n *network.Network) {
	var others []*network.Network
	err := m.Store.View(ctx, func(s *network.State) error {
		for _, other := range s.Networks {
			if other.Master != n.Master && other.Made() && !other.Imported {
				others = append(others, s.ViewOf(other))
			}
		}
		return nil
	})
	for _, other := range others {
		err = errors.Join(err, m.ensure(ctx, other))
	}
	if err != nil { // their own ADDs try again, and say so
		m.Log.Warn("tell networks of other NICs of a new one", "network", n.Name, "error", err)
	}
}

func exists(s *network.State, o network.Owner) error {
	if _, old := s.Endpoint(o); old != nil && old.State == network.Ready {
		return fmt.Errorf("%w: %s of container %s in network %s has %v", network.ErrExists, o.IfName,
			o.ContainerID, o.Network, old.Addresses)
	}
	return nil
}

// Add connects the pod: the intent goes to disk, the network is ensured, the endpoint created, and marked
// ready. e brings owner, namespace, addresses and routes; it comes back complete, with its network. On an
// error nothing of the pod is left, unless that fails, too: then the record stays pending.
// Errors: ErrExists, ErrMaster, ErrAddress, ErrConflict, ErrKernel, ErrLeft, and the store's.
func (m *Manager) Add(ctx context.Context, c network.Config, e *network.Endpoint) (_ *network.Network, err error) {
	if err = m.usableAddresses(e); err != nil {
		return nil, err
	}
	subnets := slices.Clone(e.Addresses)
	if c.Mode.Routed() {
		e.MakeRouted()
	} else {
		e.Gateways = nil
	}
	if err = m.takeName(ctx, e.Owner, e.PodIfName(c.Mode)); err != nil {
		return nil, err
	}
	n, err := m.intend(ctx, c, e, subnets)
	if errors.Is(err, errPending) {
		// An earlier ADD of this owner did not end: nobody knows how far it came.
		if err = m.Delete(ctx, e.Owner); err != nil {
			return nil, fmt.Errorf("%w: remove what an interrupted ADD left: %w", network.ErrLeft, err)
		}
		n, err = m.intend(ctx, c, e, subnets)
	}
	if err != nil {
		return nil, err
	}
	undo := &network.Undo{}
	defer func() {
		if err != nil {
			err = undo.Run(ctx, err)
		}
	}()
	ensured := false
	undo.Push(func(ctx context.Context) error { return m.giveUp(ctx, n, e, ensured) })
	if n.Unsearched {
		if err = m.rebuild(ctx, n); err != nil {
			return nil, err
		}
	}
	if err = m.ensure(ctx, n); err != nil {
		return nil, err
	}
	ensured = true
	if n.Created.Equal(e.Created) {
		m.tellOthers(ctx, n)
	}
	if err = step.Do(m.Log, "connect the pod", func() error { return m.Dataplane.CreateEndpoint(ctx, n, e) },
		slog.String("hostIfName", e.HostIfName)); err != nil {
		return nil, err
	}
	if err = m.ready(ctx, e); err != nil {
		return nil, err
	}
	return n, nil
}

// giveUp takes what a failed ADD made of the endpoint off the host, and then forgets the record. As long as
// the host has something of it, the record stays: DEL and GC will try again.
func (m *Manager) giveUp(ctx context.Context, n *network.Network, e *network.Endpoint, ensured bool) error {
	if ensured {
		if err := m.Dataplane.DeleteEndpoint(ctx, n, e); err != nil {
			return fmt.Errorf("%w: %w", network.ErrLeft, err)
		}
	}
	return m.forget(ctx, e.Owner, !ensured)
}

// ensure makes the network as the state wants it.
func (m *Manager) ensure(ctx context.Context, n *network.Network) error {
	n.Current = m.current(n)
	_, err := m.ensureAsKnown(ctx, n)
	return err
}

// current is Network.Current.
func (m *Manager) current(n *network.Network) func(ctx context.Context) (*network.Network, error) {
	return func(ctx context.Context) (*network.Network, error) {
		now := n
		err := m.Store.View(ctx, func(s *network.State) error {
			if record := s.Networks[n.Name]; record != nil {
				now = s.ViewOf(record)
			}
			return nil
		})
		return now, err
	}
}

// ensureAsKnown makes the network, and records at once what it saw: ip_forward as it was before us can be seen only
// the first time.
func (m *Manager) ensureAsKnown(ctx context.Context, n *network.Network) (network.Ensured, error) {
	for _, f := range n.Former {
		former := &network.Network{Name: n.Name, Master: f.Master, Bridge: f.Bridge,
			Observed: network.Observed{Family: f.Family}}
		if err := m.Dataplane.DeleteNetwork(ctx, former); err != nil {
			return network.Ensured{}, fmt.Errorf("take the former bridge %s away: %w", f.Bridge, err)
		}
	}
	made, err := step.Get(m.Log, "see that the network is as it should be",
		func() (network.Ensured, error) { return m.Dataplane.EnsureNetwork(ctx, n) }, slog.String("network", n.Name))
	if err != nil {
		return made, err
	}
	known := n.Observed
	n.Observed, n.Other = made.Observed, made.Other
	if n.Observed.Equal(known) && len(n.Former) == 0 {
		return made, nil
	}
	return made, m.Store.Update(ctx, func(s *network.State) error {
		record := s.Networks[n.Name]
		if record == nil || record.Bridge != n.Bridge {
			return nil // somebody changed or removed it meanwhile; what we saw is of no use
		}
		s.Learn(record, known, made)
		m.followMTU(ctx, s, record, known.MTU)
		record.Former = slices.DeleteFunc(record.Former, func(f network.Former) bool { return slices.Contains(n.Former, f) })
		return nil
	})
}

// Delete takes the owner's endpoint away. It needs no more than the owner; what is gone already, and an
// owner that nobody knows, is success.
func (m *Manager) Delete(ctx context.Context, o network.Owner) error {
	_, err := m.Remove(ctx, o, "")
	return err
}

// Remove is Delete, and returns what was known of the endpoint, if anything. The namespace, which may be "", tells
// which pod it is where the state does not.
func (m *Manager) Remove(ctx context.Context, o network.Owner, netns string) (*network.Endpoint, error) {
	n, e, err := m.find(ctx, o)
	if err == nil && (n == nil || n.Imported) && m.Store.Foreign(ctx) {
		if err = m.own(ctx); err == nil {
			n, e, err = m.find(ctx, o)
		}
	}
	if err == nil && e == nil {
		var there *network.Network
		if there, e, err = m.namelessIn(ctx, o, netns); e != nil {
			n = there
		}
	}
	if err != nil {
		return nil, err
	}
	if e == nil {
		unsearched := n == nil || n.Master == "" || n.Unsearched
		if err = m.removeUnknown(ctx, n, o, netns, unsearched); err != nil || !unsearched {
			return nil, err
		}
		// An ADD may have found it on the host before it went. What that has not written by now, it does not write any
		// more (goneMeanwhile).
		if err = m.own(ctx); err == nil {
			n, e, err = m.find(ctx, o)
		}
		if err != nil || e == nil {
			return nil, err
		}
	}
	if n.Imported {
		// What another plugin made of a pod can be taken away only when it is in our form.
		if err := m.ensure(ctx, n); err != nil {
			m.Log.Warn("take over the network of another plugin", "network", n.Name, "error", err)
		}
	}
	if err := m.disconnect(ctx, n, e); err != nil {
		return nil, err
	}
	return e, m.forget(ctx, e.Owner, false)
}

// removeUnknown takes away what the host shows of an owner without a record; where nobody has looked for lost pods yet,
// by its namespace, too.
func (m *Manager) removeUnknown(ctx context.Context, n *network.Network, o network.Owner,
	netns string, unsearched bool) error {
	if unsearched && netns != "" {
		if err := m.Dataplane.Sever(ctx, o, netns); err != nil {
			return err
		}
	}
	unknown := &network.Network{Name: o.Network}
	if n != nil {
		unknown.Carried = n.Carried // what is known to be others'
	}
	return m.disconnect(ctx, unknown, &network.Endpoint{Owner: o, HostIfName: o.HostIfName()})
}

func (m *Manager) disconnect(ctx context.Context, n *network.Network, e *network.Endpoint) error {
	return step.Do(m.Log, "take the pod off the host", func() error { return m.Dataplane.DeleteEndpoint(ctx, n, e) },
		slog.String("hostIfName", e.HostIfName))
}

// own waits for who is writing the state, and makes it ours, if it is the classic plugin's yet: a call of that which is
// under way changes state and host until its end.
func (m *Manager) own(ctx context.Context) error {
	return m.Store.Update(ctx, func(*network.State) error { return nil })
}

// find is what the state knows of an owner. To look is enough for it; who is to change the host of the classic plugin
// begins with own.
func (m *Manager) find(ctx context.Context, o network.Owner) (n *network.Network, e *network.Endpoint, err error) {
	err = m.Store.View(ctx, func(s *network.State) error {
		record, known := s.Endpoint(o)
		if record != nil {
			n, e = s.ViewOf(record), known
		}
		return nil
	})
	return n, e, err
}

// Status says why an ADD could not work now. A master that is not named is not looked for: which one it is
// depends on the addresses that an ADD gets.
func (m *Manager) Status(ctx context.Context, name string, c network.Config) error {
	ifaces, err := m.masters(c.Master)
	if err != nil {
		return err
	}
	n := &network.Network{Name: name}
	if err := m.Store.Probe(ctx); err != nil {
		return err
	}
	err = m.Store.View(ctx, func(s *network.State) error {
		if known := s.Networks[name]; known != nil {
			n = known
		}
		return nil
	})
	if err != nil {
		return err
	}
	if want := c.Master; want != "" {
		if _, err := network.PickMaster(ifaces, want, nil); err != nil {
			return err
		}
	}
	n.Mode = c.Mode
	return step.Do(m.Log, "look what the kernel has", func() error { return m.Dataplane.Status(ctx, n) })
}
