package manager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// Examine says what is wrong with the host as far as networks and endpoints are concerned, and changes nothing. The
// network of a configuration (c may be nil) counts even if it has not been made yet.
// Errors: the store's.
func (m *Manager) Examine(ctx context.Context, name string, c *network.Config) ([]finding.Finding, error) {
	var networks []*network.Network
	var out []finding.Finding
	ifaces, err := m.interfaces()
	if err != nil {
		return finding.Report("master", "",
			[]finding.Finding{{Level: finding.Failure, Found: err.Error(), Remedy: "run doctor as root, on the host"}}), nil
	}
	err = m.Store.View(ctx, func(s *network.State) error {
		for _, known := range slices.Sorted(maps.Keys(s.Networks)) {
			record := s.Networks[known]
			n := s.ViewOf(record)
			n.Endpoints = record.Endpoints
			networks = append(networks, n)
		}
		switch record := s.Networks[name]; {
		case c == nil:
		case record != nil: // in a copy that View throws away
			if _, cerr := s.Configure(*c, name, record.Prefixes, m.masters); errors.Is(cerr, network.ErrConflict) {
				out = append(out, finding.Finding{Check: "configuration", Level: finding.Failure, Found: cerr.Error(),
					Remedy: "put the configuration back as it was; or delete the pods of this node, and then run azure-vnet cleanup"})
			}
		default:
			networks = append(networks, &network.Network{Name: name, Mode: c.Mode, Master: c.Master,
				Bridge: c.Bridge, Settings: c.Settings})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return slices.Concat(out, examineMasters(networks, ifaces), m.Dataplane.Examine(networks)), nil
}

// examineMasters is the check of the masters: each is there, can be one, is up, and has an address of the pods' subnet,
// or its bridge has.
func examineMasters(networks []*network.Network, ifaces []platform.Interface) []finding.Finding {
	var good []string
	var wrong []finding.Finding
	for _, n := range networks {
		if n.Master == "" {
			if !slices.ContainsFunc(ifaces, func(i platform.Interface) bool { return network.UsableMaster(i, false) == nil }) {
				wrong = append(wrong, finding.Finding{Level: finding.Failure,
					Found: "network " + n.Name + ": no interface of this host can be its master",
					Remedy: "see what this host has: ip -br link; set \"master\" if it is one that the plugin does not take " +
						"by itself"})
				continue
			}
			good = append(good, "the first ADD chooses among "+network.UsableNames(ifaces))
			continue
		}
		master, err := network.PickMaster(ifaces, n.Master, nil)
		switch {
		case err != nil:
			wrong = append(wrong, finding.Finding{Level: finding.Failure, Found: fmt.Sprintf("network %s: %v", n.Name, err),
				Remedy: "set \"master\" in the configuration to one of " + network.UsableNames(ifaces)})
		case !master.Up:
			wrong = append(wrong, finding.Finding{Level: finding.Failure, Found: master.Name + " is down",
				Remedy: "ip link set " + master.Name + " up"})
		case n.Bridge != "" && !slices.ContainsFunc(ifaces, func(i platform.Interface) bool { return i.Name == n.Bridge }):
			good = append(good, master.Name+" is up") // the check of the bridge says what is missing
		case n.Made() && !network.Carries(ifaces, master, n.Prefixes):
			remedy := fmt.Sprintf("let the DHCP client configure %s again: networkctl renew %s, nmcli device reapply %s, "+
				"dhclient %s", master.Name, master.Name, master.Name, master.Name)
			if n.Bridge != "" { // a port of a bridge hears no DHCP server
				remedy = network.RepairCommand +
					"; if the bridge keeps other addresses, the check of the bridge names the command for the one that is missing"
			}
			wrong = append(wrong, finding.Finding{Level: finding.Failure,
				Found: fmt.Sprintf("neither %s nor its bridge has an address of %v", master.Name, n.Prefixes), Remedy: remedy})
		default:
			good = append(good, master.Name+" is up")
		}
	}
	if len(networks) == 0 {
		good = append(good, "there is no network yet; usable are "+network.UsableNames(ifaces))
	}
	return finding.Report("master", strings.Join(slices.Compact(good), "; "), wrong)
}
