package manager

import (
	"context"
	"errors"

	"github.com/Azure/azure-container-networking/network"
)

// Gone says whether a pod is gone for certain: what is known of it is not there any more, and nobody called DEL. Where
// that cannot be found out, it is not.
func (m *Manager) Gone(ctx context.Context, e *network.Endpoint) bool {
	if e.State != network.Ready {
		return false
	}
	gone, err := m.Dataplane.Gone(ctx, e)
	return gone && err == nil
}

// Bury takes away the endpoints of all networks whose pods are gone without a DEL, and returns their owners: their
// addresses are nobody's. It goes on after an error and reports all.
func (m *Manager) Bury(ctx context.Context) (buried []network.Owner, errs error) {
	return m.buryWhich(ctx, func(*network.Endpoint) bool { return true })
}

// BuryNameless is Bury for pods of which the container is not known, so that no list of a runtime's can say that they
// are gone.
func (m *Manager) BuryNameless(ctx context.Context) ([]network.Owner, error) {
	return m.buryWhich(ctx, func(e *network.Endpoint) bool { return e.Nameless() })
}

func (m *Manager) buryWhich(ctx context.Context,
	which func(*network.Endpoint) bool) (buried []network.Owner, errs error) {
	var ready []*network.Endpoint
	err := m.Store.View(ctx, func(s *network.State) error {
		for _, n := range s.Networks {
			for e := range n.Endpoints.All() {
				if e.State == network.Ready && which(e) {
					ready = append(ready, e)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, e := range ready {
		gone, err := m.Dataplane.Gone(ctx, e)
		if err == nil && gone {
			err = m.bury(ctx, e.Owner)
			if err == nil {
				buried = append(buried, e.Owner)
			}
		}
		errs = errors.Join(errs, err)
	}
	return buried, errs
}

// bury looks once more when nobody else can do anything about the owner.
func (m *Manager) bury(ctx context.Context, o network.Owner) error {
	claim, err := m.Claim(ctx, o)
	if err != nil {
		return err
	}
	defer claim.Release()
	_, e, err := m.find(ctx, o)
	if err != nil || e == nil || e.State != network.Ready {
		return err
	}
	if gone, err := m.Dataplane.Gone(ctx, e); err != nil || !gone {
		return err
	}
	m.Log.Warn("a pod is gone, and nobody called DEL", "endpoint", o, "addresses", e.Addresses)
	return m.Delete(ctx, o)
}
