package hnssim

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/install/selftest"
)

// model is what there is. IDs are in lower case.
type model struct {
	o          Options
	api        string // by which the call came that is carried out
	networks   map[string]*Network
	endpoints  map[string]*Endpoint
	namespaces map[string]*Namespace
	balancers  map[string]*LoadBalancer
	routes     map[string]*SDNRoute
	systems    map[string]bool // containers that run, by ID
	nnvMACs    json.RawMessage // accelnet's list of management MACs
	macs       int             // MACs given so far
}

func newModel(o Options) model {
	return model{
		o: o, networks: map[string]*Network{}, endpoints: map[string]*Endpoint{}, namespaces: map[string]*Namespace{},
		balancers: map[string]*LoadBalancer{}, routes: map[string]*SDNRoute{}, systems: map[string]bool{}, nnvMACs: noMACs,
	}
}

var noMACs = json.RawMessage(`{"MacAddressList":[]}`)

var guidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// newID returns the ID that the caller wants, or makes one.
func newID(want string) (string, error) {
	if want == "" {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
	}
	if want = strings.ToLower(want); !guidForm.MatchString(want) {
		return "", fail(InvalidJSON, "ID %q is not a GUID", want)
	}
	return want, nil
}

// networkTypes are those of HNS. They are matched in any case: v1 callers write l2bridge.
var networkTypes = []string{"NAT", "Transparent", "L2Bridge", "L2Tunnel", "ICS", "Private", "Overlay"}

// createNetwork checks a network and keeps it.
func (m *model) createNetwork(n *Network) (err error) {
	if n.ID, err = newID(n.ID); err != nil {
		return err
	}
	if n.Name == "" {
		return fail(InvalidNetwork, "a network needs a name")
	}
	i := slices.IndexFunc(networkTypes, func(t string) bool { return strings.EqualFold(t, n.Type) })
	if i < 0 {
		return fail(InvalidType, "network type %q is none of %v", n.Type, networkTypes)
	}
	n.Type = networkTypes[i]
	if m.networks[n.ID] != nil {
		return fail(NetworkExists, "network %s exists already", n.ID)
	}
	for _, other := range m.networks {
		if other.Name != n.Name {
			continue
		}
		if err = m.refuse(selftest.NetworkTwice, "network %q exists already", n.Name); err != nil {
			return err
		}
	}
	if err = m.checkNetworkPolicies(n); err != nil {
		return err
	}
	if err = checkSubnets(n); err != nil {
		return err
	}
	if err = checkDNS(n.Dns); err != nil {
		return err
	}
	m.networks[n.ID] = n
	return nil
}

// external says whether the network needs an adapter of the host.
func (n *Network) external() bool {
	return n.Type != "NAT" && n.Type != "ICS" && n.Type != "Private"
}

// checkSubnets wants what hcsshim wants, and that everything fits together.
func checkSubnets(n *Network) error {
	var seen []netip.Prefix
	for _, i := range n.Ipams {
		if i.Type != "" && i.Type != "Static" && i.Type != "DHCP" {
			return fail(InvalidNetwork, "Ipam type %q", i.Type)
		}
		for _, s := range i.Subnets {
			p, err := netip.ParsePrefix(s.IpAddressPrefix)
			if err != nil || p != p.Masked() {
				return fail(InvalidIP, "subnet %q is not a prefix", s.IpAddressPrefix)
			}
			if slices.ContainsFunc(seen, p.Overlaps) {
				return fail(InvalidIP, "subnet %v overlaps another", p)
			}
			seen = append(seen, p)
			if err := checkRoutes(s.Routes, []netip.Prefix{p}); err != nil {
				return err
			}
			if _, ok := s.gateway(); !ok {
				return fail(InvalidNetwork, "subnet %v has no default route", p)
			}
		}
	}
	if n.external() && n.Type != "Transparent" && len(seen) == 0 {
		return fail(InvalidNetwork, "a network of type %s needs a subnet", n.Type)
	}
	return nil
}

// checkRoutes wants a next hop in one of the subnets, of the destination's family.
func checkRoutes(routes []Route, subnets []netip.Prefix) error {
	for _, r := range routes {
		d, err := netip.ParsePrefix(r.DestinationPrefix)
		if err != nil {
			return fail(InvalidIP, "route to %q: not a prefix", r.DestinationPrefix)
		}
		hop, err := netip.ParseAddr(r.NextHop)
		if err != nil || hop.Is4() != d.Addr().Is4() {
			return fail(InvalidIP, "route to %v: next hop %q", d, r.NextHop)
		}
		if !slices.ContainsFunc(subnets, func(s netip.Prefix) bool { return s.Contains(hop) }) {
			return fail(InvalidIP, "route to %v: next hop %v is in none of %v", d, hop, subnets)
		}
	}
	return nil
}

