// Package classic reads the two state files of the classic plugin, once for all who need them. They are read as data;
// nothing of them is trusted to be complete, or to make sense: who takes something over looks at it.
package classic

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Network is one of azure-vnet.json.
type Network struct {
	Name, Mode     string
	Master, Bridge string
	HNSID          string         // on Windows, where there is no bridge
	Subnets        []netip.Prefix // the valid ones
	Endpoints      []Endpoint
}

// Endpoint is a pod's.
type Endpoint struct {
	ContainerID, IfName, HostIfName string
	MAC                             net.HardwareAddr // of any length
	Addresses                       []netip.Prefix   // one whose mask is none is not valid, but has its address
	Routes                          []Route
	NetNS, PodName, PodNamespace    string
	HNSID                           string // on Windows
}

// Route is one in the pod.
type Route struct {
	Dst netip.Prefix
	GW  netip.Addr // not valid if there is none
}

// Pool is one of azure-vnet-ipam.json.
type Pool struct {
	Name      string // its prefix, as it is written
	Interface string
	Addresses []Address
}

// Address is one of a pool's. Newer versions name the container that has it.
type Address struct {
	Text, ContainerID string
	InUse             bool
}

// networksFile and poolsFile are the two files. What is base64 there is []byte here.
type networksFile struct {
	Network *struct {
		ExternalInterfaces map[string]struct {
			BridgeName string
			Networks   map[string]struct {
				HnsId     string
				Mode      string
				Subnets   []struct{ Prefix prefix }
				Endpoints map[string]endpoint
			}
		}
	}
}

type poolsFile struct {
	IPAM *struct {
		AddressSpaces map[string]struct {
			Pools map[string]struct {
				ID        string `json:"Id"`
				IfName    string
				Addresses map[string]struct {
					ID    string
					Addr  string
					InUse bool
				}
			}
		}
	}
}

type prefix struct {
	IP   net.IP
	Mask []byte
}

type endpoint struct {
	IfName, HostIfName string
	MacAddress         []byte
	IPAddresses        []prefix
	Routes             []struct {
		Dst prefix
		Gw  net.IP
	}
	NetworkNameSpace, ContainerID, PODName, PODNameSpace string
	HnsId, SandboxKey, NetNs                             string // Windows: the container's ID may be its sandbox' only
}

// Networks reads azure-vnet.json, in any order.
// Error: it is not the classic plugin's.
func Networks(raw []byte) (list []Network, err error) {
	var doc networksFile
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("decode the classic plugin's state: %w", err)
	}
	if doc.Network == nil || doc.Network.ExternalInterfaces == nil {
		return nil, errors.New("this is not the classic plugin's state: it has no Network.ExternalInterfaces")
	}
	for master, i := range doc.Network.ExternalInterfaces {
		for name, n := range i.Networks {
			out := Network{Name: name, Mode: n.Mode, Master: master, Bridge: i.BridgeName, HNSID: n.HnsId}
			for _, s := range n.Subnets {
				if p := s.Prefix.prefix(); p.IsValid() {
					out.Subnets = append(out.Subnets, p.Masked())
				}
			}
			for id, e := range n.Endpoints {
				out.Endpoints = append(out.Endpoints, e.endpoint(id))
			}
			list = append(list, out)
		}
	}
	return list, nil
}

// Pools reads azure-vnet-ipam.json, in the order of the names.
// Error: it is not the classic plugin's.
func Pools(raw []byte) (list []Pool, err error) {
	var doc poolsFile
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("decode the classic plugin's state: %w", err)
	}
	if doc.IPAM == nil || doc.IPAM.AddressSpaces == nil {
		return nil, errors.New("this is not the classic plugin's state: it has no IPAM.AddressSpaces")
	}
	for _, space := range sorted(doc.IPAM.AddressSpaces) {
		for name, p := range sorted(space.Pools) {
			out := Pool{Name: name, Interface: p.IfName}
			for text, a := range sorted(p.Addresses) {
				out.Addresses = append(out.Addresses, Address{text, a.ID, a.InUse})
			}
			list = append(list, out)
		}
	}
	return list, nil
}

// endpoint is one as it is called in its network. Older versions keep another name of the interface in the record, but
// call the endpoint after it: the first eight characters of the container's ID, "-", the interface.
func (e endpoint) endpoint(id string) Endpoint {
	out := Endpoint{
		ContainerID: e.ContainerID, IfName: e.IfName, HostIfName: e.HostIfName, MAC: e.MacAddress,
		NetNS: e.NetworkNameSpace, PodName: e.PODName, PodNamespace: e.PODNameSpace,
	}
	if e.HnsId != "" {
		out.HNSID, out.HostIfName, out.NetNS = e.HnsId, id, e.NetNs
		out.ContainerID = cmp.Or(e.ContainerID, e.SandboxKey)
	}
	if name, ok := strings.CutPrefix(id, e.ContainerID[:min(8, len(e.ContainerID))]+"-"); ok && name != "" {
		out.IfName = name
	}
	for _, a := range e.IPAddresses {
		if p := a.prefix(); p.Addr().IsValid() {
			out.Addresses = append(out.Addresses, p)
		}
	}
	for _, r := range e.Routes {
		if dst := r.Dst.prefix(); dst.IsValid() {
			gw, _ := netip.AddrFromSlice(r.Gw)
			out.Routes = append(out.Routes, Route{dst.Masked(), gw.Unmap()})
		}
	}
	return out
}

// prefix is not valid if the mask is none; it has its address all the same.
func (p prefix) prefix() netip.Prefix {
	a, ok := netip.AddrFromSlice(p.IP)
	if !ok {
		return netip.Prefix{}
	}
	ones, bits := net.IPMask(p.Mask).Size()
	if bits == 0 {
		ones = -1
	}
	return netip.PrefixFrom(a.Unmap(), ones)
}

// sorted walks a map in the order of its keys: what is imported by several calls must be the same each time.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
