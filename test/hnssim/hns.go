package hnssim

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

// The documents of HNS v1, as hcsshim's internal/hns has them. The model keeps v2; these are its other face.

type networkV1 struct {
	ID                   string `json:",omitempty"`
	Name                 string
	Type                 string
	NetworkAdapterName   string            `json:",omitempty"`
	SourceMac            string            `json:",omitempty"`
	Policies             []json.RawMessage `json:",omitempty"`
	MacPools             []MacRange        `json:",omitempty"`
	Subnets              []subnetV1        `json:",omitempty"`
	DNSSuffix            string            `json:",omitempty"`
	DNSServerList        string            `json:",omitempty"`
	DNSServerCompartment uint32            `json:",omitempty"`
	ManagementIP         string            `json:",omitempty"`
	AutomaticDNS         bool              `json:",omitempty"`
}

type subnetV1 struct {
	AddressPrefix, GatewayAddress string
	Policies                      []json.RawMessage `json:",omitempty"`
}

type endpointV1 struct {
	ID                 string `json:",omitempty"`
	Name               string
	VirtualNetwork     string
	VirtualNetworkName string            `json:",omitempty"`
	Policies           []json.RawMessage `json:",omitempty"`
	MacAddress         string            `json:",omitempty"`
	IPAddress          string            `json:",omitempty"`
	IPv6Address        string            `json:",omitempty"`
	DNSSuffix          string            `json:",omitempty"`
	DNSServerList      string            `json:",omitempty"`
	DNSDomain          string            `json:",omitempty"`
	GatewayAddress     string            `json:",omitempty"`
	GatewayAddressV6   string            `json:",omitempty"`
	EnableInternalDNS  bool              `json:",omitempty"`
	DisableICC         bool              `json:",omitempty"`
	PrefixLength       uint8             `json:",omitempty"`
	IPv6PrefixLength   uint8             `json:",omitempty"`
	IsRemoteEndpoint   bool              `json:",omitempty"`
	EnableLowMetric    bool              `json:",omitempty"`
	EncapOverhead      uint16            `json:",omitempty"`
	SharedContainers   []string          `json:",omitempty"`
	State              uint16            `json:",omitempty"`
}

// The states of endpointV1.
const (
	stateCreated         = 1
	stateAttached        = 2
	stateAttachedSharing = 3
)

type attachment struct {
	ContainerID    string `json:"ContainerId"`
	SystemType     string
	CompartmentID  uint16 `json:"CompartmentId"`
	VirtualNICName string `json:"VirtualNicName"`
}

// parseHNS names what a method and a path mean.
func parseHNS(method, path, body string) Call {
	c := Call{API: HNS, Kind: KindOther, Body: body, path: path, method: method}
	words := strings.Split(strings.Trim(path, "/"), "/")
	switch words[0] {
	case "networks":
		c.Kind = KindNetwork
	case "endpoints":
		c.Kind = KindEndpoint
	}
	if len(words) > 1 {
		c.ID = strings.ToLower(words[1])
	}
	verb := ""
	if len(words) > 2 {
		verb = words[2]
	}
	switch {
	case method == "POST" && verb == "attach":
		c.Op = Attach
	case method == "POST" && verb == "detach":
		c.Op = Detach
	case method == "POST" && c.ID == "":
		c.Op = Create
	case method == "POST":
		c.Op = Modify
	case method == "DELETE":
		c.Op = Delete
	case c.ID == "":
		c.Op = Enumerate
	default:
		c.Op = Query
	}
	return c
}

// replyHNS wraps a result as HNSCall does. A failure is an HRESULT, or a response of its own.
func replyHNS(result any, err error) answer {
	var text string
	switch {
	case err != nil && returned(err) != 0:
		return answer{code: returned(err)}
	case err != nil:
		text = record(err)
	case result == nil:
		text = `{"Success":true}`
	default:
		text = encode(map[string]any{"Success": true, "Output": result})
	}
	return answer{output: &text}
}