func (s Subnet) gateway() (netip.Addr, bool) {
	for _, r := range s.Routes {
		if r.DestinationPrefix == "0.0.0.0/0" || r.DestinationPrefix == "::/0" {
			hop, err := netip.ParseAddr(r.NextHop)
			return hop, err == nil
		}
	}
	return netip.Addr{}, false
}

func checkDNS(d DNS) error {
	for _, server := range d.ServerList {
		if _, err := netip.ParseAddr(server); err != nil {
			return fail(InvalidIP, "DNS server %q is not an address", server)
		}
	}
	if slices.Contains(d.Search, "") || slices.Contains(d.Options, "") {
		return fail(InvalidJSON, "an empty DNS suffix or option")
	}
	return nil
}

// deleteNetwork takes the endpoints along, as HNS does (hcsshim's TestEndpointStatsAll), unless the facts say otherwise.
func (m *model) deleteNetwork(id string) {
	for eid, e := range m.endpoints {
		if e.HostComputeNetwork == id && m.o.Facts.EndpointsGo {
			m.deleteEndpoint(eid)
		}
	}
	delete(m.networks, id)
}

// createEndpoint checks an endpoint and keeps it.
func (m *model) createEndpoint(e *Endpoint) (err error) {
	n := m.networks[strings.ToLower(e.HostComputeNetwork)]
	if n == nil {
		return m.missing(KindNetwork)
	}
	e.HostComputeNetwork = n.ID
	if e.ID, err = newID(e.ID); err != nil {
		return err
	}
	switch {
	case m.endpoints[e.ID] != nil:
		return fail(InvalidEndpoint, "endpoint %s exists already", e.ID)
	case e.HostComputeNamespace != "":
		return fail(InvalidEndpoint, "HostComputeNamespace is read only")
	case e.Health.Data != nil:
		return fail(InvalidEndpoint, "Health is read only")
	}
	if err = m.checkNames(e); err != nil {
		return err
	}
	if err = m.checkAddresses(n, e); err != nil {
		return err
	}
	if err = m.checkHops(n, e); err != nil {
		return err
	}
	if err = checkDNS(e.Dns); err != nil {
		return err
	}
	if err = m.checkEndpointPolicies(e, e.Policies); err != nil {
		return err
	}
	if e.MacAddress == "" {
		m.macs++
		e.MacAddress = fmt.Sprintf("00-15-5D-52-%02X-%02X", m.macs>>8&0xff, m.macs&0xff)
	}
	m.endpoints[e.ID] = e
	return nil
}

