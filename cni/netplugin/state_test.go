package netplugin

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/network"
)

// The two plugins know nothing of each other's records but what docs/network.md says of the file: what this one writes,
// the other reads.
func TestTheIPAMPluginReadsTheStateOfThisOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := OpenStore(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(s *network.State) error {
		n := &network.Network{Name: "azure"}
		n.Endpoints.Set(&network.Endpoint{
			Owner: network.Owner{Network: "azure", ContainerID: "c1", IfName: "eth0"}, State: network.Ready,
			PodNamespace: "default", PodName: "web-0",
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.240.0.5/16"), netip.MustParsePrefix("fd00::5/64")},
		})
		n.Endpoints.Set(&network.Endpoint{Owner: network.Owner{Network: "azure", ContainerID: "c2", IfName: "eth0"}, State: network.Pending})
		s.Networks = map[string]*network.Network{"azure": n}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, Name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	holder := ipam.Owner{Network: "azure", ContainerID: "c1", IfName: "eth0"}
	owners := ipam.AttachmentOwners(raw)
	if len(owners) != 2 || owners[netip.MustParseAddr("10.240.0.5")] != holder || owners[netip.MustParseAddr("fd00::5")] != holder {
		t.Errorf("owners %v", owners)
	}
	if pods := ipam.AttachmentPods(raw); len(pods) != 1 || pods[holder] != "default/web-0" {
		t.Errorf("pods %v", pods)
	}
}
