package hnssim

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// The documents of HCN v2, as hcsshim's package hcn has them. Here they are what the simulator keeps, too.

// Network is a HostComputeNetwork.
type Network struct {
	ID            string `json:",omitempty"`
	Name          string
	Type          string
	Policies      []Policy `json:",omitempty"`
	MacPool       MacPool
	Dns           DNS
	Ipams         []Ipam `json:",omitempty"`
	Flags         uint32 `json:",omitempty"`
	Health        Health
	SchemaVersion Version
}

// NonPersistent in Network.Flags lets a network end with a reboot.
const NonPersistent = 8

// Policy of a network or an endpoint. A v1 policy is flat; here its type is taken out of it.
type Policy struct {
	Type     string
	Settings json.RawMessage `json:",omitempty"`
}

// MacPool bounds the MACs of endpoints.
type MacPool struct {
	Ranges []MacRange `json:",omitempty"`
}

// MacRange is a range of MACs.
type MacRange struct{ StartMacAddress, EndMacAddress string }

// DNS settings.
type DNS struct {
	Domain     string   `json:",omitempty"`
	Search     []string `json:",omitempty"`
	ServerList []string `json:",omitempty"`
	Options    []string `json:",omitempty"`
}

// Ipam holds the subnets of a network.
type Ipam struct {
	Type    string   `json:",omitempty"`
	Subnets []Subnet `json:",omitempty"`
}

// Subnet of a network.
type Subnet struct {
	IpAddressPrefix string            `json:",omitempty"`
	Policies        []json.RawMessage `json:",omitempty"`
	Routes          []Route           `json:",omitempty"`
	Flags           uint32            `json:",omitempty"`
}

// Route of a subnet or an endpoint.
type Route struct {
	NextHop           string `json:",omitempty"`
	DestinationPrefix string `json:",omitempty"`
	Metric            uint16 `json:",omitempty"`
}

// Health is for HNS to fill in; callers send it empty.
type Health struct {
	Data  json.RawMessage `json:",omitempty"`
	Extra struct {
		Resources        json.RawMessage `json:",omitempty"`
		SharedContainers json.RawMessage `json:",omitempty"`
		LayeredOn        string          `json:",omitempty"`
		SwitchGuid       string          `json:",omitempty"`
		UtilityVM        string          `json:",omitempty"`
		VirtualMachine   string          `json:",omitempty"`
	}
}

// Endpoint is a HostComputeEndpoint.
type Endpoint struct {
	ID                   string `json:",omitempty"`
	Name                 string
	HostComputeNetwork   string
	HostComputeNamespace string     `json:",omitempty"`
	Policies             []Policy   `json:",omitempty"`
	IpConfigurations     []IPConfig `json:",omitempty"`
	Dns                  DNS
	Routes               []Route `json:",omitempty"`
	MacAddress           string  `json:",omitempty"`
	Flags                uint32  `json:",omitempty"`
	Health               Health
	SchemaVersion        Version

	containers []string // v1: those that it is attached to
}

// IPConfig is an address of an endpoint.
type IPConfig struct {
	IpAddress    string `json:",omitempty"`
	PrefixLength uint8  `json:",omitempty"`
}

// Namespace is a HostComputeNamespace.
type Namespace struct {
	ID            string `json:",omitempty"`
	NamespaceID   uint32 `json:"NamespaceId,omitempty"`
	Type          string
	Resources     []Resource `json:",omitempty"`
	SchemaVersion Version
}

// Resource of a namespace: an endpoint or a container.
type Resource struct {
	Type string
	Data struct{ ID string }
}

// LoadBalancer is a HostComputeLoadBalancer.
type LoadBalancer struct {
	ID                   string   `json:",omitempty"`
	HostComputeEndpoints []string `json:",omitempty"`
	SourceVIP            string   `json:",omitempty"`
	FrontendVIPs         []string `json:",omitempty"`
	PortMappings         []struct {
		Protocol         uint32
		InternalPort     uint16
		ExternalPort     uint16
		DistributionType uint32 `json:",omitempty"`
		Flags            uint32 `json:",omitempty"`
	} `json:",omitempty"`
	SchemaVersion Version
	Flags         uint32 `json:",omitempty"`
}

// SDNRoute is a HostComputeRoute.
type SDNRoute struct {
	ID                   string            `json:",omitempty"`
	HostComputeEndpoints []string          `json:",omitempty"`
	Setting              []sdnRouteSetting `json:",omitempty"`
	SchemaVersion        Version
}

// modification is the body of a v2 Modify.
type modification struct {
	ResourceType, RequestType string
	Settings                  json.RawMessage
}

// decode is strict: what HNS would not know is an error, since nobody else would ever notice it.
func decode(body string, into any) error {
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fail(InvalidJSON, "invalid JSON document: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fail(InvalidJSON, "invalid JSON document: something follows it")
	}
	return nil
}

// encode cannot fail for the documents above.
func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}
