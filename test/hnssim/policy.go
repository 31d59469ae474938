package hnssim

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-container-networking/install/selftest"
)

// Policies whose settings nobody here looks at: what the plugins do not use. They must be JSON objects.
var (
	otherEndpointPolicies = []string{
		"QOS", "L2Driver", "L4Proxy", "PortName", "EncapOverhead", "Iov", "ProviderAddress", "InterfaceConstraint", "TierAcl",
	}
	otherNetworkPolicies = []string{
		"SourceMacAddress", "VSwitchExtension", "DrMacAddress", "AutomaticDNS", "InterfaceConstraint", "ProviderAddress",
		"RemoteSubnetRoute", "VxlanPort", "HostRoute", "SetPolicy", "L4Proxy", "LayerConstraint", "NetworkACL",
	}
	otherFlatPolicies = []string{"QOS", "L2Driver", "PA", "VLAN", "VSID", "VNET", "Isolation", "ELB", "PROXY"}
)

// checker is the settings of a policy.
type checker interface{ check() error }

// v2 settings, as hcsshim's hcnpolicy.go has them.
type (
	portMapping struct {
		Protocol                   uint32
		InternalPort, ExternalPort uint16
		VIP                        string
		Flags                      uint32
	}
	aclSetting struct {
		Protocols, Action, Direction    string
		LocalAddresses, RemoteAddresses string
		LocalPorts, RemotePorts         string
		RuleType                        string
		Priority                        uint16
	}
	outboundNAT struct {
		VirtualIP                string
		Exceptions, Destinations []string
		Flags                    uint32
		MaxPortPoolUsage         uint16
	}
	sdnRouteSetting struct {
		DestinationPrefix string `json:",omitempty"`
		NextHop           string `json:",omitempty"`
		NeedEncap         bool   `json:",omitempty"`
	}
	netAdapterName struct{ NetworkAdapterName string }
	l4WfpProxy     struct {
		InboundProxyPort, OutboundProxyPort, UserSID string
		FilterTuple                                  struct {
			Protocols, LocalAddresses, RemoteAddresses, LocalPorts, RemotePorts string
			Priority                                                            uint16
		}
		InboundExceptions, OutboundExceptions struct{ IpAddressExceptions, PortExceptions []string }
	}
)

// v1 policies, as hcsshim's hnspolicy.go has them, without their type.
type (
	flatNAT struct {
		Protocol                   string
		InternalPort, ExternalPort uint16
		ExternalPortReserved       bool
	}
	flatACL struct {
		ID          string `json:"Id"`
		Protocol    uint16
		LocalPort   uint16
		RemotePort  uint16
		ServiceName string
		aclSetting
	}
	flatOutboundNAT struct {
		VIP              string
		ExceptionList    []string
		Destinations     []string
		MaxPortPoolUsage uint16
	}
	flatRoute struct {
		DestinationPrefix string
		NextHop           string
		NeedEncap         bool
	}
)

func (p *portMapping) check() error {
	if p.Protocol != 6 && p.Protocol != 17 || p.InternalPort == 0 || p.ExternalPort == 0 || p.Flags > 3 {
		return fmt.Errorf("protocol 6 or 17, two ports and known flags are needed")
	}
	if p.VIP == "" {
		return nil
	}
	_, err := netip.ParseAddr(p.VIP)
	return err
}

func (p *flatNAT) check() error {
	if p.Protocol != "TCP" && p.Protocol != "UDP" || p.InternalPort == 0 || p.ExternalPort == 0 {
		return fmt.Errorf("protocol TCP or UDP and two ports are needed")
	}
	return nil
}

func (p *aclSetting) check() error {
	if !slices.Contains([]string{"Allow", "Block", "Pass"}, p.Action) || p.Direction != "In" && p.Direction != "Out" ||
		p.RuleType != "" && p.RuleType != "Host" && p.RuleType != "Switch" {
		return fmt.Errorf("action %q, direction %q, rule type %q", p.Action, p.Direction, p.RuleType)
	}
	for _, list := range []struct {
		values string
		valid  func(string) error
	}{
		{p.Protocols, validNumber}, {p.LocalPorts, validPorts}, {p.RemotePorts, validPorts},
		{p.LocalAddresses, validPrefix}, {p.RemoteAddresses, validPrefix},
	} {
		for value := range strings.SplitSeq(list.values, ",") {
			if list.values == "" {
				break
			}
			if err := list.valid(value); err != nil {
				return err
			}
		}
	}
	return nil
}

