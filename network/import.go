package network

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/classic"
	"github.com/Azure/azure-container-networking/platform"
)

// ImportClassic fills an empty state from the classic plugin's file: its networks, and their endpoints as they are.
// What the host has of them is brought into our form when the network is ensured next.
func ImportClassic(raw []byte, s *State, now time.Time) error {
	list, err := classic.Networks(raw)
	if err != nil {
		return err
	}
	s.Networks = map[string]*Network{}
	for _, c := range list {
		mode, err := ParseMode(c.Mode)
		if err != nil {
			return fmt.Errorf("network %s of the classic plugin's state: %w", c.Name, err)
		}
		if c.HNSID != "" && runtime.GOOS == "windows" {
			s.Networks[c.Name] = importHNS(c, mode, now)
			continue
		}
		if !isInterface(c.Master) || !mode.Routed() && !isInterface(c.Bridge) {
			return fmt.Errorf("network %s of the classic plugin's state: master %q, bridge %q", c.Name, c.Master, c.Bridge)
		}
		n := &Network{Name: c.Name, Mode: mode, Master: c.Master, Created: now.UTC(), Observed: Observed{Imported: true}}
		if !mode.Routed() {
			n.Bridge = c.Bridge
		}
		for _, p := range c.Subnets {
			n.Prefixes = addPrefix(n.Prefixes, p)
		}
		for _, e := range c.Endpoints {
			if imported := n.imported(e); imported != nil {
				n.Endpoints.Set(imported)
			}
		}
		s.Networks[c.Name] = n
	}
	return nil
}

// importHNS takes over a network of Windows. What HNS has of it is in our form: a network, whose switch
// has its name, and endpoints with IDs.
func importHNS(c classic.Network, mode Mode, now time.Time) *Network {
	n := &Network{Name: c.Name, Mode: mode, Master: platform.AdapterName(c.Master), Bridge: c.Name, Created: now.UTC(),
		Observed: Observed{HNSID: c.HNSID}}
	for _, p := range c.Subnets {
		n.Prefixes = addPrefix(n.Prefixes, p)
	}
	for _, e := range c.Endpoints {
		o, addresses := Owner{n.Name, e.ContainerID, e.IfName}, valid(e.Addresses)
		if !o.named() || e.HNSID == "" || len(addresses) == 0 {
			continue // DEL finds it by its name
		}
		n.Endpoints.Set(&Endpoint{
			Owner: o, State: Ready, PodNamespace: e.PodNamespace, PodName: e.PodName, NetNS: e.NetNS, HostIfName: e.HostIfName,
			MAC: e.MAC.String(), Addresses: addresses, Created: n.Created, HNS: &HNSEndpoint{ID: e.HNSID},
		})
	}
	return n
}

// MergeLate completes the state by what the classic plugin wrote over it: a call of it that was under way when its pods
// were taken over. What is ours stays as it is. A pod that only the other file has was made by that call if its host
// veth is there; else it was deleted since then. What the call made on the host is brought into our form when the
// network is ensured next.
func (s *State) MergeLate(late *State, there func(hostIfName string) bool) {
	taken := s.Taken()
	for name, theirs := range late.Networks {
		n := s.Networks[name]
		if n == nil || n.Master == "" {
			if n != nil { // ADDs of it are under way
				for e := range n.Endpoints.All() {
					theirs.Endpoints.Set(e)
				}
			}
			if s.Networks == nil {
				s.Networks = map[string]*Network{}
			}
			s.Networks[name] = theirs
			continue
		}
		n.Imported = true
		for e := range theirs.Endpoints.All() {
			twice := slices.ContainsFunc(e.Addresses, func(p netip.Prefix) bool { return taken[p.Addr()] })
			if n.Endpoints.Get(e.Key()) == nil && !twice && there(e.HostIfName) {
				n.Endpoints.Set(e)
			}
		}
	}
}

// Taken are the addresses of all endpoints.
func (s *State) Taken() map[netip.Addr]bool {
	taken := map[netip.Addr]bool{}
	for _, n := range s.Networks {
		for e := range n.Endpoints.All() {
			for _, a := range e.Addresses {
				taken[a.Addr()] = true
			}
		}
	}
	return taken
}

// isInterface says whether the kernel could have an interface of that name (net/core/dev.c, dev_valid_name).
func isInterface(name string) bool {
	return name != "" && len(name) <= 15 && name != "." && name != ".." && !strings.ContainsAny(name, "/: \t\n\v\f\r\x00")
}

// valid are the addresses with a prefix length: one without cannot be written down.
func valid(addresses []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(addresses), func(p netip.Prefix) bool { return !p.IsValid() })
}

// imported is the record in our form, or nil if it does not say whose it is, or names a host veth that is none of the
// classic plugin's: DEL would take that interface away.
func (n *Network) imported(c classic.Endpoint) *Endpoint {
	e := &Endpoint{
		Owner: Owner{n.Name, c.ContainerID, c.IfName}, State: Ready, PodNamespace: c.PodNamespace, PodName: c.PodName,
		NetNS: c.NetNS, HostIfName: c.HostIfName, MAC: c.MAC.String(), Addresses: valid(c.Addresses), Created: n.Created,
	}
	ours := isInterface(e.HostIfName) && strings.HasPrefix(e.HostIfName, azure.HostVethPrefix)
	if !e.named() || !ours || len(c.MAC) != 6 || len(e.Addresses) == 0 {
		return nil
	}
	if n.Mode.Routed() {
		return e // the routes in the pod are not those of the record
	}
	for _, r := range c.Routes {
		e.Routes = append(e.Routes, Route{Dst: r.Dst, GW: r.GW})
	}
	return e
}
