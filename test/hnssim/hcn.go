package hnssim

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/install/selftest"
)

// parse makes a Call of the words that a DLL sends.
func parse(words [4]string) Call {
	op, kind, id, body := words[0], words[1], words[2], words[3]
	switch {
	case op == "HNSCall":
		return parseHNS(kind, id, body)
	case kind == KindSystem:
		return Call{API: HCS, Op: op, Kind: kind, ID: id, Body: body}
	}
	return Call{API: HCN, Op: op, Kind: kind, ID: strings.ToLower(id), Body: body}
}

// created is the reply of a Create: the ID, for the handle.
type created string

// reply makes of a result what the export returns.
func (c *Call) reply(result any, err error) answer {
	if c.API == HNS {
		return replyHNS(result, err)
	}
	if err != nil {
		a := answer{code: returned(err)}
		if text := record(err); text != "" {
			a.result = &text
		}
		return a
	}
	switch r := result.(type) {
	case nil:
		return answer{}
	case created:
		id := string(r)
		return answer{id: &id}
	}
	text := encode(result)
	return answer{output: &text}
}

// carryOut does what a call asks for.
func (m *model) carryOut(c *Call) (any, error) {
	m.api = c.API
	switch c.API {
	case HNS:
		return m.hns(c)
	case HCS:
		return m.hcs(c)
	}
	if m.o.Version.before(9, 2) {
		return nil, fail(eNotImpl, "HNS %d.%d has no HCN", m.o.Version.Major, m.o.Version.Minor)
	}
	switch c.Op {
	case Create:
		return m.create(c)
	case Enumerate:
		return m.enumerate(c.Kind, c.Body)
	}
	object := m.find(c.Kind, c.ID)
	if object == nil {
		return nil, m.missing(c.Kind)
	}
	switch c.Op {
	case Open:
		return nil, nil
	case Query:
		_, err := filterOf(c.Kind, c.Body)
		return m.shown(object), err
	case Modify:
		return nil, m.modify(c, object)
	case Delete:
		m.remove(c.Kind, c.ID)
		return nil, nil
	}
	return nil, fail(eNotImpl, "%s %s", c.Op, c.Kind)
}

func (v Version) before(major, minor int) bool {
	return v.Major < major || v.Major == major && v.Minor < minor
}

// find returns nil, and not a nil pointer in an interface, for what is not there.
func (m *model) find(kind, id string) any {
	switch kind {
	case KindNetwork:
		return orNil(m.networks[id])
	case KindEndpoint:
		return orNil(m.endpoints[id])
	case KindNamespace:
		return orNil(m.namespaces[id])
	case KindLoadBalancer:
		return orNil(m.balancers[id])
	case KindRoute:
		return orNil(m.routes[id])
	}
	return nil
}

func orNil[T any](p *T) any {
	if p == nil {
		return nil
	}
	return p
}

func (m *model) remove(kind, id string) {
	switch kind {
	case KindNetwork:
		m.deleteNetwork(id)
	case KindEndpoint:
		m.deleteEndpoint(id)
	case KindNamespace:
		m.deleteNamespace(id)
	case KindLoadBalancer:
		delete(m.balancers, id)
	case KindRoute:
		delete(m.routes, id)
	}
}

