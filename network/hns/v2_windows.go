package hns

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/Microsoft/hcsshim/hcn"
	"golang.org/x/sys/windows"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// hcnV2 is HCN, HNS v2: containerd's way.
type hcnV2 struct{}

var _ hns = hcnV2{}

// cause names what hcsshim says in its own way, and twice in two.
func (hcnV2) cause(err error) error {
	has := func(codes ...windows.Handle) bool {
		for _, c := range codes {
			if hcn.CheckErrorWithCode(err, hcn.ErrorCode(c)) {
				return true
			}
		}
		return false
	}
	switch {
	case err == nil:
		return nil
	case hcn.IsNotFoundError(err), hcn.IsElementNotFoundError(err),
		has(windows.HCN_E_NETWORK_NOT_FOUND, windows.HCN_E_ENDPOINT_NOT_FOUND):
		return fmt.Errorf("%w: %w", errGone, err)
	case has(windows.HCN_E_NETWORK_ALREADY_EXISTS):
		return fmt.Errorf("%w: %w", errThere, err)
	case has(windows.HCN_E_PORT_ALREADY_EXISTS):
		return fmt.Errorf("%w: %w", errPort, err)
	case has(windows.HCN_E_ADAPTER_NOT_FOUND):
		return fmt.Errorf("%w: %w", network.ErrMaster, err)
	}
	return err
}

// Supported implements hns.
func (hcnV2) Supported(dual bool) error {
	features, err := hcn.GetCachedSupportedFeatures()
	switch {
	case err != nil:
		return err
	case !features.Api.V2:
		return fmt.Errorf("%w: this Windows has no HCN (HNS v2), which a namespace needs: use Windows Server 2019 or newer",
			network.ErrKernel)
	case dual && !features.IPv6DualStack:
		return fmt.Errorf("%w: HNS of this Windows cannot give IPv4 and IPv6 to one endpoint: use Windows Server 2022 "+
			"or newer", network.ErrKernel)
	}
	return nil
}

// NeedsSettling implements hns. What has HCN is newer than what is slow.
func (hcnV2) NeedsSettling() (bool, error) { return false, nil }

// Network implements hns.
func (v hcnV2) Network(name string) (hnsNetwork, error) {
	n, err := hcn.GetNetworkByName(name)
	if err != nil {
		return hnsNetwork{}, v.cause(err)
	}
	return v.network(n), nil
}

// Networks implements hns.
func (v hcnV2) Networks() (out []hnsNetwork, err error) {
	list, err := hcn.ListNetworks()
	for i := range list {
		out = append(out, v.network(&list[i]))
	}
	return out, v.cause(err)
}

func (hcnV2) network(n *hcn.HostComputeNetwork) hnsNetwork {
	out := hnsNetwork{ID: n.Id, Name: n.Name, Type: string(n.Type)}
	for _, i := range n.Ipams {
		for _, s := range i.Subnets {
			if p, err := netip.ParsePrefix(s.IpAddressPrefix); err == nil {
				out.Subnets = append(out.Subnets, p)
			}
		}
	}
	return out
}

// CreateNetwork implements hns.
func (v hcnV2) CreateNetwork(doc []byte) (hnsNetwork, error) {
	n := &hcn.HostComputeNetwork{}
	if err := json.Unmarshal(doc, n); err != nil {
		return hnsNetwork{}, err
	}
	n, err := n.Create()
	if err != nil {
		return hnsNetwork{}, v.cause(err)
	}
	return v.network(n), nil
}

// DeleteNetwork implements hns.
func (v hcnV2) DeleteNetwork(id string) error {
	return v.cause((&hcn.HostComputeNetwork{Id: id}).Delete())
}

// Endpoint implements hns.
func (v hcnV2) Endpoint(id string) (hnsEndpoint, error) {
	e, err := hcn.GetEndpointByID(id)
	if err != nil {
		return hnsEndpoint{}, v.cause(err)
	}
	return v.endpoint(e), nil
}

