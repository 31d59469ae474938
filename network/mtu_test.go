package network

import (
	"context"
	"testing"
)

// followed is a host on which every pod gets the MTU that it is told.
type followed struct{ Dataplane }

func (followed) FollowMTU(context.Context, *Endpoint, int) error { return nil }

func TestTheRecordOfAPodFollowsItsMastersMTU(t *testing.T) {
	t.Parallel()
	n := &Network{Name: "azure", Bridge: "azure0", Observed: Observed{MTU: 9000}}
	s := &State{Networks: map[string]*Network{"azure": n}}
	for i, mtu := range []int{1500, 1400} {
		n.Endpoints.Set(&Endpoint{Owner: Owner{"azure", []string{"c1", "c2"}[i], "eth0"}, State: Ready, MTU: mtu})
	}
	(&Manager{Dataplane: followed{}}).followMTU(t.Context(), s, n, 1500)
	if a, b := n.Endpoints.Get("c1/eth0").MTU, n.Endpoints.Get("c2/eth0").MTU; a != 9000 || b != 1400 {
		t.Errorf("the MTUs are %d and %d: the first was its master's, and the second is by configuration", a, b)
	}
}