func (m *model) create(c *Call) (any, error) {
	var id *string
	var v *Version
	var keep func() error
	var into any
	switch c.Kind {
	case KindNetwork:
		if isV1(c.Body) { // HCN takes the documents of v1, too (hcsshim's TestV1Network)
			n, err := m.createNetworkV1(c.Body)
			if err != nil {
				return nil, err
			}
			return created(n.ID), nil
		}
		n := &Network{}
		into, id, v, keep = n, &n.ID, &n.SchemaVersion, func() error { return m.createNetwork(n) }
	case KindEndpoint:
		if isV1(c.Body) {
			e, err := m.createEndpointV1(c.Body)
			if err != nil {
				return nil, err
			}
			return created(e.ID), nil
		}
		e := &Endpoint{}
		into, id, v, keep = e, &e.ID, &e.SchemaVersion, func() error {
			if !strings.EqualFold(e.HostComputeNetwork, c.ID) {
				return fail(InvalidEndpoint, "HostComputeNetwork is %q, the handle's network %s", e.HostComputeNetwork, c.ID)
			}
			return m.createEndpoint(e)
		}
	case KindNamespace:
		n := &Namespace{}
		into, id, v, keep = n, &n.ID, &n.SchemaVersion, func() error { return m.createNamespace(n) }
	case KindLoadBalancer:
		b := &LoadBalancer{}
		into, id, v, keep = b, &b.ID, &b.SchemaVersion, func() error { return m.putBalancer(b) }
	case KindRoute:
		r := &SDNRoute{}
		into, id, v, keep = r, &r.ID, &r.SchemaVersion, func() error { return m.putRoute(r) }
	default:
		return nil, fail(eNotImpl, "create %s", c.Kind)
	}
	if err := decode(c.Body, into); err != nil {
		return nil, err
	}
	if c.Kind == KindNamespace && *v == (Version{}) {
		if err := m.strict(selftest.SchemaZero, InvalidJSON, "schema version 0.0"); err != nil {
			return nil, err
		}
	} else if v.Major != 2 {
		return nil, fail(InvalidJSON, "schema version %d.%d, 2.x is expected", v.Major, v.Minor)
	}
	if err := keep(); err != nil {
		return nil, err
	}
	return created(*id), nil
}

// isV1 says whether a document is of v1: it has no schema version.
func isV1(body string) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal([]byte(body), &fields) == nil && fields["SchemaVersion"] == nil
}

// filterOf decodes a query. Its filter is a JSON document in a string.
func filterOf(kind, body string) (map[string]string, error) {
	var q struct {
		SchemaVersion Version
		Flags         uint32
		Filter        string
	}
	if err := decode(body, &q); err != nil {
		return nil, err
	}
	filter := map[string]string{}
	if q.Filter == "" {
		return filter, nil
	}
	if err := decode(q.Filter, &filter); err != nil {
		return nil, err
	}
	for key := range filter {
		if key != "ID" && key != "Name" && (key != "VirtualNetwork" || kind != KindEndpoint) {
			return nil, fail(InvalidJSON, "HNS cannot filter by %s", key)
		}
	}
	return filter, nil
}

// enumerate returns the IDs of what fits, in their order.
func (m *model) enumerate(kind, body string) (any, error) {
	filter, err := filterOf(kind, body)
	if err != nil {
		return nil, err
	}
	fits := func(id, name, network string) bool {
		wantID, byID := filter["ID"]
		wantName, byName := filter["Name"]
		wantNetwork, byNetwork := filter["VirtualNetwork"]
		return (!byID || strings.EqualFold(wantID, id)) && (!byName || wantName == name) &&
			(!byNetwork || strings.EqualFold(wantNetwork, network))
	}
	found := []string{}
	for _, id := range m.ids(kind) {
		name, network := "", ""
		switch o := m.find(kind, id).(type) {
		case *Network:
			name = o.Name
		case *Endpoint:
			name, network = o.Name, o.HostComputeNetwork
		}
		if fits(id, name, network) {
			found = append(found, m.guid(id))
		}
	}
	return found, nil
}

func (m *model) ids(kind string) []string {
	switch kind {
	case KindNetwork:
		return slices.Sorted(maps.Keys(m.networks))
	case KindEndpoint:
		return slices.Sorted(maps.Keys(m.endpoints))
	case KindNamespace:
		return slices.Sorted(maps.Keys(m.namespaces))
	case KindLoadBalancer:
		return slices.Sorted(maps.Keys(m.balancers))
	case KindRoute:
		return slices.Sorted(maps.Keys(m.routes))
	}
	return nil
}

func (m *model) modify(c *Call, object any) error {
	if b, ok := object.(*LoadBalancer); ok { // the whole object, HNS 15.4
		changed := &LoadBalancer{}
		if err := decode(c.Body, changed); err != nil {
			return err
		}
		changed.ID = b.ID
		return m.putBalancer(changed)
	}
	var mod modification
	if err := decode(c.Body, &mod); err != nil {
		return err
	}
	if mod.RequestType != "Add" && mod.RequestType != "Remove" && mod.RequestType != "Update" {
		return fail(Unsupported, "request type %q", mod.RequestType)
	}
	switch o := object.(type) {
	case *Namespace:
		return m.modifyNamespace(o, mod)
	case *Network, *Endpoint:
		if mod.ResourceType != "Policy" {
			return fail(Unsupported, "resource type %q", mod.ResourceType)
		}
		return m.modifyPolicies(o, mod)
	}
	return fail(Unsupported, "modify %s", c.Kind)
}

