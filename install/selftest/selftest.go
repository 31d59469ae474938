package selftest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Prefix begins the name of every network and endpoint of a selftest.
const Prefix = "azure-vnet-selftest-"

// trial is one selftest. The first error ends it: what is to be done after that is not done.
type trial struct {
	ctx   context.Context
	name  string // of its networks, with the version behind
	v1    v1
	v2    v2
	facts *Facts
	hasV2 bool
	made  []madeObject // endpoints and namespaces that are to go, with their version
	err   error
}

type madeObject struct {
	v        version
	kind, id string
}

// nowhere is a GUID that nothing has.
const nowhere = "5e1f7e57-0000-4000-8000-000000000000"

// Run finds out how HNS answers. Its networks are of type Private, their names begin with name, and they are removed at
// the end, also if ctx ends. port is one of the host that nothing uses. What was found out before an error is returned
// with it. Without HCN the answers of v2 are absent. Addresses are of 198.18.0.0/15, which is for tests (RFC 2544).
func Run(ctx context.Context, s Service, name string, port uint16) (f Facts, err error) {
	f = Facts{Answers: map[Case]Answers{}, Private: map[Case]Answers{}}
	t := &trial{ctx: ctx, name: name, v1: v1{s}, v2: v2{s}, facts: &f}
	defer func() { err = errors.Join(err, t.sweep()) }()
	if t.askVersion(); t.err == nil {
		t.askForV2()
	}
	if t.err != nil {
		return f, t.err
	}
	t.examine(t.v1, "198.18.1.", name+"-v1", "00-15-5D-FE-00-01", port)
	if !t.hasV2 {
		return f, t.err
	}
	inV1 := t.err // v2 may answer all the same
	t.err = ctx.Err()
	t.examineNamespaces()
	t.examine(t.v2, "198.18.2.", name+"-v2", "00-15-5D-FE-00-02", port)
	return f, errors.Join(inV1, t.err)
}

func (t *trial) askVersion() {
	output, a, err := t.v1.call(t.ctx, "GET", "/globals/version", nil)
	if t.err = errors.Join(err, refused("ask for the version", a)); t.err == nil {
		var r struct{ Version Version }
		t.err = json.Unmarshal(output, &r)
		t.facts.HNS = r.Version
	}
}

// notImplemented is what a Windows without HCN answers, or our Service where the DLL is missing.
const notImplemented = 0x80004001

func (t *trial) askForV2() {
	_, a, err := t.v2.call(t.ctx, "Enumerate", kindNetwork, "", queryV2)
	if t.hasV2 = a.HRESULT != notImplemented; t.hasV2 {
		err = errors.Join(err, refused("list the networks", a))
	}
	t.err = err
}

// look notes how HNS answers to who asks for something that is not there.
func (t *trial) look(v version, c Case, kind string) {
	if t.err != nil {
		return
	}
	_, a, err := v.query(t.ctx, kind, nowhere)
	v.set(t.facts.Answers, c, a)
	t.err = err
}

// network makes a network; if that is a probe, its answer is noted, and it goes at once.
func (t *trial) network(v version, c Case, n networkDoc) (id string) {
	if t.err != nil {
		return ""
	}
	id, a, err := v.createNetwork(t.ctx, n)
	switch {
	case err != nil:
		t.err = err
	case c == "":
		t.err = refused("make network "+n.name, a)
	default:
		v.set(t.facts.Answers, c, a)
		if a.Taken() {
			t.remove(v, kindNetwork, id)
		}
	}
	return id
}

// endpoint makes one that stays. Empty: it could not be made.
func (t *trial) endpoint(v version, network string, e endpointDoc) (id string, a Answer) {
	if t.err != nil {
		return "", Answer{Error: "not asked"}
	}
	id, a, t.err = v.createEndpoint(t.ctx, network, e)
	if id != "" {
		t.made = append(t.made, madeObject{v, kindEndpoint, id})
	}
	return id, a
}

// probe notes how an endpoint is answered, and removes it. It says whether it was taken.
func (t *trial) probe(v version, into map[Case]Answers, c Case, network string, e endpointDoc) bool {
	id, a := t.endpoint(v, network, e)
	if t.err != nil {
		return false
	}
	v.set(into, c, a)
	if id != "" {
		t.remove(v, kindEndpoint, id)
	}
	return a.Taken()
}

func (t *trial) remove(v version, kind, id string) {
	if t.err != nil {
		return
	}
	a, err := v.remove(t.ctx, kind, id)
	t.err = errors.Join(err, refused("delete "+kind+" "+id, a))
	t.forget(id)
}

func (t *trial) forget(id string) {
	for i, m := range t.made {
		if m.id == id {
			t.made = append(t.made[:i:i], t.made[i+1:]...)
			return
		}
	}
}