func (hcnV2) endpoint(e *hcn.HostComputeEndpoint) hnsEndpoint {
	out := hnsEndpoint{
		ID: e.Id, Name: e.Name, NetworkID: e.HostComputeNetwork, MAC: colons(e.MacAddress),
		DNS: network.PodDNS{Domain: e.Dns.Domain, Servers: e.Dns.ServerList, Search: e.Dns.Search, Options: e.Dns.Options},
	}
	for _, c := range e.IpConfigurations {
		if a, err := netip.ParseAddr(c.IpAddress); err == nil {
			out.Addresses = append(out.Addresses, netip.PrefixFrom(a, int(c.PrefixLength)))
		}
	}
	if e.HostComputeNamespace != "" {
		out.Places = []string{e.HostComputeNamespace}
	}
	return out
}

// colons writes a MAC as all but Windows do.
func colons(mac string) string { return strings.ToLower(strings.ReplaceAll(mac, "-", ":")) }

// EndpointsByName implements hns.
func (v hcnV2) EndpointsByName(name string) ([]hnsEndpoint, error) {
	filter, err := json.Marshal(map[string]string{"Name": name})
	if err != nil {
		return nil, err
	}
	return v.endpoints(func() ([]hcn.HostComputeEndpoint, error) {
		return hcn.ListEndpointsQuery(hcn.HostComputeQuery{SchemaVersion: hcn.V2SchemaVersion(), Filter: string(filter)})
	})
}

// EndpointsOf implements hns.
func (v hcnV2) EndpointsOf(networkID string) ([]hnsEndpoint, error) {
	return v.endpoints(func() ([]hcn.HostComputeEndpoint, error) { return hcn.ListEndpointsOfNetwork(networkID) })
}

// lists is how often endpoints are listed that go meanwhile.
const lists = 10

// endpoints lists them again if one went while hcsshim asked for one after the other: what it says then is that one is
// gone, and nothing of the others.
func (v hcnV2) endpoints(list func() ([]hcn.HostComputeEndpoint, error)) (out []hnsEndpoint, err error) {
	var found []hcn.HostComputeEndpoint
	for range lists {
		if found, err = list(); !errors.Is(v.cause(err), errGone) {
			break
		}
	}
	for i := range found {
		out = append(out, v.endpoint(&found[i]))
	}
	if errors.Is(v.cause(err), errGone) {
		return nil, fmt.Errorf("endpoints went each time they were listed: %v",
			err) //nolint:errorlint // those that are there are not gone
	}
	return out, v.cause(err)
}

// CreateEndpoint implements hns.
func (v hcnV2) CreateEndpoint(doc []byte) (hnsEndpoint, error) {
	e := &hcn.HostComputeEndpoint{}
	if err := json.Unmarshal(doc, e); err != nil {
		return hnsEndpoint{}, err
	}
	e, err := e.Create()
	if err != nil {
		return hnsEndpoint{}, v.cause(err)
	}
	return v.endpoint(e), nil
}

// DeleteEndpoint implements hns.
func (v hcnV2) DeleteEndpoint(id string) error {
	return v.cause((&hcn.HostComputeEndpoint{Id: id}).Delete())
}

// PlaceExists implements hns.
func (v hcnV2) PlaceExists(namespace string) error {
	_, err := hcn.GetNamespaceByID(namespace)
	return v.cause(err)
}

// AddNeighbor implements hns. A system without compartments (Wine) has nobody to be told.
func (v hcnV2) AddNeighbor(namespace, mac string, hop netip.Addr) error {
	ns, err := hcn.GetNamespaceByID(namespace)
	if err != nil {
		return v.cause(err)
	}
	adapter, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	err = platform.AddNeighbor(ns.NamespaceId, adapter, hop, azure.FabricMAC)
	if errors.Is(err, platform.ErrNoCompartments) {
		return nil
	}
	return err
}

// Attach implements hns.
func (v hcnV2) Attach(namespace, endpointID string) error {
	return v.cause(hcn.AddNamespaceEndpoint(namespace, endpointID))
}

// Detach implements hns.
func (v hcnV2) Detach(namespace, endpointID string) error {
	return v.cause(hcn.RemoveNamespaceEndpoint(namespace, endpointID))
}