func (m *model) modifyPolicies(object any, mod modification) error {
	var request struct{ Policies []Policy }
	if err := decode(string(mod.Settings), &request); err != nil {
		return err
	}
	if len(request.Policies) == 0 {
		return fail(InvalidPolicy, "no policies")
	}
	change := func(has []Policy) ([]Policy, error) {
		switch mod.RequestType {
		case "Add":
			return append(slices.Clone(has), request.Policies...), nil
		case "Update":
			return request.Policies, nil
		}
		left := slices.DeleteFunc(slices.Clone(has), func(p Policy) bool {
			return slices.ContainsFunc(request.Policies, func(r Policy) bool {
				return r.Type == p.Type && string(r.Settings) == string(p.Settings)
			})
		})
		if len(left) == len(has) {
			return nil, fail(PolicyNotFound, "no such policy")
		}
		return left, nil
	}
	switch o := object.(type) {
	case *Network:
		policies, err := change(o.Policies)
		if err == nil {
			err = m.checkNetworkPolicies(&Network{Type: o.Type, Policies: policies})
		}
		if err == nil {
			o.Policies = policies
		}
		return err
	case *Endpoint:
		policies, err := change(o.Policies)
		if err == nil {
			err = m.checkEndpointPolicies(o, policies)
		}
		if err == nil {
			o.Policies = policies
		}
		return err
	}
	return fail(Unsupported, "policies")
}

// modifyNamespace attaches and detaches endpoints and containers.
func (m *model) modifyNamespace(n *Namespace, mod modification) error {
	key := map[string]string{KindEndpoint: "EndpointId", "Container": "ContainerId"}[mod.ResourceType]
	var settings map[string]string
	if err := decode(string(mod.Settings), &settings); err != nil {
		return err
	}
	id := strings.ToLower(settings[key])
	if key == "" || id == "" || len(settings) != 1 || mod.RequestType == "Update" {
		return fail(Unsupported, "%s %s %s", mod.RequestType, mod.ResourceType, mod.Settings)
	}
	e := m.endpoints[id]
	if mod.ResourceType == KindEndpoint && e == nil {
		return m.missing(KindEndpoint)
	}
	if mod.RequestType == "Remove" {
		if !n.drop(mod.ResourceType, id) {
			return m.refuse(selftest.DetachTwice, "%s is not in the namespace", id)
		}
		if e != nil {
			e.HostComputeNamespace = ""
		}
		return nil
	}
	if e != nil {
		if e.HostComputeNamespace != "" || len(e.containers) > 0 {
			return m.refuse(selftest.AttachTwice, "endpoint %s is attached already", id)
		}
		e.HostComputeNamespace = n.ID
	}
	r := Resource{Type: mod.ResourceType}
	r.Data.ID = id
	n.Resources = append(n.Resources, r)
	return nil
}

// guid is how v2 shows an ID.
func (m *model) guid(id string) string {
	if m.o.Facts.Capitals.V2 {
		return strings.ToUpper(id)
	}
	return id
}

func (m *model) guids(ids []string) (shown []string) {
	for _, id := range ids {
		shown = append(shown, m.guid(id))
	}
	return shown
}

// shown is the document of an object, as v2 shows it.
func (m *model) shown(object any) any {
	switch o := object.(type) {
	case *Network:
		c := *o
		c.ID = m.guid(c.ID)
		return &c
	case *Endpoint:
		c := *o
		c.ID, c.HostComputeNetwork, c.HostComputeNamespace = m.guid(c.ID), m.guid(c.HostComputeNetwork), m.guid(c.HostComputeNamespace)
		return &c
	case *Namespace:
		c := *o
		c.ID, c.Resources = m.guid(c.ID), slices.Clone(c.Resources)
		for i := range c.Resources {
			c.Resources[i].Data.ID = m.guid(c.Resources[i].Data.ID)
		}
		return &c
	case *LoadBalancer:
		c := *o
		c.ID, c.HostComputeEndpoints = m.guid(c.ID), m.guids(c.HostComputeEndpoints)
		return &c
	case *SDNRoute:
		c := *o
		c.ID, c.HostComputeEndpoints = m.guid(c.ID), m.guids(c.HostComputeEndpoints)
		return &c
	}
	return object
}
