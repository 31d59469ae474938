package network

import (
	"net/netip"
	"slices"
	"testing"
)

func TestWhatALateCallOfTheClassicPluginMadeIsAdopted(t *testing.T) {
	t.Parallel()
	endpoint := func(id, veth, address string) *Endpoint {
		return &Endpoint{Owner: Owner{"azure", id, "eth0"}, State: Ready, HostIfName: veth, MAC: "0a:00:00:00:00:01",
			Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}
	}
	state := func(list ...*Endpoint) *State {
		n := &Network{Name: "azure", Mode: ModeBridge, Master: "eth0", Bridge: "azure0"}
		for _, e := range list {
			n.Endpoints.Set(e)
		}
		return &State{Networks: map[string]*Network{"azure": n}}
	}
	// old was taken over, new is ours; gone was deleted since then, late came meanwhile, lost did not get far, twice has
	// what new has by now.
	s := state(endpoint("old", "azv1", "10.0.0.5/16"), endpoint("new", "azv2", "10.0.0.6/16"))
	s.Networks["azure"].MAC = "00:0d:3a:00:00:01"
	late := state(endpoint("old", "azv0", "10.0.0.99/16"), endpoint("gone", "azv3", "10.0.0.7/16"), endpoint("late", "azv4", "10.0.0.8/16"),
		endpoint("twice", "azv5", "10.0.0.6/16"))
	late.Networks["other"] = &Network{Name: "other", Mode: ModeTransparent, Master: "eth1", Observed: Observed{Imported: true}}
	there := []string{"azv0", "azv1", "azv2", "azv4", "azv5"}
	s.MergeLate(late, func(name string) bool { return slices.Contains(there, name) })

	n := s.Networks["azure"]
	var got []string
	for e := range n.Endpoints.All() {
		got = append(got, e.ContainerID+" "+e.Addresses[0].String())
	}
	if want := []string{"old 10.0.0.5/16", "new 10.0.0.6/16", "late 10.0.0.8/16"}; !slices.Equal(got, want) {
		t.Errorf("endpoints are %q, want %q", got, want)
	}
	if !n.Imported || n.MAC == "" {
		t.Errorf("imported %t, MAC %q: what the call made on the host is not looked at, or what is ours was forgotten", n.Imported, n.MAC)
	}
	if s.Networks["other"] == nil {
		t.Error("a network that only the call knows is not there")
	}
}