// checkNames wants a name and a MAC that no other endpoint has.
func (m *model) checkNames(e *Endpoint) (err error) {
	if e.Name == "" {
		if err = m.strict(selftest.Nameless, InvalidEndpoint, "an endpoint needs a name"); err != nil {
			return err
		}
	}
	for _, other := range m.endpoints {
		if other.Name == e.Name && e.Name != "" {
			err = m.strict(selftest.EndpointTwice, InvalidEndpoint, "endpoint %q exists already", e.Name)
		}
		if err == nil && e.MacAddress != "" && strings.EqualFold(other.MacAddress, e.MacAddress) {
			err = m.strict(selftest.MACTwice, InvalidEndpoint, "MAC %s is in use", e.MacAddress)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkHops wants the endpoint's routes to lead through its network.
func (m *model) checkHops(n *Network, e *Endpoint) error {
	var routes []Route
	for _, r := range e.Routes {
		if r.NextHop != "0.0.0.0" {
			routes = append(routes, r)
		} else if err := m.strict(selftest.NoNextHop, InvalidIP, "route to %s: next hop 0.0.0.0", r.DestinationPrefix); err != nil {
			return err
		}
	}
	return checkRoutes(routes, n.prefixes())
}

func (n *Network) prefixes() (all []netip.Prefix) {
	for _, s := range n.subnets() {
		all = append(all, netip.MustParsePrefix(s.IpAddressPrefix))
	}
	return all
}

func (n *Network) subnets() (all []Subnet) {
	for _, i := range n.Ipams {
		all = append(all, i.Subnets...)
	}
	return all
}

// remote in Endpoint.Flags is for an endpoint of another host.
const remote = 1

// checkAddresses wants each address in a subnet, with its length, and held by nobody else. An endpoint that asks for
// none gets one of the first subnet.
func (m *model) checkAddresses(n *Network, e *Endpoint) error {
	used := map[netip.Addr]bool{}
	for _, other := range m.endpoints {
		for _, c := range other.IpConfigurations {
			if other.HostComputeNetwork == n.ID {
				used[netip.MustParseAddr(c.IpAddress)] = true
			}
		}
	}
	for _, s := range n.subnets() {
		if hop, ok := s.gateway(); ok {
			used[hop] = true
		}
	}
	prefixes := n.prefixes()
	if len(e.IpConfigurations) == 0 && len(prefixes) > 0 {
		a := prefixes[0].Addr().Next()
		for used[a] {
			a = a.Next()
		}
		if !prefixes[0].Contains(a) {
			return fail(AddressReserved, "subnet %v is full", prefixes[0])
		}
		e.IpConfigurations = []IPConfig{{a.String(), uint8(prefixes[0].Bits())}}
	}
	for i := range e.IpConfigurations {
		c := &e.IpConfigurations[i]
		a, err := netip.ParseAddr(c.IpAddress)
		if err != nil {
			return fail(InvalidIP, "%q is not an address", c.IpAddress)
		}
		i := slices.IndexFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
		switch {
		case e.Flags&remote != 0:
		case i < 0 && a.Is6() && !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() }):
			err = m.strict(selftest.OtherFamily, InvalidIP, "address %v is in none of %v", a, prefixes)
		case i < 0:
			err = m.refuse(selftest.AddressForeign, "address %v is in none of %v", a, prefixes)
		case c.PrefixLength == 0:
			err = m.strict(selftest.NoLength, InvalidIP, "address %v has no prefix length", a)
			c.PrefixLength = uint8(prefixes[i].Bits())
		case int(c.PrefixLength) != prefixes[i].Bits():
			err = fail(InvalidIP, "address %v has prefix length %d, its subnet is %v", a, c.PrefixLength, prefixes[i])
		}
		if err == nil && e.Flags&remote == 0 && (used[a] || i >= 0 && a == prefixes[i].Addr()) {
			err = m.refuse(selftest.AddressTaken, "address %v is in use, or reserved", a)
		}
		if err != nil {
			return err
		}
		used[a] = true
	}
	return nil
}

// deleteEndpoint takes it out of whatever it is in.
func (m *model) deleteEndpoint(id string) {
	for _, ns := range m.namespaces {
		ns.drop(KindEndpoint, id)
	}
	gone := func(other string) bool { return other == id }
	for _, b := range m.balancers {
		b.HostComputeEndpoints = slices.DeleteFunc(b.HostComputeEndpoints, gone)
	}
	for _, r := range m.routes {
		r.HostComputeEndpoints = slices.DeleteFunc(r.HostComputeEndpoints, gone)
	}
	delete(m.endpoints, id)
}

var namespaceTypes = []string{"Host", "HostDefault", "Guest", "GuestDefault"}

func (m *model) createNamespace(n *Namespace) (err error) {
	if n.ID, err = newID(n.ID); err != nil {
		return err
	}
	if n.Type == "" {
		n.Type = "Host"
	}
	if !slices.Contains(namespaceTypes, n.Type) {
		return fail(InvalidType, "namespace type %q is none of %v", n.Type, namespaceTypes)
	}
	if len(n.Resources) > 0 {
		return fail(InvalidJSON, "Resources is read only")
	}
	if m.namespaces[n.ID] != nil {
		return fail(InvalidJSON, "namespace %s exists already", n.ID)
	}
	m.namespaces[n.ID] = n
	return nil
}

func (m *model) deleteNamespace(id string) {
	for _, e := range m.endpoints {
		if e.HostComputeNamespace == id {
			e.HostComputeNamespace = ""
		}
	}
	delete(m.namespaces, id)
}

// drop takes a resource away and says whether it was there.
func (n *Namespace) drop(kind, id string) bool {
	before := len(n.Resources)
	n.Resources = slices.DeleteFunc(n.Resources, func(r Resource) bool {
		return r.Type == kind && strings.EqualFold(r.Data.ID, id)
	})
	return len(n.Resources) < before
}

func (m *model) checkMembers(ids []string) error {
	for i, id := range ids {
		ids[i] = strings.ToLower(id)
		if m.endpoints[ids[i]] == nil {
			return m.missing(KindEndpoint)
		}
	}
	return nil
}

func (m *model) putBalancer(b *LoadBalancer) (err error) {
	if b.ID, err = newID(b.ID); err != nil {
		return err
	}
	if len(b.PortMappings) == 0 {
		return fail(InvalidPolicy, "a load balancer needs port mappings")
	}
	for _, p := range b.PortMappings {
		if p.InternalPort == 0 || p.ExternalPort == 0 || p.Protocol == 0 {
			return fail(InvalidPolicy, "a port mapping needs a protocol and two ports")
		}
	}
	if err = m.checkMembers(b.HostComputeEndpoints); err == nil {
		m.balancers[b.ID] = b
	}
	return err
}

func (m *model) putRoute(r *SDNRoute) (err error) {
	if r.ID, err = newID(r.ID); err != nil {
		return err
	}
	for _, s := range r.Setting {
		if err = s.check(); err != nil {
			return err
		}
	}
	if len(r.Setting) == 0 {
		return fail(InvalidPolicy, "a route needs a setting")
	}
	if err = m.checkMembers(r.HostComputeEndpoints); err == nil {
		m.routes[r.ID] = r
	}
	return err
}