func validNumber(s string) error {
	_, err := strconv.ParseUint(s, 10, 16)
	return err
}

func validPorts(s string) error {
	from, to, isRange := strings.Cut(s, "-")
	if err := validNumber(from); err != nil || !isRange {
		return err
	}
	return validNumber(to)
}

func validPrefix(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	_, err := netip.ParsePrefix(s)
	return err
}

func (p *outboundNAT) check() error {
	for _, e := range slices.Concat(p.Exceptions, p.Destinations) {
		if err := validPrefix(e); err != nil {
			return err
		}
	}
	return nil
}

func (p *flatOutboundNAT) check() error {
	return (&outboundNAT{Exceptions: p.ExceptionList, Destinations: p.Destinations}).check()
}

func (p *sdnRouteSetting) check() error {
	if _, err := netip.ParsePrefix(p.DestinationPrefix); err != nil {
		return err
	}
	if p.NextHop == "" {
		return nil
	}
	_, err := netip.ParseAddr(p.NextHop)
	return err
}

func (p *flatRoute) check() error { return (*sdnRouteSetting)(p).check() }

func (p *netAdapterName) check() error {
	if p.NetworkAdapterName == "" {
		return fmt.Errorf("an adapter's name is needed")
	}
	return nil
}

func (p *l4WfpProxy) check() error {
	if p.InboundProxyPort == "" && p.OutboundProxyPort == "" {
		return fmt.Errorf("a port of the proxy is needed")
	}
	return nil
}

// anything is for settings that nobody looks at.
type anything map[string]json.RawMessage

func (*anything) check() error { return nil }

// settings returns what decodes the settings of a type of policy, or nil.
func settings(kind string, flat bool) checker {
	switch {
	case kind == "ACL" && flat:
		return &flatACL{}
	case kind == "ACL":
		return &aclSetting{}
	case kind == "OutBoundNAT" && flat:
		return &flatOutboundNAT{}
	case kind == "OutBoundNAT":
		return &outboundNAT{}
	case kind == "NAT" && flat:
		return &flatNAT{}
	case kind == "PortMapping" && !flat:
		return &portMapping{}
	case kind == "ROUTE" && flat:
		return &flatRoute{}
	case kind == "SDNRoute" && !flat:
		return &sdnRouteSetting{}
	case kind == "L4WFPPROXY" && !flat:
		return &l4WfpProxy{}
	case flat && slices.Contains(otherFlatPolicies, kind), !flat && slices.Contains(otherEndpointPolicies, kind):
		return &anything{}
	}
	return nil
}

func (p Policy) decode(into checker) error {
	if into == nil {
		return fail(InvalidPolicyType, "unknown policy type %q", p.Type)
	}
	text := string(p.Settings)
	if text == "" {
		text = "{}"
	}
	if err := decode(text, into); err != nil {
		return fail(InvalidPolicy, "policy %s: %v", p.Type, err)
	}
	if err := into.check(); err != nil {
		return fail(InvalidPolicy, "policy %s: %v", p.Type, err)
	}
	return nil
}

// hostPort is a port of the host that leads to an endpoint.
type hostPort struct {
	protocol uint32
	port     uint16
	v6       bool
	vip      string // empty: all addresses of the host
}

// takes says whether two mappings cannot be together.
func (p hostPort) takes(o hostPort) bool {
	return p.protocol == o.protocol && p.port == o.port && p.v6 == o.v6 && (p.vip == o.vip || p.vip == "" || o.vip == "")
}

// check wants known types with whole settings, and host ports that nothing else has.
func (m *model) checkEndpointPolicies(e *Endpoint, policies []Policy) error {
	var taken []hostPort
	for _, other := range m.endpoints {
		if other != e {
			taken = append(taken, other.hostPorts()...)
		}
	}
	known := map[any]bool{}
	for _, p := range policies {
		s := settings(p.Type, e.SchemaVersion.Major < 2)
		if err := p.decode(s); err != nil {
			return err
		}
		if err := m.doubtful(e, s); err != nil {
			return err
		}
		var acl any
		switch s := s.(type) {
		case *aclSetting:
			acl = *s
		case *flatACL:
			acl = *s
		}
		if acl != nil && known[acl] {
			if err := m.refuse(selftest.ACLTwice, "the ACL %s is there twice", p.Settings); err != nil {
				return err
			}
		}
		known[acl] = true
		for _, port := range (&Endpoint{Policies: []Policy{p}}).hostPorts() {
			if slices.ContainsFunc(taken, port.takes) {
				if err := m.refuse(selftest.PortTaken, "port %d of the host is in use", port.port); err != nil {
					return err
				}
			}
			taken = append(taken, port)
		}
	}
	return nil
}

