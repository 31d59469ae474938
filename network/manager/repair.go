package manager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/network"
)

// Repaired is what a repair did.
type Repaired struct {
	Right []string // what was wrong, one thing each
	Busy  int      // endpoints that another command is about: they were left to it
}

// Repair puts right what an ADD looks at, without a pod, and for the pods that are there what CHECK repairs. It makes
// no network that has not been there. What another plugin made is left to an ADD. It goes on after an error and reports
// all.
func (m *Manager) Repair(ctx context.Context) (done Repaired, err error) {
	var owners []string
	networks := 0
	err = m.Store.View(ctx, func(s *network.State) error {
		networks = len(s.Networks)
		for _, n := range s.Networks {
			for e := range n.Endpoints.Ready() {
				owners = append(owners, e.Owner.String())
			}
		}
		return nil
	})
	if err != nil || networks == 0 {
		return done, err
	}
	// What is claimed is neither deleted nor made meanwhile. Who has a claim makes or deletes the endpoint, and needs no
	// help.
	claim, free, err := m.Claims.Try(ctx, owners...)
	if err != nil {
		return done, err
	}
	defer claim.Release()
	done.Busy = len(owners) - len(free)
	list, err := m.claimed(ctx, free)
	for _, n := range list {
		right, merr := m.mend(ctx, n)
		done.Right = append(done.Right, right...)
		if merr != nil {
			err = errors.Join(err, fmt.Errorf("repair network %s: %w", n.Name, merr))
		}
	}
	return done, err
}

// claimed are the networks that have been made, with those of their live endpoints that are claimed, and ready yet.
func (m *Manager) claimed(ctx context.Context, owners []string) (networks []*network.Network, err error) {
	err = m.Store.View(ctx, func(s *network.State) error {
		for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
			n := s.ViewOf(s.Networks[name])
			if !n.Made() || n.Imported {
				continue
			}
			for i, all := range n.Carried {
				n.Carried[i] = network.Endpoints{}
				for e := range all.Ready() {
					if slices.Contains(owners, e.Owner.String()) {
						n.Carried[i].Set(e)
					}
				}
			}
			networks = append(networks, n)
		}
		return nil
	})
	return networks, err
}

// mend repairs one network, and says what was wrong.
func (m *Manager) mend(ctx context.Context, n *network.Network) ([]string, error) {
	wrong, err := m.Dataplane.Ailing(ctx, n)
	if err != nil {
		return nil, err
	}
	n.Suspect = len(wrong) > 0
	made, err := m.ensureAsKnown(ctx, n) // with the claimed ones only
	if err != nil {
		return nil, err
	}
	right := slices.Concat(wrong, made.Reset)
	if len(wrong) == 0 {
		return right, nil
	}
	still, err := m.Dataplane.Ailing(ctx, n)
	if len(still) > 0 {
		err = fmt.Errorf("%w: %s", network.ErrDifference, strings.Join(still, "; "))
	}
	return slices.DeleteFunc(right, func(s string) bool { return slices.Contains(still, s) }), err
}
