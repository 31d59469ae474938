package hns

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/Microsoft/hcsshim"

	"github.com/Azure/azure-container-networking/network"
)

// hnsV1 is HNS v1: Docker's way.
type hnsV1 struct{}

var _ hns = hnsV1{}

// cause names what v1 says in words only: its answers carry no code that hcsshim would hand on. Since Windows Server
// 2019 the words end with an HRESULT, which is the same in every language.
func (hnsV1) cause(err error) error {
	if err == nil {
		return nil
	}
	var noNetwork hcsshim.NetworkNotFoundError
	var noEndpoint hcsshim.EndpointNotFoundError
	text := strings.ToLower(err.Error())
	switch {
	case errors.As(err, &noNetwork), errors.As(err, &noEndpoint), errors.Is(err, hcsshim.ErrComputeSystemDoesNotExist),
		strings.Contains(text, "0x803b0001"), strings.Contains(text, "0x803b0002"), strings.Contains(text, "0x80070490"),
		strings.Contains(text, "network was not found"), strings.Contains(text, "endpoint was not found"),
		strings.Contains(text, "element not found"):
		return fmt.Errorf("%w: %w", errGone, err)
	case strings.Contains(text, "0x803b0006"), strings.Contains(text, "adapter"):
		return fmt.Errorf("%w: %w", network.ErrMaster, err)
	case strings.Contains(text, "0x803b0013"), strings.Contains(text, "port already exists"):
		return fmt.Errorf("%w: %w", errPort, err)
	case strings.Contains(text, "0x803b0010"):
		return fmt.Errorf("%w: %w", errThere, err)
	}
	return err
}

// Supported implements hns.
func (hnsV1) Supported(bool) error { return nil }

// NeedsSettling implements hns: HNS of Windows 1803 and older (its version is 7 or less).
func (v hnsV1) NeedsSettling() (bool, error) {
	globals, err := hcsshim.GetHNSGlobals()
	if err != nil {
		return false, v.cause(err)
	}
	const of1803 = 7
	return globals.Version.Major <= of1803, nil
}

// Network implements hns.
func (v hnsV1) Network(name string) (hnsNetwork, error) {
	n, err := hcsshim.GetHNSNetworkByName(name)
	if err != nil {
		return hnsNetwork{}, v.cause(err)
	}
	return v.network(n), nil
}

// Networks implements hns.
func (v hnsV1) Networks() (out []hnsNetwork, err error) {
	list, err := hcsshim.HNSListNetworkRequest("GET", "", "")
	for i := range list {
		out = append(out, v.network(&list[i]))
	}
	return out, v.cause(err)
}

func (hnsV1) network(n *hcsshim.HNSNetwork) hnsNetwork {
	out := hnsNetwork{ID: n.Id, Name: n.Name, Type: n.Type}
	for _, s := range n.Subnets {
		if p, err := netip.ParsePrefix(s.AddressPrefix); err == nil {
			out.Subnets = append(out.Subnets, p)
		}
	}
	return out
}

// CreateNetwork implements hns.
func (v hnsV1) CreateNetwork(doc []byte) (hnsNetwork, error) {
	n := &hcsshim.HNSNetwork{}
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
func (v hnsV1) DeleteNetwork(id string) error {
	_, err := (&hcsshim.HNSNetwork{Id: id}).Delete()
	return v.cause(err)
}

// Endpoint implements hns.
func (v hnsV1) Endpoint(id string) (hnsEndpoint, error) {
	e, err := hcsshim.GetHNSEndpointByID(id)
	if err != nil {
		return hnsEndpoint{}, v.cause(err)
	}
	return v.endpoint(e), nil
}

func (hnsV1) endpoint(e *hcsshim.HNSEndpoint) hnsEndpoint {
	out := hnsEndpoint{
		ID: e.Id, Name: e.Name, NetworkID: e.VirtualNetwork, MAC: colons(e.MacAddress), Places: e.SharedContainers,
		DNS: network.PodDNS{Domain: e.DNSDomain, Servers: list(e.DNSServerList), Search: list(e.DNSSuffix)},
	}
	for _, a := range []struct {
		ip   net.IP
		bits uint8
	}{{e.IPAddress, e.PrefixLength}, {e.IPv6Address, e.IPv6PrefixLength}} {
		if ip, ok := netip.AddrFromSlice(a.ip); ok {
			out.Addresses = append(out.Addresses, netip.PrefixFrom(ip.Unmap(), int(a.bits)))
		}
	}
	for _, gw := range []string{e.GatewayAddress, e.GatewayAddressV6} {
		if ip, err := netip.ParseAddr(gw); err == nil {
			out.Gateways = append(out.Gateways, ip)
		}
	}
	return out
}

// list takes apart what v1 joins with commas. Empty stays empty.
func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// EndpointsByName implements hns.
func (v hnsV1) EndpointsByName(name string) ([]hnsEndpoint, error) {
	return v.endpoints(func(e *hcsshim.HNSEndpoint) bool { return e.Name == name })
}

// EndpointsOf implements hns.
func (v hnsV1) EndpointsOf(networkID string) ([]hnsEndpoint, error) {
	return v.endpoints(func(e *hcsshim.HNSEndpoint) bool { return strings.EqualFold(e.VirtualNetwork, networkID) })
}

func (v hnsV1) endpoints(wanted func(*hcsshim.HNSEndpoint) bool) (out []hnsEndpoint, _ error) {
	all, err := hcsshim.HNSListEndpointRequest()
	for i := range all {
		if wanted(&all[i]) {
			out = append(out, v.endpoint(&all[i]))
		}
	}
	return out, v.cause(err)
}

// CreateEndpoint implements hns.
func (v hnsV1) CreateEndpoint(doc []byte) (hnsEndpoint, error) {
	e := &hcsshim.HNSEndpoint{}
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
func (v hnsV1) DeleteEndpoint(id string) error {
	_, err := (&hcsshim.HNSEndpoint{Id: id}).Delete()
	return v.cause(err)
}

// PlaceExists implements hns.
func (hnsV1) PlaceExists(string) error { return nil }

// AddNeighbor implements hns. IPv6 is refused before it comes to that.
func (hnsV1) AddNeighbor(string, string, netip.Addr) error { return errDualV1 }

// Attach implements hns.
func (v hnsV1) Attach(containerID, endpointID string) error {
	return v.cause(hcsshim.HotAttachEndpoint(containerID, endpointID))
}

// Detach implements hns.
func (v hnsV1) Detach(containerID, endpointID string) error {
	return v.cause(hcsshim.HotDetachEndpoint(containerID, endpointID))
}
