package manager

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/network"
)

// Collect deletes every endpoint of the network that keep does not name, known to the state or only to the host, and
// returns whose they were, and whose could not be deleted; the latter is nil if what is on the host is not known. It
// goes on after an error and reports all.
func (m *Manager) Collect(ctx context.Context, name string,
	keep func(containerID, ifName string) bool) (collected, left []network.Owner, err error) {
	if m.Store.Foreign(ctx) {
		if err := m.own(ctx); err != nil {
			return nil, nil, err
		}
	}
	n, stale, err := m.stale(ctx, name, keep)
	if err != nil {
		return nil, nil, err
	}
	if len(stale) > 0 && !m.alone {
		var names []string
		for _, e := range stale {
			names = append(names, e.Owner.String())
		}
		claim, cerr := m.Claims.Take(ctx, names...)
		if cerr != nil {
			return nil, nil, cerr
		}
		defer claim.Release()
		// Somebody may have deleted one meanwhile, and its address may be another's by now.
		if n, stale, err = m.stale(ctx, name, func(containerID, ifName string) bool {
			return !slices.Contains(names, network.Owner{Network: name, ContainerID: containerID, IfName: ifName}.String())
		}); err != nil {
			return nil, nil, err
		}
	}
	owners := map[network.Owner]bool{}
	collected = m.collectAtOnce(ctx, n, stale)
	if collected == nil {
		for _, e := range stale {
			owners[e.Owner] = true
		}
	}
	found, errs := m.Dataplane.Owners(ctx, n)
	if errs != nil { // the IPAM plugin is to be told, and that needs to be known: the kernel may have been short of memory
		m.Log.Warn("look for what the host has of the network's pods", "network", name, "error", errs)
		found, errs = m.Dataplane.Owners(ctx, n)
	}
	if errs == nil {
		left = []network.Owner{}
	}
	for _, o := range found {
		owners[o] = true
	}
	for _, o := range network.OwnersOf(owners) {
		if o.Network != name || keep(o.ContainerID, o.IfName) {
			continue
		}
		if err := m.Delete(ctx, o); err != nil {
			errs = errors.Join(errs, fmt.Errorf("collect %s: %w", o, err))
			if left != nil {
				left = append(left, o)
			}
			continue
		}
		collected = append(collected, o)
	}
	if n.Bridge != "" && !n.Imported {
		errs = errors.Join(errs, m.Dataplane.Sweep(ctx, n, m.addresses))
	}
	return collected, left, errs
}

// stale are the network's endpoints that keep does not name.
func (m *Manager) stale(ctx context.Context, name string,
	keep func(containerID, ifName string) bool) (n *network.Network, list []*network.Endpoint, err error) {
	n = &network.Network{Name: name}
	err = m.Store.View(ctx, func(s *network.State) error {
		if known := s.Networks[name]; known != nil {
			n = s.ViewOf(known)
			for e := range known.Endpoints.All() {
				if !keep(e.ContainerID, e.IfName) {
					list = append(list, e)
				}
			}
		}
		return nil
	})
	return n, list, err
}

// addresses are those of all endpoints that the state knows.
func (m *Manager) addresses(ctx context.Context) (map[netip.Addr]bool, error) {
	var known map[netip.Addr]bool
	err := m.Store.View(ctx, func(s *network.State) error {
		known = s.Taken()
		return nil
	})
	return known, err
}

// collectAtOnce deletes the endpoints together, and returns whose they were. After an error those are none: one by one
// it shows which of them cannot be deleted.
func (m *Manager) collectAtOnce(ctx context.Context, n *network.Network,
	stale []*network.Endpoint) (collected []network.Owner) {
	if len(stale) < 2 || n.Imported {
		return nil
	}
	err := m.Dataplane.DeleteEndpoints(ctx, n, stale)
	if err == nil {
		err = m.Store.Update(ctx, func(s *network.State) error {
			if record := s.Networks[n.Name]; record != nil {
				for _, e := range stale {
					record.Endpoints.Delete(e.Key())
				}
			}
			return nil
		})
	}
	if err != nil {
		m.Log.Warn("collect endpoints at once", "network", n.Name, "endpoints", len(stale), "error", err)
		return nil
	}
	for _, e := range stale {
		collected = append(collected, e.Owner)
	}
	return collected
}