// hns carries a call of v1 out.
func (m *model) hns(c *Call) (any, error) {
	if c.Kind == KindOther {
		return m.otherHNS(c)
	}
	switch c.Op {
	case Create:
		if c.Kind == KindNetwork {
			n, err := m.createNetworkV1(c.Body)
			if err != nil {
				return nil, err
			}
			return m.networkV1(n), nil
		}
		e, err := m.createEndpointV1(c.Body)
		if err != nil {
			return nil, err
		}
		return m.endpointV1(e), nil
	case Enumerate:
		all := []any{}
		for _, id := range m.ids(c.Kind) {
			all = append(all, m.v1(m.find(c.Kind, id)))
		}
		return all, nil
	}
	object := m.find(c.Kind, c.ID)
	if object == nil {
		return nil, m.missing(c.Kind)
	}
	switch c.Op {
	case Query:
		return m.v1(object), nil
	case Delete:
		gone := m.v1(object)
		m.remove(c.Kind, c.ID)
		return gone, nil
	}
	e, ok := object.(*Endpoint)
	if !ok {
		return nil, fail(Unsupported, "%s %s", c.method, c.path)
	}
	if c.Op == Modify {
		return m.updateV1(e, c.Body)
	}
	var a attachment
	if err := decode(c.Body, &a); err != nil {
		return nil, err
	}
	return nil, m.attachV1(e, a, c.Op == Attach)
}

func (m *model) otherHNS(c *Call) (any, error) {
	switch {
	case c.path == "/globals/version" && c.method == "GET":
		v := m.o.Version
		return map[string]any{"Version": v, "Major": v.Major, "Minor": v.Minor}, nil
	case strings.HasPrefix(c.path, "/endpointstats/") && c.method == "GET":
		if m.endpoints[c.ID] == nil {
			return nil, m.missing(KindEndpoint)
		}
		return map[string]any{"EndpointId": c.ID}, nil
	case c.path == "/accelnet/": // hcsshim's TestAccelnetNnvManagementMacAddresses
		switch c.method {
		case "POST":
			m.nnvMACs = json.RawMessage(c.Body)
		case "DELETE":
			m.nnvMACs = noMACs
		}
		return m.nnvMACs, nil
	}
	return nil, fail(Unsupported, "%s %s", c.method, c.path)
}

func (m *model) createNetworkV1(body string) (*Network, error) {
	var d networkV1
	if err := decode(body, &d); err != nil {
		return nil, err
	}
	n := &Network{ID: d.ID, Name: d.Name, Type: d.Type, MacPool: MacPool{Ranges: d.MacPools}, Dns: dnsV1(d.DNSSuffix, d.DNSServerList)}
	n.SchemaVersion = Version{1, 0}
	for _, raw := range d.Policies {
		p, err := split(raw)
		if err != nil {
			return nil, err
		}
		n.Policies = append(n.Policies, p)
	}
	if d.NetworkAdapterName != "" {
		n.Policies = append(n.Policies, Policy{"NetAdapterName", json.RawMessage(encode(netAdapterName{d.NetworkAdapterName}))})
	}
	i := Ipam{Type: "Static"}
	for _, s := range d.Subnets {
		everything := "0.0.0.0/0"
		if strings.Contains(s.AddressPrefix, ":") {
			everything = "::/0"
		}
		i.Subnets = append(i.Subnets, Subnet{
			IpAddressPrefix: s.AddressPrefix, Policies: s.Policies,
			Routes: []Route{{NextHop: s.GatewayAddress, DestinationPrefix: everything}},
		})
	}
	if len(i.Subnets) > 0 {
		n.Ipams = []Ipam{i}
	}
	return n, m.createNetwork(n)
}

// dnsV1 takes the lists apart that v1 joins with commas. Empty stays empty.
func dnsV1(suffixes, servers string) (d DNS) {
	if suffixes != "" {
		d.Search = strings.Split(suffixes, ",")
	}
	if servers != "" {
		d.ServerList = strings.Split(servers, ",")
	}
	return d
}

func (m *model) networkV1(n *Network) *networkV1 {
	d := &networkV1{
		ID: m.guidV1(n.ID), Name: n.Name, Type: n.Type, MacPools: n.MacPool.Ranges,
		DNSSuffix: strings.Join(n.Dns.Search, ","), DNSServerList: strings.Join(n.Dns.ServerList, ","),
	}
	for _, p := range n.Policies {
		var a netAdapterName
		if p.Type == "NetAdapterName" && json.Unmarshal(p.Settings, &a) == nil {
			d.NetworkAdapterName = a.NetworkAdapterName
			continue
		}
		d.Policies = append(d.Policies, p.flat())
	}
	for _, s := range n.subnets() {
		hop, _ := s.gateway()
		d.Subnets = append(d.Subnets, subnetV1{s.IpAddressPrefix, hop.String(), s.Policies})
	}
	return d
}

