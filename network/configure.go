package network

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/platform"
)

// UsableMAC says whether the endpoint can have its MAC, which the runtime asks for. (What we derive from addresses is
// unique.)
// Error: ErrConflict.
func (s *State) UsableMAC(n *Network, wants *Endpoint, ifaces []platform.Interface) error {
	mac := wants.MAC
	if mac == azure.FabricMAC.String() {
		return fmt.Errorf("%w: MAC %s is that of Azure's network", ErrConflict, mac)
	}
	for _, i := range ifaces {
		if i.MAC.String() == mac {
			return fmt.Errorf("%w: MAC %s is that of the host's %s", ErrConflict, mac, i.Name)
		}
	}
	for _, other := range s.Networks {
		for e := range other.Endpoints.All() {
			if other.Master == n.Master && e.MAC == mac && e.Owner != wants.Owner {
				return fmt.Errorf("%w: MAC %s is that of %s", ErrConflict, mac, e.Owner)
			}
		}
	}
	return nil
}

// disagrees names a network with pods on the same master that wants the host to be another way. One that another
// plugin made wants nothing but its bridge and its mode.
func (s *State) disagrees(name, master, bridge string, c Config) string {
	for _, n := range s.Networks {
		if n.Name == name || n.Master != master || n.Endpoints.Made() == 0 || c.HNS != nil { // HNS keeps them apart
			continue
		}
		if n.Bridge != bridge || n.Mode != c.Mode || !n.Imported && !reflect.DeepEqual(n.Settings, c.Settings) {
			return n.Name
		}
	}
	return ""
}

// Configure is the network's record as the configuration wants it: a new one, or the known one with what
// may change while pods live on it. Master and bridge may not.
func (s *State) Configure(c Config, name string, subnets []netip.Prefix,
	masters func(want string) ([]platform.Interface, error)) (*Network, error) {
	known := s.Networks[name]
	n := &Network{Name: name}
	if known != nil {
		n = known
	}
	if n.Master == "" { // of an ADD that is under way, and nothing has been done yet
		known = nil
	}
	want := c.Master
	if want == "" && known != nil {
		want = known.Master
	}
	ifaces, err := masters(want)
	if err != nil {
		return nil, err
	}
	master, err := PickMaster(ifaces, want, subnets)
	if err != nil {
		return nil, err
	}
	if c.HNS != nil {
		hns := *c.HNS
		hns.Adapter = adapterFor(ifaces, cmp.Or(hns.Adapter, master.Name))
		c.HNS, c.Bridge = &hns, name // HNS knows its switch by the network's name
	}
	master.Name = platform.AdapterName(master.Name)
	bridge := c.Bridge
	switch {
	case c.Mode.Routed():
		bridge = ""
	case bridge == "" && known != nil && known.Master == master.Name && known.Bridge != "":
		bridge = known.Bridge
	case bridge == "":
		if bridge, err = bridgeOf(master, masters); err != nil {
			return nil, err
		}
	}
	change := known != nil && (known.Master != master.Name || known.Bridge != bridge)
	// A bridge that changes its master while it has its name cannot be told from the former one.
	if change && (known.Endpoints.Made() > 0 || known.Bridge == bridge) {
		return nil, fmt.Errorf("%w: network %s has %d endpoints on master %s, bridge %s; the configuration says master %s, "+
			"bridge %s. Drain the node first and name another bridge, or run azure-vnet cleanup",
			ErrConflict, name, known.Endpoints.Made(), known.Master, known.Bridge, master.Name, bridge)
	}
	if change && known.MAC != "" { // else it never came into being
		n.Former = append(n.Former, Former{known.Master, known.Bridge, known.Family})
		n.Observed = Observed{Sysctls: n.Sysctls, Imported: n.Imported, HNSID: n.HNSID} // the rest was the former bridge's
	}
	if other := s.disagrees(name, master.Name, bridge, c); other != "" {
		return nil, fmt.Errorf("%w: network %s has pods on %s with other settings (mode, protection, masquerading …) than "+
			"network %s: networks of one interface share its rules. Use the same settings, or another interface (\"master\")",
			ErrConflict, other, master.Name, name)
	}
	n.Master, n.Bridge, n.Mode, n.Settings, n.HNS, n.Giver = master.Name, bridge, c.Mode, c.Settings, c.HNS, c.Giver
	s.supersede(n)
	for _, a := range subnets {
		n.Prefixes = addPrefix(n.Prefixes, a.Masked())
	}
	return n, nil
}

// bridgeOf is the bridge where the configuration names none: one of ours that the master is a port of, though the state
// knows nothing of it (the classic plugin's are called azure0), else a new one.
func bridgeOf(master platform.Interface, masters func(want string) ([]platform.Interface, error)) (string, error) {
	if master.Master != 0 {
		all, err := masters("")
		if err != nil {
			return "", err
		}
		for _, i := range all {
			if i.Index == master.Master && i.Kind == "bridge" && strings.HasPrefix(i.Name, azure.BridgePrefix) {
				return i.Name, nil
			}
		}
	}
	return fmt.Sprintf("%s%d", azure.BridgePrefix, master.Index), nil
}

// supersede lets the network take the master from others that have no pods any more, but still a bridge, or rules, that
// its own pods could not live with. Their records go; what they have on the host is taken away like a former bridge of
// its own.
func (s *State) supersede(n *Network) {
	for name, other := range s.Networks {
		shared := other.Bridge == n.Bridge && (n.Bridge != "" || other.Mode == n.Mode)
		if name == n.Name || other.Master != n.Master || shared || other.Endpoints.Made() > 0 ||
			!other.Made() || n.HNS != nil {
			continue
		}
		n.Former = append(append(n.Former, other.Former...), Former{other.Master, other.Bridge, other.Family})
		n.Remember(other.Sysctls)
		delete(s.Networks, name)
		if other.Endpoints.Len() > 0 { // ADDs of it are under way
			s.Networks[name] = &Network{Name: name, Mode: other.Mode, Endpoints: other.Endpoints}
		}
	}
}

func addPrefix(list []netip.Prefix, p netip.Prefix) []netip.Prefix {
	for _, have := range list {
		if have == p {
			return list
		}
	}
	return append(list, p)
}

// Config is what the configuration says about a network.
type Config struct {
	Mode   Mode
	Master string // empty: found by the pods' subnet
	Bridge string // empty: "azure" and the master's index
	Settings
	HNS   *HNSConfig      // on Windows
	Giver json.RawMessage // see Network
}
