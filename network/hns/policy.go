package hns

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/network"
)

// The policies of endpoints. Configurations have them as v1 does, flat; v2 wants their settings apart, and other names.

type (
	outBoundNAT struct {
		Type             string
		VIP              string   `json:",omitempty"`
		ExceptionList    []string `json:",omitempty"`
		Destinations     []string `json:",omitempty"`
		MaxPortPoolUsage uint16   `json:",omitempty"`
	}
	outBoundNATV2 struct {
		VirtualIP        string   `json:",omitempty"`
		Exceptions       []string `json:",omitempty"`
		Destinations     []string `json:",omitempty"`
		MaxPortPoolUsage uint16   `json:",omitempty"`
	}
	routePolicy struct {
		Type string
		routeSettings
	}
	routeSettings struct {
		DestinationPrefix string `json:",omitempty"`
		NextHop           string `json:",omitempty"`
		NeedEncap         bool   `json:",omitempty"`
	}
	aclPolicy struct {
		Type string
		aclSettings
		// The older names of fields of aclSettings.
		Protocol, LocalPort, RemotePort uint16 `json:",omitempty"`
	}
	aclSettings struct {
		Protocols       string `json:",omitempty"`
		Action          string
		Direction       string
		LocalAddresses  string `json:",omitempty"`
		RemoteAddresses string `json:",omitempty"`
		LocalPorts      string `json:",omitempty"`
		RemotePorts     string `json:",omitempty"`
		RuleType        string `json:",omitempty"`
		Priority        uint16
	}
	// loopbackDSR lets a pod reach an address by the host's: its own, as a service (what kube-proxy with DSR leaves out),
	// or the one that is named.
	loopbackDSR struct {
		Type      string
		IPAddress string `json:",omitempty"`
	}
	// l4Proxy leads connections through a proxy in the pod. The fields are those of hcn.L4WfpProxyPolicySetting.
	l4Proxy struct {
		Type string
		l4ProxySettings
	}
	l4ProxySettings struct {
		InboundProxyPort   string       `json:",omitempty"`
		OutboundProxyPort  string       `json:",omitempty"`
		FilterTuple        l4Filter     `json:",omitzero"`
		UserSID            string       `json:",omitempty"`
		InboundExceptions  l4Exceptions `json:",omitzero"`
		OutboundExceptions l4Exceptions `json:",omitzero"`
	}
	l4Filter struct {
		Protocols       string `json:",omitempty"`
		LocalAddresses  string `json:",omitempty"`
		RemoteAddresses string `json:",omitempty"`
		LocalPorts      string `json:",omitempty"`
		RemotePorts     string `json:",omitempty"`
		Priority        uint16 `json:",omitempty"`
	}
	l4Exceptions struct {
		IpAddressExceptions []string `json:",omitempty"`
		PortExceptions      []string `json:",omitempty"`
	}
	natV1 struct {
		Type, Protocol             string
		InternalPort, ExternalPort int
	}
	portMappingV2 struct {
		Protocol                   int
		InternalPort, ExternalPort int
		VIP                        string `json:",omitempty"`
		Flags                      int
	}
)

var hostAgentPrefix = azure.HostAgent.String() + "/32"

// hostAgentPolicies close the host agent's ports to the pod. Once there is an ACL, what no ACL speaks of need not pass:
// so the last word is to allow, as AKS has it in its configurations.
func hostAgentPolicies(n *network.Network) (list []aclPolicy) {
	if n.AllowHostAgent {
		return nil
	}
	const tcp, first, last = "6", 200, 65500
	for _, port := range azure.HostAgentPorts {
		list = append(list, aclPolicy{Type: "ACL", aclSettings: aclSettings{
			Protocols: tcp, Action: "Block", Direction: "Out", RemoteAddresses: hostAgentPrefix,
			RemotePorts: strconv.Itoa(int(port)), RuleType: "Switch", Priority: first,
		}})
	}
	for _, direction := range []string{"In", "Out"} {
		list = append(list, aclPolicy{Type: "ACL",
			aclSettings: aclSettings{Action: "Allow", Direction: direction, RuleType: "Switch", Priority: last}})
	}
	return list
}

