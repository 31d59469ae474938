package network

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
)

// HNSConfig is what a configuration and a runtime say to Windows' Host Networking Service about a network, beside what
// Config has for every system.
type HNSConfig struct {
	Adapter    string            // "adapterName": wins over the master; "" is the master's adapter
	DNSServers []string          // "dns" of the configuration: only networks of HNS v1 have some
	Policies   []json.RawMessage // NetworkPolicy of AdditionalArgs, flat as v1 has it
	Gateways   []netip.Addr      // those that the IPAM plugin gave
}

// HNSEndpoint is what an endpoint has on Windows only.
type HNSEndpoint struct {
	ID       string            `json:"id,omitempty"` // HNS's, once it is made
	DNS      PodDNS            `json:"dns,omitzero"` // as the result says, and HNS is told
	Ports    []PortMapping     `json:"-"`
	Policies []json.RawMessage `json:"-"` // EndpointPolicy of AdditionalArgs, flat as v1 has it
}

// PodDNS is what a pod asks for names. Nothing at all, not even from the IPAM plugin, leaves it to Windows: the pod has
// the host's.
type PodDNS struct {
	Domain  string   `json:"domain,omitempty"`
	Servers []string `json:"servers,omitempty"`
	Search  []string `json:"search,omitempty"`
	Options []string `json:"options,omitempty"`
}

// PortMapping is one host port of a pod.
type PortMapping struct {
	HostPort, ContainerPort int
	Protocol                string // in any case
	HostIP                  string // "" and the wildcards are any address of the host
}

// String is for messages: tcp/8080.
func (m PortMapping) String() string {
	return strings.ToLower(m.Protocol) + "/" + strconv.Itoa(m.HostPort)
}

// HNSAdapter is the adapter that HNS shall put behind the network's switch. One that is behind a switch already must
// not be named: HNS refuses it, and finds it by itself.
func (n *Network) HNSAdapter() string {
	if strings.HasPrefix(n.HNS.Adapter, "vEthernet") {
		return ""
	}
	return n.HNS.Adapter
}
