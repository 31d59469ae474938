package network

import (
	"fmt"
	"net/netip"

	"github.com/Azure/azure-container-networking/platform"
)

// uses says whether a network has the bridge.
func (s *State) uses(bridge string) bool {
	for _, n := range s.Networks {
		if n.Bridge == bridge {
			return true
		}
	}
	return false
}

// configure is the network's record as the configuration wants it: a new one, or the known one with what
// may change while pods live on it. Master and bridge may not.
func configure(known *Network, c Config, name string, subnets []netip.Prefix, ifaces []platform.Interface) (*Network, error) {
	want := c.Master
	if want == "" && known != nil {
		want = known.Master
	}
	master, err := pickMaster(ifaces, want, subnets)
	if err != nil {
		return nil, err
	}
	n := &Network{Name: name, Master: master.Name, Endpoints: map[string]*Endpoint{}}
	if known != nil {
		n = known
	}
	bridge := c.Bridge
	switch {
	case c.Mode == ModeTransparent:
		bridge = ""
	case bridge == "" && known != nil && known.Master == master.Name && known.Bridge != "":
		bridge = known.Bridge
	case bridge == "":
		bridge = fmt.Sprintf("azure%d", master.Index)
	}
	change := known != nil && (known.Master != master.Name || known.Bridge != bridge)
	// A bridge that changes its master while it has its name cannot be told from the former one.
	if change && (len(known.Endpoints) > 0 || known.Bridge == bridge) {
		return nil, fmt.Errorf("%w: network %s has %d endpoints on master %s, bridge %s; the configuration says master %s, bridge %s. Drain the node first and name another bridge, or run azure-vnet cleanup",
			ErrConflict, name, len(known.Endpoints), known.Master, known.Bridge, master.Name, bridge)
	}
	if change && known.Bridge != "" {
		n.Former = append(n.Former, Former{known.Master, known.Bridge})
		n.MAC, n.MTU, n.Host, n.DNS = "", 0, nil, nil
	}
	n.Master, n.Bridge, n.Mode, n.AntiSpoof, n.HostAgent = master.Name, bridge, c.Mode, c.AntiSpoof, c.HostAgent
	for _, a := range subnets {
		n.Prefixes = addPrefix(n.Prefixes, a.Masked())
	}
	if n.Endpoints == nil {
		n.Endpoints = map[string]*Endpoint{}
	}
	return n, nil
}

func addPrefix(list []netip.Prefix, p netip.Prefix) []netip.Prefix {
	for _, have := range list {
		if have == p {
			return list
		}
	}
	return append(list, p)
}