// encoded is a document of ours, which can always be encoded.
func encoded(v any) json.RawMessage {
	b, _ := json.Marshal(v)
	return b
}

// flatPolicies are the configuration's, those of type ACL apart, with what closes the host agent's ports behind them;
// and with ipMasq one that translates what leaves the VNET, unless the configuration has its own. Error:
// ErrUnsupported.
func flatPolicies(n *network.Network, e *network.Endpoint) (list, acls []json.RawMessage, err error) {
	translates := false
	var known []aclSettings
	for _, raw := range e.HNS.Policies {
		p, err := parsePolicy(raw)
		if err != nil {
			return nil, nil, err
		}
		switch p := p.(type) {
		case *aclPolicy:
			acls, known = append(acls, raw), append(known, p.settings())
			continue
		case *outBoundNAT:
			translates = translates || len(p.Destinations) == 0
		case *loopbackDSR:
			raw = encoded(p.translation(e))
		}
		list = append(list, raw)
	}
	if n.IPMasq && !translates {
		list = append(list, encoded(masquerading(n)))
	}
	for _, acl := range hostAgentPolicies(n) {
		if !slices.ContainsFunc(known, acl.covers) { // HNS may refuse what it has already
			acls = append(acls, encoded(acl))
		}
	}
	return list, acls, nil
}

// translation is the policy for HNS, which has no LoopbackDSR.
func (l *loopbackDSR) translation(e *network.Endpoint) outBoundNAT {
	nat := outBoundNAT{Type: "OutBoundNAT"}
	if l.IPAddress != "" {
		nat.Destinations = []string{l.IPAddress}
		return nat
	}
	for _, a := range e.Addresses {
		nat.Destinations = append(nat.Destinations, a.Addr().String())
	}
	return nat
}

// LoopbackDSR is the policy by which a pod reaches itself as a service where kube-proxy returns packets directly.
var LoopbackDSR = json.RawMessage(`{"Type":"LoopbackDSR"}`)

// covers says whether the other ACL does the same. Without a type of rule that is so for one that allows.
func (p aclPolicy) covers(other aclSettings) bool {
	if other.RuleType == "" && other.Action == "Allow" {
		other.RuleType = p.RuleType
	}
	return other == p.aclSettings
}

// masquerading translates all but what is for the VNET and for the host agent. HNS of Windows Server 2019 takes two
// exceptions with one base address for one, whichever comes first, so only the broadest of these is there.
func masquerading(n *network.Network) outBoundNAT {
	nat := outBoundNAT{Type: "OutBoundNAT"}
	all := slices.Concat(n.Prefixes, n.VnetCIDRs)
	for _, p := range all {
		broader := slices.ContainsFunc(all, func(o netip.Prefix) bool { return o.Addr() == p.Addr() && o.Bits() < p.Bits() })
		if p.Addr().Is4() && !broader && !slices.Contains(nat.ExceptionList, p.String()) {
			nat.ExceptionList = append(nat.ExceptionList, p.String())
		}
	}
	nat.ExceptionList = append(nat.ExceptionList, hostAgentPrefix)
	return nat
}