// examine finds out what both versions have, on a network of this one. net is the subnet's address without its last
// byte.
func (t *trial) examine(v version, net, name, mac string, port uint16) {
	t.look(v, MissingNetwork, kindNetwork)
	t.look(v, MissingEndpoint, kindEndpoint)
	n := networkDoc{name: name, subnet: net + "0/24", gateway: net + "1"}
	network := t.network(v, "", n)
	t.network(v, NetworkTwice, networkDoc{name: name, subnet: "198.18.9.0/24", gateway: "198.18.9.1"})
	t.network(v, MissingAdapter,
		networkDoc{name: name + "-adapter", subnet: "198.18.9.0/24", gateway: "198.18.9.1", adapter: name + "-is-no-adapter"})

	first, a := t.endpoint(v, network,
		endpointDoc{name: name + "-first", address: net + "10", length: 24, mac: mac, hop: n.gateway})
	if t.err == nil {
		t.err = refused("make an endpoint", a)
	}
	if t.err != nil {
		return
	}
	*t.capitals(v) = strings.ToUpper(first) == first
	second := endpointDoc{name: name + "-second", address: net + "11", length: 24}
	with := func(change func(e *endpointDoc)) endpointDoc {
		e := second
		change(&e)
		return e
	}
	probe := func(c Case, change func(e *endpointDoc)) { t.probe(v, t.facts.Answers, c, network, with(change)) }
	probe(AddressTaken, func(e *endpointDoc) { e.address = net + "10" })
	probe(AddressForeign, func(e *endpointDoc) { e.address = "198.18.9.10" })
	probe(EndpointTwice, func(e *endpointDoc) { e.name = name + "-first" })
	probe(Nameless, func(e *endpointDoc) { e.name = "" })
	probe(NoLength, func(e *endpointDoc) { e.length = 0 })
	probe(MACTwice, func(e *endpointDoc) { e.mac = mac })
	if _, hcn := v.(v2); hcn {
		probe(NoNextHop, func(e *endpointDoc) { e.hop = "0.0.0.0" })
		probe(OtherFamily, func(e *endpointDoc) { e.address, e.length = "2001:db8::10", 64 })
	}
	t.examinePolicies(v, network, second, port)
	t.examineDeletion(v, network, first)
}

func (t *trial) capitals(v version) *bool {
	if _, hcn := v.(v2); hcn {
		return &t.facts.Capitals.V2
	}
	return &t.facts.Capitals.V1
}

// examinePolicies asks about a policy's details only where a network without an adapter takes it at all.
func (t *trial) examinePolicies(v version, network string, second endpointDoc, port uint16) {
	same := func(kind string, settings object) policyDoc { return policyDoc{kind, kind, settings, settings} }
	block := same("ACL", object{"Protocols": "6", "Action": "Block", "Direction": "Out",
		"RemoteAddresses": "198.18.9.10/32", "RemotePorts": "80", "RuleType": "Switch", "Priority": 200})
	allow := func(more object) policyDoc {
		settings := object{"Action": "Allow", "Direction": "Out", "Priority": 65500}
		for key, value := range more {
			settings[key] = value
		}
		return same("ACL", settings)
	}
	with := func(policies ...policyDoc) endpointDoc {
		e := second
		e.policies = policies
		return e
	}
	if t.probe(v, t.facts.Private, ACL, network, with(block)) {
		t.probe(v, t.facts.Answers, ACLTwice, network, with(block, block))
		t.probe(v, t.facts.Answers, AllowHost, network, with(block, allow(nil)))
		t.probe(v, t.facts.Answers, AllowSwitch, network, with(block, allow(object{"RuleType": "Switch"})))
	}
	outside := []string{"198.18.0.0/16"}
	if t.probe(v, t.facts.Private, OutBoundNAT, network,
		with(policyDoc{"OutBoundNAT", "OutBoundNAT", object{"ExceptionList": outside}, object{"Exceptions": outside}})) {
		t.probe(v, t.facts.Answers, Destinations, network,
			with(same("OutBoundNAT", object{"Destinations": []string{second.address}})))
	}
	ports := policyDoc{
		"NAT", "PortMapping", object{"Protocol": "TCP", "InternalPort": 80, "ExternalPort": port},
		object{"Protocol": 6, "InternalPort": 80, "ExternalPort": port},
	}
	if t.probe(v, t.facts.Private, PortMapping, network, with(ports)) {
		holder, _ := t.endpoint(v, network, with(ports))
		other := with(ports)
		other.name, other.address = second.name+"-port", strings.TrimSuffix(second.address, "11")+"12"
		t.probe(v, t.facts.Answers, PortTaken, network, other)
		t.remove(v, kindEndpoint, holder)
	}
}

