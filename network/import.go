package network

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/azure"
)

// classicState is azure-vnet.json as the classic plugin writes it. It is read as data; nothing of it is trusted to be
// complete.
type classicState struct {
	Network *struct {
		ExternalInterfaces map[string]struct {
			BridgeName string
			Networks   map[string]struct {
				Mode      string
				Subnets   []struct{ Prefix classicNet }
				Endpoints map[string]classicEndpoint
			}
		}
	}
}

// classicNet is a prefix; the mask is base64 there.
type classicNet struct {
	IP   net.IP
	Mask []byte
}

type classicEndpoint struct {
	IfName, HostIfName                                   string
	MacAddress                                           []byte // base64 there
	IPAddresses                                          []classicNet
	Routes                                               []classicRoute
	NetworkNameSpace, ContainerID, PODName, PODNameSpace string
}

type classicRoute struct {
	Dst classicNet
	Gw  net.IP
}

func (c classicNet) prefix() netip.Prefix {
	a, ok := netip.AddrFromSlice(c.IP)
	ones, bits := net.IPMask(c.Mask).Size()
	if !ok || bits == 0 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a.Unmap(), ones)
}

// ImportClassic fills an empty state from the classic plugin's file: its networks, and their endpoints as they are.
// What the host has of them is brought into our form when the network is ensured next.
func ImportClassic(raw []byte, s *State, now time.Time) error {
	var doc classicState
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("decode the classic plugin's state: %w", err)
	}
	if doc.Network == nil || doc.Network.ExternalInterfaces == nil {
		return fmt.Errorf("this is not the classic plugin's state: it has no Network.ExternalInterfaces")
	}
	s.Networks = map[string]*Network{}
	for master, i := range doc.Network.ExternalInterfaces {
		for name, c := range i.Networks {
			mode, err := ParseMode(c.Mode)
			if err != nil {
				return fmt.Errorf("network %s of the classic plugin's state: %w", name, err)
			}
			if !isInterface(master) || !mode.Routed() && !isInterface(i.BridgeName) {
				return fmt.Errorf("network %s of the classic plugin's state: master %q, bridge %q", name, master, i.BridgeName)
			}
			n := &Network{Name: name, Mode: mode, Master: master, Created: now.UTC(), Observed: Observed{Imported: true}}
			if !mode.Routed() {
				n.Bridge = i.BridgeName
			}
			for _, subnet := range c.Subnets {
				if p := subnet.Prefix.prefix(); p.IsValid() {
					n.Prefixes = addPrefix(n.Prefixes, p.Masked())
				}
			}
			for id, e := range c.Endpoints {
				if imported := e.endpoint(id, n); imported != nil {
					n.Endpoints.Set(imported)
				}
			}
			s.Networks[name] = n
		}
	}
	return nil
}

// MergeLate completes the state by what the classic plugin wrote over it: a call of it that was under way when its pods
// were taken over. What is ours stays as it is. A pod that only the other file has was made by that call if its host
// veth is there; else it was deleted since then. What the call made on the host is brought into our form when the
// network is ensured next.
func (s *State) MergeLate(late *State, there func(hostIfName string) bool) {
	taken := s.taken()
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
			if n.Endpoints.Get(e.key()) == nil && !twice && there(e.HostIfName) {
				n.Endpoints.Set(e)
			}
		}
	}
}

// taken are the addresses of all endpoints.
func (s *State) taken() map[netip.Addr]bool {
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

// endpoint is the record in our form, or nil if it does not say whose it is, or names a host veth that is none of the
// classic plugin's: DEL would take that interface away.
func (c classicEndpoint) endpoint(id string, n *Network) *Endpoint {
	e := &Endpoint{
		Owner: Owner{n.Name, c.ContainerID, c.IfName}, State: Ready, PodNamespace: c.PODNameSpace, PodName: c.PODName,
		NetNS: c.NetworkNameSpace, HostIfName: c.HostIfName, MAC: net.HardwareAddr(c.MacAddress).String(), Created: n.Created,
	}
	// Older versions keep another name in the record, but call the endpoint after the interface: the first eight
	// characters of the container's ID, "-", the interface.
	if name, ok := strings.CutPrefix(id, c.ContainerID[:min(8, len(c.ContainerID))]+"-"); ok && name != "" {
		e.IfName = name
	}
	for _, a := range c.IPAddresses {
		if p := a.prefix(); p.IsValid() {
			e.Addresses = append(e.Addresses, p)
		}
	}
	if _, ok := ParseOwner(e.Owner.String()); !ok || !isInterface(e.HostIfName) || !strings.HasPrefix(e.HostIfName, azure.HostVethPrefix) || len(c.MacAddress) != 6 || len(e.Addresses) == 0 {
		return nil
	}
	if n.Mode.Routed() {
		return e // the routes in the pod are not those of the record
	}
	for _, r := range c.Routes {
		gw, _ := netip.AddrFromSlice(r.Gw)
		if dst := r.Dst.prefix(); dst.IsValid() {
			e.Routes = append(e.Routes, Route{Dst: dst.Masked(), GW: gw.Unmap()})
		}
	}
	return e
}
