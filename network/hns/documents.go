package hns

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/network"
)

// The documents that HNS gets, in the order in which Microsoft writes them. They are our own types, because hcsshim's
// build on Windows only, and what is sent to HNS shall be testable everywhere. What is empty is left out.

type (
	networkDocV1 struct {
		Name, Type         string
		NetworkAdapterName string            `json:",omitempty"`
		Policies           []json.RawMessage `json:",omitempty"`
		Subnets            []subnetDocV1
		DNSServerList      string `json:",omitempty"`
	}
	subnetDocV1   struct{ AddressPrefix, GatewayAddress string }
	endpointDocV1 struct {
		Name, VirtualNetwork string
		Policies             []json.RawMessage `json:",omitempty"`
		IPAddress            string
		DNSSuffix            string `json:",omitempty"`
		DNSServerList        string `json:",omitempty"`
		DNSDomain            string `json:",omitempty"`
		PrefixLength         int
	}
)

type (
	networkDocV2 struct {
		Name, Type    string
		Policies      []policyDocV2 `json:",omitempty"`
		MacPool       struct{}
		Dns           dnsDocV2
		Ipams         []ipamDocV2
		Flags         int
		Health        healthDocV2
		SchemaVersion versionDocV2
	}
	ipamDocV2 struct {
		Type    string
		Subnets []subnetDocV2
	}
	subnetDocV2 struct {
		IpAddressPrefix netip.Prefix
		Routes          []routeDocV2
	}
	routeDocV2 struct {
		NextHop           netip.Addr
		DestinationPrefix netip.Prefix
	}
	endpointDocV2 struct {
		Name, HostComputeNetwork string
		Policies                 []policyDocV2 `json:",omitempty"`
		IpConfigurations         []ipConfigDocV2
		Dns                      dnsDocV2
		Routes                   []routeDocV2 `json:",omitempty"`
		Health                   healthDocV2
		SchemaVersion            versionDocV2
	}
	ipConfigDocV2 struct {
		IpAddress    netip.Addr
		PrefixLength int
	}
	dnsDocV2 struct {
		Domain     string   `json:",omitempty"`
		Search     []string `json:",omitempty"`
		ServerList []string `json:",omitempty"`
		Options    []string `json:",omitempty"`
	}
	policyDocV2 struct {
		Type     string
		Settings any
	}
	healthDocV2  struct{ Extra struct{} }
	versionDocV2 struct{ Major, Minor int }
)

// nonPersistent lets a network end with a reboot, as hcn.EnableNonPersistent does.
const nonPersistent = 8

var schema2 = versionDocV2{2, 0}

// switchType is the type of the network's switch.
// Error: ErrUnsupported.
func switchType(n *network.Network) (string, error) {
	switch n.Mode {
	case network.ModeBridge:
		return "L2Bridge", nil
	case network.ModeTunnel:
		return "L2Tunnel", nil
	}
	return "", fmt.Errorf("%w on Windows: mode %q; use bridge or tunnel", network.ErrUnsupported, n.Mode)
}

// gatewayOf is the next hop of a subnet: the one that the IPAM plugin gave for it, else Azure's, which is the first
// address. Azure's for IPv6 is link-local, but HNS wants one of the subnet.
func gatewayOf(n *network.Network, subnet netip.Prefix) netip.Addr {
	if n.HNS != nil {
		for _, gw := range n.HNS.Gateways {
			if subnet.Contains(gw) {
				return gw
			}
		}
	}
	return subnet.Masked().Addr().Next()
}

func networkV1(n *network.Network) ([]byte, error) {
	kind, err := switchType(n)
	if err != nil {
		return nil, err
	}
	doc := networkDocV1{
		Name: n.Name, Type: strings.ToLower(kind), NetworkAdapterName: n.HNSAdapter(), Policies: n.HNS.Policies,
		DNSServerList: strings.Join(n.HNS.DNSServers, ","),
	}
	for _, p := range n.Prefixes {
		if p.Addr().Is6() {
			return nil, errDualV1
		}
		doc.Subnets = append(doc.Subnets, subnetDocV1{p.String(), gatewayOf(n, p).String()})
	}
	return json.Marshal(doc)
}

func networkV2(n *network.Network) ([]byte, error) {
	kind, err := switchType(n)
	if err != nil {
		return nil, err
	}
	doc := networkDocV2{Name: n.Name, Type: kind, Flags: nonPersistent, SchemaVersion: schema2,
		Ipams: []ipamDocV2{{Type: "Static"}}}
	if adapter := n.HNSAdapter(); adapter != "" {
		doc.Policies = append(doc.Policies, policyDocV2{"NetAdapterName", map[string]string{"NetworkAdapterName": adapter}})
	}
	for _, raw := range n.HNS.Policies {
		p, perr := wrapped(raw)
		if perr != nil {
			return nil, perr
		}
		doc.Policies = append(doc.Policies, p)
	}
	for _, p := range n.Prefixes {
		doc.Ipams[0].Subnets = append(doc.Ipams[0].Subnets,
			subnetDocV2{p, []routeDocV2{{gatewayOf(n, p), everything(p.Addr())}}})
	}
	return json.Marshal(doc)
}

// everything is the destination of a default route of the address's family.
func everything(a netip.Addr) netip.Prefix {
	if a.Is6() {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

var errDualV1 = fmt.Errorf("%w without HCN (Docker's way): IPv6", network.ErrUnsupported)

func endpointV1(networkID string, n *network.Network, e *network.Endpoint) ([]byte, error) {
	if len(e.Addresses) != 1 || e.Addresses[0].Addr().Is6() {
		return nil, errDualV1
	}
	doc := endpointDocV1{
		Name: nameOf(e.Owner), VirtualNetwork: networkID, IPAddress: e.Addresses[0].Addr().String(),
		PrefixLength: e.Addresses[0].Bits(),
		DNSSuffix:    strings.Join(e.HNS.DNS.Search, ","), DNSServerList: strings.Join(e.HNS.DNS.Servers, ","),
		DNSDomain: e.HNS.DNS.Domain,
	}
	given, acls, err := flatPolicies(n, e)
	if err != nil {
		return nil, err
	}
	ports, err := portsV1(e.HNS.Ports)
	if err != nil {
		return nil, err
	}
	doc.Policies = slices.Concat(given, ports, acls)
	return json.Marshal(doc)
}

func endpointV2(networkID string, n *network.Network, e *network.Endpoint) ([]byte, error) {
	dns := e.HNS.DNS
	doc := endpointDocV2{
		Name: nameOf(e.Owner), HostComputeNetwork: networkID, SchemaVersion: schema2,
		Dns: dnsDocV2{Domain: dns.Domain, Search: dns.Search, ServerList: dns.Servers, Options: dns.Options},
	}
	given, acls, err := flatPolicies(n, e)
	if err != nil {
		return nil, err
	}
	ports, err := portsV2(e.HNS.Ports, e.Addresses)
	if err != nil {
		return nil, err
	}
	before, err := convert(given)
	if err != nil {
		return nil, err
	}
	behind, err := convert(acls)
	if err != nil {
		return nil, err
	}
	doc.Policies = slices.Concat(before, ports, behind)
	for _, a := range e.Addresses {
		doc.IpConfigurations = append(doc.IpConfigurations, ipConfigDocV2{a.Addr(), a.Bits()})
	}
	for _, r := range e.Routes {
		if r.GW.IsValid() {
			doc.Routes = append(doc.Routes, routeDocV2{r.GW, r.Dst})
		}
	}
	return json.Marshal(doc)
}
