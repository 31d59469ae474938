package manager

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
)

// anothers is a host with a pod that another plugin made, and that no state names. deleted are the endpoints that were
// taken off it.
type anothers struct {
	network.Dataplane
	deleted *[]network.Endpoint
}

func (a anothers) DeleteEndpoint(_ context.Context, n *network.Network, e *network.Endpoint) error {
	if n.Name == e.Network {
		*a.deleted = append(*a.deleted, *e)
	}
	return nil
}

func (anothers) Endpoints(context.Context, *network.Network) ([]*network.Endpoint, error) {
	return []*network.Endpoint{{
		Owner: network.Owner{Network: "azure", ContainerID: platform.NamelessPrefix + "1", IfName: "eth0"}, State: network.Ready,
		HostIfName: "azv1", Addresses: []netip.Prefix{netip.MustParsePrefix("10.240.1.1/16")},
	}}, nil
}

// A pod that another plugin made gets the name of whoever holds its address, and its network counts as imported. If a
// DEL took it away since it was found, nothing is recorded, and nothing is left of what an ADD has made of the record
// meanwhile.
func TestAPodOfAnotherPluginIsFoundAgain(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]bool{"there": true, "gone meanwhile": false} {
		st := store.New(store.Options[network.State]{Path: filepath.Join(t.TempDir(), "azure-vnet.json"), Schema: network.Schema})
		n := &network.Network{Name: "azure", Master: "eth0", Unsearched: true}
		if err := st.Update(t.Context(), func(s *network.State) error {
			s.Networks = map[string]*network.Network{"azure": n}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var deleted []network.Endpoint
		m := &Manager{Store: st, Dataplane: anothers{deleted: &deleted}, Log: slog.New(slog.DiscardHandler),
			Interface: func(string) (platform.Interface, bool, error) { return platform.Interface{}, there, nil },
			Holders: func(context.Context) (map[netip.Addr]string, error) {
				return map[netip.Addr]string{netip.MustParseAddr("10.240.1.1"): "c1"}, nil
			}}
		if err := m.rebuild(t.Context(), &network.Network{Name: "azure"}); err != nil {
			t.Fatal(err)
		}
		if err := st.View(t.Context(), func(s *network.State) error {
			record := s.Networks["azure"]
			if len(deleted) != map[bool]int{false: 1}[there] || !there && deleted[0].ContainerID != "c1" {
				t.Errorf("%s: taken off the host: %+v", name, deleted)
			}
			if e := record.Endpoints.Get("c1/eth0"); !record.Imported || (e != nil) != there || record.Endpoints.Len() > 1 {
				t.Errorf("%s: imported %t, %d endpoints, %+v", name, record.Imported, record.Endpoints.Len(), e)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
