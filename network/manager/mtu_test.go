package manager

import (
	"context"
	"testing"

	"github.com/Azure/azure-container-networking/network"
)

// followed is a host on which every pod gets the MTU that it is told.
type followed struct{ network.Dataplane }

func (followed) FollowMTU(context.Context, *network.Endpoint, int) error { return nil }

func TestTheRecordOfAPodFollowsItsMastersMTU(t *testing.T) {
	t.Parallel()
	n := &network.Network{Name: "azure", Bridge: "azure0", Observed: network.Observed{MTU: 9000}}
	s := &network.State{Networks: map[string]*network.Network{"azure": n}}
	for i, mtu := range []int{1500, 1400} {
		n.Endpoints.Set(&network.Endpoint{Owner: network.Owner{Network: "azure", ContainerID: []string{"c1", "c2"}[i], IfName: "eth0"}, State: network.Ready, MTU: mtu})
	}
	(&Manager{Dataplane: followed{}}).followMTU(t.Context(), s, n, 1500)
	if a, b := n.Endpoints.Get("c1/eth0").MTU, n.Endpoints.Get("c2/eth0").MTU; a != 9000 || b != 1400 {
		t.Errorf("the MTUs are %d and %d: the first was its master's, and the second is by configuration", a, b)
	}
}