// examineDeletion deletes the network before its endpoint.
func (t *trial) examineDeletion(v version, network, endpoint string) {
	if _, hcn := v.(v2); hcn {
		t.examineStates(endpoint)
	}
	t.remove(v, kindNetwork, network)
	if t.err != nil {
		return
	}
	_, a, err := v.query(t.ctx, kindEndpoint, endpoint)
	t.err = err
	if t.facts.EndpointsGo = !a.Taken(); t.facts.EndpointsGo {
		t.forget(endpoint)
		return
	}
	t.remove(v, kindEndpoint, endpoint)
}

func (t *trial) namespace(schema object) (id string, a Answer) {
	if t.err != nil {
		return "", a
	}
	id, a, t.err = t.v2.make(t.ctx, kindNamespace, "", object{"Type": "Host", "SchemaVersion": schema})
	if id != "" {
		t.made = append(t.made, madeObject{t.v2, kindNamespace, id})
	}
	return id, a
}

func (t *trial) examineNamespaces() {
	t.look(t.v2, MissingNamespace, kindNamespace)
	id, a := t.namespace(object{"Major": 0, "Minor": 0})
	if t.err == nil {
		t.v2.set(t.facts.Answers, SchemaZero, a)
	}
	if id != "" {
		t.remove(t.v2, kindNamespace, id)
	}
}

// examineStates attaches an endpoint of HCN to a namespace, and looks how v1 shows it.
func (t *trial) examineStates(endpoint string) {
	namespace, a := t.namespace(schema2)
	if t.err == nil {
		t.err = refused("make a namespace", a)
	}
	attach := func(c Case, request string) {
		if t.err != nil {
			return
		}
		a, err := t.v2.attach(t.ctx, request, namespace, endpoint)
		if t.err = err; c != "" {
			t.v2.set(t.facts.Answers, c, a)
		} else if err == nil {
			t.err = refused(request+" an endpoint", a)
		}
	}
	t.facts.V1States.Free = t.stateV1(endpoint)
	attach("", "Add")
	t.facts.V1States.Attached = t.stateV1(endpoint)
	t.tryNeighbor(namespace, endpoint)
	attach(AttachTwice, "Add")
	attach("", "Remove")
	attach(DetachTwice, "Remove")
	if t.err == nil {
		t.remove(t.v2, kindNamespace, namespace)
	}
}

// tryNeighbor tells the endpoint in the namespace the MAC of a next hop.
func (t *trial) tryNeighbor(namespace, endpoint string) {
	if t.err != nil {
		return
	}
	var ns struct {
		NamespaceID uint32 `json:"NamespaceId"`
	}
	var e struct{ MacAddress string }
	for _, o := range []struct {
		kind, id string
		into     any
	}{{kindNamespace, namespace, &ns}, {kindEndpoint, endpoint, &e}} {
		doc, a, err := t.v2.query(t.ctx, o.kind, o.id)
		if t.err = errors.Join(err, refused("look at "+o.kind, a)); t.err == nil {
			t.err = json.Unmarshal([]byte(doc), o.into)
		}
		if t.err != nil {
			return
		}
	}
	mac, err := net.ParseMAC(e.MacAddress)
	if err == nil {
		err = t.v2.s.AddNeighbor(ns.NamespaceID, mac, netip.MustParseAddr("2001:db8::1"))
	}
	if t.facts.IPv6Neighbor = "ok"; err != nil {
		t.facts.IPv6Neighbor = err.Error()
	}
}

// stateV1 is how v1 shows an endpoint; 0: it does not.
func (t *trial) stateV1(endpoint string) int {
	if t.err != nil {
		return 0
	}
	doc, a, err := t.v1.query(t.ctx, kindEndpoint, endpoint)
	var e struct{ State int }
	if t.err = err; err == nil && a.Taken() {
		t.err = json.Unmarshal([]byte(doc), &e)
	}
	return e.State
}

// sweep removes what the trial has made and not removed, whatever happened. It has its own time.
func (t *trial) sweep() error {
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), patience)
	defer cancel()
	var errs []error
	for _, m := range t.made {
		if _, err := m.v.remove(ctx, m.kind, m.id); err != nil {
			errs = append(errs, err) // what HNS answers does not matter: its network goes
		}
	}
	errs = append(errs, sweepNetworks(ctx, t.v1, t.name))
	if t.hasV2 {
		errs = append(errs, sweepNetworks(ctx, t.v2, t.name))
	}
	return errors.Join(errs...)
}

func sweepNetworks(ctx context.Context, v version, name string) error {
	found, err := v.networks(ctx, name)
	if err != nil {
		return fmt.Errorf("a network whose name begins with %s may be left: %w", name, err)
	}
	for id, name := range found {
		a, err := v.remove(ctx, kindNetwork, id)
		if err = errors.Join(err, refused("delete it", a)); err != nil {
			return fmt.Errorf("network %s is left: %w", name, err)
		}
	}
	return nil
}