func (m *model) createEndpointV1(body string) (*Endpoint, error) {
	var d endpointV1
	if err := decode(body, &d); err != nil {
		return nil, err
	}
	if d.SharedContainers != nil || d.State != 0 {
		return nil, fail(InvalidEndpoint, "SharedContainers and State are read only")
	}
	e := &Endpoint{ID: d.ID, Name: d.Name, HostComputeNetwork: d.VirtualNetwork, MacAddress: d.MacAddress,
		Dns: dnsV1(d.DNSSuffix, d.DNSServerList)}
	e.Dns.Domain = d.DNSDomain
	e.SchemaVersion = Version{1, 0}
	for _, raw := range d.Policies {
		p, err := split(raw)
		if err != nil {
			return nil, err
		}
		e.Policies = append(e.Policies, p)
	}
	if d.IPAddress != "" {
		e.IpConfigurations = append(e.IpConfigurations, IPConfig{d.IPAddress, d.PrefixLength})
	}
	if d.IPv6Address != "" {
		e.IpConfigurations = append(e.IpConfigurations, IPConfig{d.IPv6Address, d.IPv6PrefixLength})
	}
	if d.IsRemoteEndpoint {
		e.Flags = remote
	}
	return e, m.createEndpoint(e)
}

func (m *model) v1(object any) any {
	switch o := object.(type) {
	case *Network:
		return m.networkV1(o)
	case *Endpoint:
		return m.endpointV1(o)
	}
	return nil
}

func (m *model) endpointV1(e *Endpoint) *endpointV1 {
	n := m.networks[e.HostComputeNetwork]
	if n == nil { // it went without its endpoints
		n = &Network{ID: e.HostComputeNetwork}
	}
	d := &endpointV1{
		ID: m.guidV1(e.ID), Name: e.Name, VirtualNetwork: m.guidV1(n.ID), VirtualNetworkName: n.Name, MacAddress: e.MacAddress,
		DNSSuffix: strings.Join(e.Dns.Search, ","), DNSServerList: strings.Join(e.Dns.ServerList, ","), DNSDomain: e.Dns.Domain,
		IsRemoteEndpoint: e.Flags&remote != 0, SharedContainers: e.containers, State: uint16(m.o.Facts.V1States.Free),
	}
	switch {
	case len(e.containers) > 1:
		d.State = stateAttachedSharing
	case len(e.containers) == 1:
		d.State = stateAttached
	case e.HostComputeNamespace != "":
		d.State = uint16(m.o.Facts.V1States.Attached)
	}
	for _, p := range e.Policies {
		d.Policies = append(d.Policies, p.flat())
	}
	for _, c := range e.IpConfigurations {
		if netip.MustParseAddr(c.IpAddress).Is4() {
			d.IPAddress, d.PrefixLength = c.IpAddress, c.PrefixLength
		} else {
			d.IPv6Address, d.IPv6PrefixLength = c.IpAddress, c.PrefixLength
		}
	}
	for _, s := range n.subnets() {
		hop, _ := s.gateway()
		if hop.Is4() {
			d.GatewayAddress = hop.String()
		} else {
			d.GatewayAddressV6 = hop.String()
		}
	}
	return d
}

// guidV1 is how v1 shows an ID.
func (m *model) guidV1(id string) string {
	if m.o.Facts.Capitals.V1 {
		return strings.ToUpper(id)
	}
	return id
}

// updateV1 takes the whole document, and changes the policies only.
func (m *model) updateV1(e *Endpoint, body string) (any, error) {
	var d endpointV1
	if err := decode(body, &d); err != nil {
		return nil, err
	}
	var policies []Policy
	for _, raw := range d.Policies {
		p, err := split(raw)
		if err != nil {
			return nil, err
		}
		policies = append(policies, p)
	}
	if err := m.checkEndpointPolicies(e, policies); err != nil {
		return nil, err
	}
	e.Policies = policies
	return m.endpointV1(e), nil
}

// host in the list of an endpoint's containers is the host itself.
const host = "(host)"

// attachV1 attaches an endpoint to a container or the host, or detaches it.
func (m *model) attachV1(e *Endpoint, a attachment, attach bool) error {
	id := a.ContainerID
	switch {
	case a.SystemType == "Host" && id == "":
		id = host
	case a.SystemType != "Container" || id == "":
		return fail(Unsupported, "attach to %q %q", a.SystemType, id)
	case attach && !m.systems[id]:
		return fail(SystemNotFound, "container %s was not found", id)
	}
	i := slices.Index(e.containers, id)
	switch {
	case attach && (i >= 0 || e.HostComputeNamespace != ""):
		return fail(AlreadyAttached, "endpoint %s is attached already", e.ID)
	case attach:
		e.containers = append(e.containers, id)
	case i < 0:
		return fail(ElementNotFound, "endpoint %s is not attached to %s", e.ID, id)
	default:
		e.containers = slices.Delete(e.containers, i, i+1)
	}
	return nil
}
