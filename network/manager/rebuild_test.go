package manager

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
)

// hidden is a host with pods that no state names: one that another plugin made, and one of ours. It says when something
// is taken off it.
type hidden struct {
	network.Dataplane
	there    func(veth string) bool
	deleting chan string
}

func (h hidden) Gone(_ context.Context, e *network.Endpoint) (bool, error) {
	return !h.there(e.HostIfName), nil
}

func (hidden) Endpoints(context.Context, *network.Network) ([]*network.Endpoint, error) {
	pod := func(id, veth, address string) *network.Endpoint {
		return &network.Endpoint{Owner: network.Owner{Network: "azure", ContainerID: id, IfName: "eth0"},
			State: network.Ready, HostIfName: veth, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}
	}
	return []*network.Endpoint{pod(platform.NamelessPrefix+"1", "azv1", "10.240.1.1/16"),
		pod("c2", "azv2", "10.240.1.2/16")}, nil
}

func (h hidden) DeleteEndpoint(_ context.Context, _ *network.Network, e *network.Endpoint) error {
	h.deleting <- e.ContainerID
	return nil
}

func (hidden) EnsureNetwork(_ context.Context, n *network.Network) (network.Ensured, error) {
	return network.Ensured{Observed: n.Observed}, nil
}

// hiddenPods is a manager of that host, whose state has been lost; there says whether a host veth is there.
func hiddenPods(t *testing.T, there func(veth string) bool) (*Manager, hidden) {
	t.Helper()
	st := store.New(store.Options[network.State]{Path: filepath.Join(t.TempDir(), "azure-vnet.json"), Schema: network.Schema})
	if err := st.Update(t.Context(), func(s *network.State) error {
		s.Networks = map[string]*network.Network{"azure": {Name: "azure", Master: "eth0", Unsearched: true}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	host := hidden{there: there, deleting: make(chan string, 2)}
	return &Manager{Store: st, Dataplane: host, Log: slog.New(slog.DiscardHandler),
		Interface: func(veth string) (platform.Interface, bool, error) { return platform.Interface{}, there(veth), nil },
		Holders: func(context.Context) (map[netip.Addr]string, error) {
			return map[netip.Addr]string{netip.MustParseAddr("10.240.1.1"): "c1"}, nil
		}}, host
}

// recorded are the containers that the state has, and whether their network counts as another plugin's.
func recorded(t *testing.T, m *Manager) (containers map[string]bool, imported bool) {
	t.Helper()
	containers = map[string]bool{}
	if err := m.Store.View(t.Context(), func(s *network.State) error {
		imported = s.Networks["azure"].Imported
		for e := range s.Networks["azure"].Endpoints.All() {
			containers[e.ContainerID] = true
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return containers, imported
}

// A pod that another plugin made gets the name of whoever holds its address, and its network counts as imported. What a
// DEL took away since it was found is not recorded, whoever made it. HNS is asked for that on Windows, where no interface
// of the host is a pod's.
func TestPodsThatOnlyTheHostKnowsAreFoundAgain(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]map[string]bool{
		"all there":     {"azv1": true, "azv2": true},
		"one is gone":   {"azv1": true},
		"ours is there": {"azv2": true},
		"all are gone":  {},
	} {
		for _, windows := range []bool{false, true} {
			m, _ := hiddenPods(t, func(veth string) bool { return want[veth] })
			if windows {
				m.Interface = nil
			}
			if err := m.rebuild(t.Context(), &network.Network{Name: "azure"}); err != nil {
				t.Fatal(err)
			}
			got, imported := recorded(t, m)
			if len(got) != len(want) || got["c1"] != want["azv1"] || got["c2"] != want["azv2"] || imported != want["azv1"] {
				t.Errorf("%s, Windows %t: recorded %v, imported %t", name, windows, got, imported)
			}
		}
	}
}

// A DEL of a pod that nobody has written down comes just when the search has seen that it is there: it must not end
// before that is in the state, from which it then takes it.
func TestADelWaitsForTheSearchThatHasSeenItsPod(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	var m *Manager
	var host hidden
	var begun bool
	m, host = hiddenPods(t, func(veth string) bool {
		if veth == "azv2" && !begun {
			begun = true
			go func() {
				ended <- m.Delete(t.Context(), network.Owner{Network: "azure", ContainerID: "c2", IfName: "eth0"})
			}()
			<-host.deleting
			select {
			case err := <-ended:
				t.Errorf("the DEL ended before the search had written what it saw: %v", err)
				ended <- err
			case <-time.After(200 * time.Millisecond): // it can only be too short
			}
		}
		return true
	})
	if err := m.rebuild(t.Context(), &network.Network{Name: "azure"}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got, _ := recorded(t, m); !got["c1"] || got["c2"] {
		t.Errorf("recorded %v", got)
	}
}
