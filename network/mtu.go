package network

import "context"

// follower is what a data plane can offer besides: pods get another MTU while they live.
type follower interface {
	// FollowMTU sets the MTU of both ends of the endpoint's veth. One that is gone needs none.
	FollowMTU(ctx context.Context, e *Endpoint, mtu int) error
}

// followMTU lets the pods of a bridge follow their master's MTU, which was another one before: what is larger than a port's MTU a bridge drops
// without a word. Pods that had a smaller one by configuration keep it as long as that is so.
func (m *Manager) followMTU(ctx context.Context, s *State, n *Network, before int) {
	plane, ok := m.Plane.(follower)
	if !ok || n.Bridge == "" || before == 0 || before == n.MTU {
		return
	}
	for _, carried := range s.carriedWith(n) {
		for e := range carried.Endpoints.All() {
			if e.State != Ready || e.MTU != before && e.MTU <= n.MTU {
				continue
			}
			if err := plane.FollowMTU(ctx, e, n.MTU); err != nil { // it is tried again when the pod is recreated
				m.Log.Warn("give a pod the MTU of its master", "endpoint", e.Owner, "mtu", n.MTU, "error", err)
				continue
			}
			e.MTU = n.MTU
			carried.Endpoints.Set(e)
		}
	}
}