// doubtful are policies that Windows may refuse though they are right: of which network, or by a setting.
func (m *model) doubtful(e *Endpoint, s checker) error {
	var kind, detail selftest.Case
	allow := func(a aclSetting) {
		if kind = selftest.ACL; a.Action == "Allow" {
			detail = selftest.AllowHost
			if a.RuleType != "" {
				detail = selftest.AllowSwitch
			}
		}
	}
	nat := func(destinations []string) {
		if kind = selftest.OutBoundNAT; len(destinations) > 0 {
			detail = selftest.Destinations
		}
	}
	switch s := s.(type) {
	case *aclSetting:
		allow(*s)
	case *flatACL:
		allow(s.aclSetting)
	case *outboundNAT:
		nat(s.Destinations)
	case *flatOutboundNAT:
		nat(s.Destinations)
	case *portMapping, *flatNAT:
		kind = selftest.PortMapping
	}
	if n := m.networks[e.HostComputeNetwork]; n != nil && n.Type == "Private" {
		if err := answered(m.o.Facts.Private[kind], m.api, "%s on a network without an adapter", kind); err != nil {
			return err
		}
	}
	return m.refuse(detail, "%s", detail)
}

func (e *Endpoint) hostPorts() (ports []hostPort) {
	const v6 = 2 // hcn.NatFlagsIPv6
	for _, p := range e.Policies {
		switch p.Type {
		case "PortMapping":
			var s portMapping
			if json.Unmarshal(p.Settings, &s) == nil {
				ports = append(ports, hostPort{s.Protocol, s.ExternalPort, s.Flags&v6 != 0, s.VIP})
			}
		case "NAT":
			var s flatNAT
			if json.Unmarshal(p.Settings, &s) == nil {
				ports = append(ports, hostPort{map[string]uint32{"TCP": 6, "UDP": 17}[s.Protocol], s.ExternalPort, false, ""})
			}
		}
	}
	return ports
}

// checkNetworkPolicies wants known types, and an adapter that is there and not yet behind a switch.
func (m *model) checkNetworkPolicies(n *Network) error {
	adapter := ""
	for _, p := range n.Policies {
		var s checker = &anything{}
		switch {
		case p.Type == "NetAdapterName":
			s = &netAdapterName{}
		case !slices.Contains(otherNetworkPolicies, p.Type):
			s = nil
		}
		if err := p.decode(s); err != nil {
			return err
		}
		if a, ok := s.(*netAdapterName); ok {
			adapter = a.NetworkAdapterName
		}
	}
	switch {
	case adapter == "" && (!n.external() || len(m.o.Adapters) > 0):
		return nil // HNS looks for one itself
	case strings.HasPrefix(adapter, "vEthernet"):
		return m.refuse(selftest.MissingAdapter, "adapter %q is a port of a virtual switch", adapter)
	case !slices.Contains(m.o.Adapters, adapter):
		return m.refuse(selftest.MissingAdapter, "adapter %q was not found", adapter)
	}
	return nil
}

// split takes the type out of a flat policy.
func split(flat json.RawMessage) (p Policy, err error) {
	var fields map[string]json.RawMessage
	if err = decode(string(flat), &fields); err == nil {
		err = decode(string(fields["Type"]), &p.Type)
	}
	if err != nil {
		return p, fail(InvalidPolicy, "policy %s: no object with a type", flat)
	}
	delete(fields, "Type")
	p.Settings = json.RawMessage(encode(fields))
	return p, nil
}

// flat is the reverse of split.
func (p Policy) flat() json.RawMessage {
	fields := map[string]json.RawMessage{}
	if len(p.Settings) > 0 && json.Unmarshal(p.Settings, &fields) != nil {
		return p.Settings
	}
	fields["Type"] = json.RawMessage(encode(p.Type))
	return json.RawMessage(encode(fields))
}