// parsePolicy reads a flat policy. It is strict: of what we do not know, nothing would reach HNS v2.
// Error: ErrUnsupported.
func parsePolicy(raw json.RawMessage) (any, error) {
	var kind struct{ Type string }
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, fmt.Errorf("%w: AdditionalArgs: EndpointPolicy %s: %w", network.ErrUnsupported, raw, err)
	}
	var policy any
	switch kind.Type {
	case "OutBoundNAT":
		policy = &outBoundNAT{}
	case "ROUTE":
		policy = &routePolicy{}
	case "ACL":
		policy = &aclPolicy{}
	case "LoopbackDSR":
		policy = &loopbackDSR{}
	case "L4WFPPROXY":
		policy = &l4Proxy{}
	default:
		return nil, fmt.Errorf("%w: AdditionalArgs: EndpointPolicy of type %q; OutBoundNAT, ROUTE, ACL, LoopbackDSR and "+
			"L4WFPPROXY are", network.ErrUnsupported, kind.Type)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(policy); err != nil {
		return nil, fmt.Errorf("%w: AdditionalArgs: EndpointPolicy of type %s: %w", network.ErrUnsupported, kind.Type, err)
	}
	if l, is := policy.(*loopbackDSR); is && l.IPAddress != "" {
		if _, err := netip.ParseAddr(l.IPAddress); err != nil {
			return nil, fmt.Errorf("%w: AdditionalArgs: EndpointPolicy of type LoopbackDSR: %w", network.ErrUnsupported, err)
		}
	}
	return policy, nil
}

// convert writes flat policies as v2 has them.
// Error: ErrUnsupported.
func convert(flat []json.RawMessage) (list []policyDocV2, err error) {
	for _, raw := range flat {
		policy, err := parsePolicy(raw)
		if err != nil {
			return nil, err
		}
		switch p := policy.(type) {
		case *outBoundNAT:
			list = append(list, policyDocV2{"OutBoundNAT",
				outBoundNATV2{p.VIP, p.ExceptionList, p.Destinations, p.MaxPortPoolUsage}})
		case *routePolicy:
			list = append(list, policyDocV2{"SDNRoute", p.routeSettings})
		case *aclPolicy:
			list = append(list, policyDocV2{"ACL", p.settings()})
		case *l4Proxy:
			list = append(list, policyDocV2{"L4WFPPROXY", p.l4ProxySettings})
		}
	}
	return list, nil
}

// settings are the ACL's by their names of today.
func (p *aclPolicy) settings() aclSettings {
	s := p.aclSettings
	for _, old := range []struct {
		value uint16
		into  *string
	}{{p.Protocol, &s.Protocols}, {p.LocalPort, &s.LocalPorts}, {p.RemotePort, &s.RemotePorts}} {
		if old.value != 0 && *old.into == "" {
			*old.into = strconv.Itoa(int(old.value))
		}
	}
	return s
}

// wrapped is a flat network policy as v2 has it. Only its type is known here: HNS says what it does not like of the
// rest.
// Error: ErrUnsupported.
func wrapped(raw json.RawMessage) (policyDocV2, error) {
	fields := map[string]json.RawMessage{}
	var kind string
	if json.Unmarshal(raw, &fields) != nil || json.Unmarshal(fields["Type"], &kind) != nil || kind == "" {
		return policyDocV2{}, fmt.Errorf("%w: AdditionalArgs: NetworkPolicy %s: an object with a Type is expected",
			network.ErrUnsupported, raw)
	}
	if !slices.Contains(networkPolicies, kind) {
		return policyDocV2{}, fmt.Errorf("%w: AdditionalArgs: NetworkPolicy of type %q; %s are", network.ErrUnsupported,
			kind, strings.Join(networkPolicies, ", "))
	}
	delete(fields, "Type")
	return policyDocV2{kind, fields}, nil
}

// networkPolicies are those of hcn (hcnpolicy.go) that mean something to a switch on an adapter. (NetAdapterName is
// ours.)
var networkPolicies = []string{"SourceMacAddress", "VSwitchExtension", "AutomaticDNS",
	"InterfaceConstraint", "SetPolicy", "NetworkACL"}

