package manager

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/store"
)

// followed is a host on which every pod gets the MTU that it is told.
type followed struct{ network.Dataplane }

func (followed) FollowMTU(context.Context, *network.Endpoint, int) error { return nil }

func TestTheRecordOfAPodFollowsItsMastersMTU(t *testing.T) {
	t.Parallel()
	n := &network.Network{Name: "azure", Bridge: "azure0", Observed: network.Observed{MTU: 9000}}
	s := &network.State{Networks: map[string]*network.Network{"azure": n}}
	for i, mtu := range []int{1500, 1400} {
		n.Endpoints.Set(&network.Endpoint{Owner: network.Owner{Network: "azure", ContainerID: []string{"c1", "c2"}[i], IfName: "eth0"},
			State: network.Ready, MTU: mtu})
	}
	(&Manager{Dataplane: followed{}}).followMTU(t.Context(), s, n, 1500)
	if a, b := n.Endpoints.Get("c1/eth0").MTU, n.Endpoints.Get("c2/eth0").MTU; a != 9000 || b != 1400 {
		t.Errorf("the MTUs are %d and %d: the first was its master's, and the second is by configuration", a, b)
	}
}

// What a change that was given up has made of a pod's record is forgotten.
func TestAPodWhoseMTUCouldNotBeWrittenHasTheOldOne(t *testing.T) {
	t.Parallel()
	st := store.New(store.Options[network.State]{Path: filepath.Join(t.TempDir(), "azure-vnet.json"), Schema: network.Schema})
	if err := st.Update(t.Context(), func(s *network.State) error {
		n := &network.Network{Name: "azure"}
		n.Endpoints.Set(&network.Endpoint{Owner: network.Owner{Network: "azure", ContainerID: "c1", IfName: "eth0"},
			State: network.Ready, MTU: 1500})
		s.Networks = map[string]*network.Network{"azure": n}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	givenUp := errors.New("given up")
	for range 2 { // the second one knows the records
		if err := st.Update(t.Context(), func(s *network.State) error {
			n := s.Networks["azure"]
			if mtu := n.Endpoints.Get("c1/eth0").MTU; mtu != 1500 {
				t.Errorf("the MTU is %d", mtu)
			}
			n.Bridge, n.MTU = "azure0", 9000
			(&Manager{Dataplane: followed{}}).followMTU(t.Context(), s, n, 1500)
			return givenUp
		}); !errors.Is(err, givenUp) {
			t.Fatal(err)
		}
	}
}
