package manager

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/Azure/azure-container-networking/network"
)

// rebuild completes the record of a network that is new to the state, but not to the host: the file was lost with pods
// alive, ours or the classic plugin's. As long as that has not been done, no pod can be told from a stranger, so an ADD
// cannot do without.
func (m *Manager) rebuild(ctx context.Context, n *network.Network) error {
	n.Current = m.current(n)
	found, err := m.Dataplane.Endpoints(ctx, n)
	if err != nil {
		return fmt.Errorf("look for pods that only the host knows: %w", err)
	}
	foreign, err := m.nameOwners(ctx, found)
	if err != nil {
		return err
	}
	return m.Store.Update(ctx, func(s *network.State) error {
		record := s.Networks[n.Name]
		if record == nil {
			return nil
		}
		record.Unsearched = false
		var lost network.Endpoints
		for _, e := range found {
			if record.Endpoints.Get(e.Key()) != nil || m.goneMeanwhile(ctx, e) {
				continue
			}
			m.Log.Warn("an endpoint that only the host knew is in the state again",
				"endpoint", e.Owner, "addresses", e.Addresses)
			record.Endpoints.Set(e)
			lost.Set(e)
			record.Imported = record.Imported || slices.Contains(foreign, e)
		}
		n.Carried, n.Imported = append(n.Carried, lost), n.Imported || record.Imported
		return nil
	})
}

// goneMeanwhile says whether a DEL has taken away what was found on the host. It is asked under the state's lock, for
// which a DEL waits when nothing of the pod is there any more: it then finds what was recorded before (Remove, forget).
func (m *Manager) goneMeanwhile(ctx context.Context, e *network.Endpoint) bool {
	if m.Interface == nil {
		return m.Gone(ctx, e)
	}
	_, there, err := m.Interface(e.HostIfName)
	return err == nil && !there
}

// nameOwners gives pods of which the host does not show whose they are, because another plugin made them, the
// containers that hold their addresses. It returns these pods.
func (m *Manager) nameOwners(ctx context.Context, found []*network.Endpoint) (foreign []*network.Endpoint, err error) {
	var holders map[netip.Addr]string
	for _, e := range found {
		if !e.Nameless() {
			continue
		}
		foreign = append(foreign, e)
		if holders == nil && m.Holders != nil {
			if holders, err = m.Holders(ctx); err != nil {
				return nil, fmt.Errorf("look who holds addresses: %w", err)
			}
		}
		for _, a := range e.Addresses {
			if id := holders[a.Addr()]; id != "" {
				e.ContainerID = id
			}
		}
	}
	return foreign, nil
}

// namelessIn is the endpoint of a pod of which the container is not known, by its namespace.
func (m *Manager) namelessIn(ctx context.Context, o network.Owner,
	netns string) (n *network.Network, e *network.Endpoint, err error) {
	if netns == "" {
		return nil, nil, nil
	}
	own, err := os.Stat(netns)
	if err != nil {
		return nil, nil, nil //nolint:nilerr // a pod that is gone has no endpoint in there
	}
	err = m.Store.View(ctx, func(s *network.State) error {
		record := s.Networks[o.Network]
		if record == nil {
			return nil
		}
		for known := range record.Endpoints.All() {
			if !known.Nameless() || known.IfName != o.IfName {
				continue
			}
			if its, serr := os.Stat(known.NetNS); serr == nil && os.SameFile(own, its) {
				n, e = s.ViewOf(record), known
			}
		}
		return nil
	})
	return n, e, err
}