// checkPolicies says whether HNS could be told what is wanted, before anything is taken for it.
// Errors: ErrUnsupported, ErrPorts.
func checkPolicies(e *network.Endpoint) error {
	if e.HNS == nil {
		return nil
	}
	for _, raw := range e.HNS.Policies {
		p, err := parsePolicy(raw)
		if err != nil {
			return err
		}
		if _, is := p.(*l4Proxy); is && !IsNamespace(e.NetNS) {
			return fmt.Errorf("%w without HCN (Docker's way): EndpointPolicy of type L4WFPPROXY", network.ErrUnsupported)
		}
	}
	if !IsNamespace(e.NetNS) {
		_, err := portsV1(e.HNS.Ports)
		return err
	}
	for _, m := range e.HNS.Ports {
		if _, _, err := parsePort(m); err != nil {
			return err
		}
	}
	return nil
}

// parsePort checks one mapping. Protocol is 0 for one without a host port, which means nothing. ip is the address of
// the host that the mapping is for: the zero value is any, an unspecified address any of its family.
// Error: ErrPorts.
func parsePort(m network.PortMapping) (protocol int, ip netip.Addr, err error) {
	if m.HostPort <= 0 {
		return 0, ip, nil
	}
	if m.HostPort > 65535 || m.ContainerPort < 1 || m.ContainerPort > 65535 {
		return 0, ip, fmt.Errorf("%w: host port %d to port %d of the pod", network.ErrPorts, m.HostPort, m.ContainerPort)
	}
	switch strings.ToLower(m.Protocol) {
	case "tcp":
		protocol = 6
	case "udp":
		protocol = 17
	default:
		return 0, ip, fmt.Errorf("%w: host port %d has protocol %q; tcp and udp are known",
			network.ErrPorts, m.HostPort, m.Protocol)
	}
	if m.HostIP != "" {
		if ip, err = netip.ParseAddr(m.HostIP); err != nil {
			return 0, ip, fmt.Errorf("%w: host port %d has hostIP %q", network.ErrPorts, m.HostPort, m.HostIP)
		}
	}
	return protocol, ip.Unmap(), nil
}

// portsV1 has no place for an address of the host.
// Error: ErrPorts.
func portsV1(list []network.PortMapping) (out []json.RawMessage, err error) {
	for _, m := range list {
		protocol, ip, err := parsePort(m)
		if err != nil {
			return nil, err
		}
		if protocol == 0 {
			continue
		}
		if ip.IsValid() && !ip.IsUnspecified() {
			return nil, fmt.Errorf("%w: host port %d has hostIP %s, and HNS v1 (Docker's way) maps ports of all addresses only",
				network.ErrPorts, m.HostPort, m.HostIP)
		}
		name := map[int]string{6: "TCP", 17: "UDP"}[protocol]
		out = append(out, encoded(natV1{"NAT", name, m.ContainerPort, m.HostPort}))
	}
	return out, nil
}

// Flags of a port mapping (hcn.NatFlags): the host's own address leads to the pod, too; the mapping is for IPv6.
const (
	localRoutedVIP = 1
	natIPv6        = 2
)

// portsV2 maps for each family that the pod and the address of the host have.
// Error: ErrPorts.
func portsV2(list []network.PortMapping, pod []netip.Prefix) (out []policyDocV2, err error) {
	for _, m := range list {
		protocol, ip, err := parsePort(m)
		if err != nil {
			return nil, err
		}
		if protocol == 0 {
			continue
		}
		mapped := false
		for _, v6 := range []bool{false, true} {
			has := slices.ContainsFunc(pod, func(p netip.Prefix) bool { return p.Addr().Is6() == v6 })
			if !has || ip.IsValid() && ip.Is6() != v6 {
				continue
			}
			s := portMappingV2{Protocol: protocol, InternalPort: m.ContainerPort,
				ExternalPort: m.HostPort, Flags: localRoutedVIP}
			if v6 {
				s.Flags = natIPv6
			}
			if ip.IsValid() && !ip.IsUnspecified() {
				s.VIP = ip.String()
			}
			out = append(out, policyDocV2{"PortMapping", s})
			mapped = true
		}
		if !mapped {
			return nil, fmt.Errorf("%w: host port %d has hostIP %s, and the pod has no address of that family",
				network.ErrPorts, m.HostPort, m.HostIP)
		}
	}
	return out, nil
}
