package manager

import (
	"context"

	"github.com/Azure/azure-container-networking/network"
)

// followMTU lets the pods of a bridge follow their master's MTU, which was another one before: what is larger than a
// port's MTU a bridge drops without a word. Pods that had a smaller one by configuration keep it as long as that is so.
func (m *Manager) followMTU(ctx context.Context, s *network.State, n *network.Network, before int) {
	if n.Bridge == "" || before == 0 || before == n.MTU {
		return
	}
	for _, carried := range s.CarriedWith(n) {
		for e := range carried.Endpoints.All() {
			if e.State != network.Ready || e.MTU != before && e.MTU <= n.MTU {
				continue
			}
			if err := m.Dataplane.FollowMTU(ctx, e, n.MTU); err != nil { // it is tried again when the pod is recreated
				m.Log.Warn("give a pod the MTU of its master", "endpoint", e.Owner, "mtu", n.MTU, "error", err)
				continue
			}
			changed := *e
			changed.MTU = n.MTU
			carried.Endpoints.Set(&changed)
		}
	}
}
