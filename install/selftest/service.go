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

// Service is Windows' Host Networking Service. Its methods have no limit of time.
type Service interface {
	// V1 is HNSCall of vmcompute.dll.
	V1(method, path, body string) (response string, code HRESULT)
	// V2 is Hcn<op><kind> of computenetwork.dll: Create, Query, Modify, Delete, Enumerate of Network, Endpoint,
	// Namespace. The ID is the object's; for Create Endpoint it is the network's. The reply is what was asked for, or of a
	// Create the properties of what was made; on failure it is the error record.
	V2(op, kind, id, body string) (reply string, code HRESULT)
	// AddNeighbor is platform.AddNeighbor, with the MAC of Azure's network.
	AddNeighbor(compartment uint32, adapter net.HardwareAddr, hop netip.Addr) error
}

// limit is how long a call of HNS may take. It cannot be taken back.
const limit = time.Minute

// bounded calls HNS, and stops waiting when ctx or the limit ends.
func bounded(ctx context.Context, call func() (string, HRESULT)) (string, HRESULT, error) {
	if err := ctx.Err(); err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type reply struct {
		text string
		code HRESULT
	}
	replied := make(chan reply, 1)
	go func() {
		text, code := call()
		replied <- reply{text, code}
	}()
	select {
	case r := <-replied:
		return r.text, r.code, nil
	case <-ctx.Done():
		return "", 0, fmt.Errorf("HNS did not answer: %w", ctx.Err())
	}
}

// version is HNS in one of its two. IDs are as HNS gave them.
type version interface {
	// create makes a network of type Private, or an endpoint, and returns its ID.
	createNetwork(ctx context.Context, n networkDoc) (id string, a Answer, err error)
	createEndpoint(ctx context.Context, networkID string, e endpointDoc) (id string, a Answer, err error)
	// query answers the object's document.
	query(ctx context.Context, kind, id string) (doc string, a Answer, err error)
	remove(ctx context.Context, kind, id string) (Answer, error)
	// networks lists the networks whose name begins so: names by ID.
	networks(ctx context.Context, prefix string) (map[string]string, error)
	set(into map[Case]Answers, c Case, a Answer)
}

const (
	kindNetwork   = "Network"
	kindEndpoint  = "Endpoint"
	kindNamespace = "Namespace"

	l2Bridge = "L2Bridge" // v1 has it in small letters
)

// networkDoc and endpointDoc are what is sent, in either version.
type (
	networkDoc struct {
		name, subnet, gateway string
		adapter               string // of an L2Bridge; empty: a Private network
	}
	endpointDoc struct {
		name, address string
		length        int
		mac           string
		hop           string // of the default route, v2
		policies      []policyDoc
	}
	// policyDoc is a policy in both versions: its type and settings.
	policyDoc struct {
		typeV1, typeV2 string
		v1, v2         map[string]any
	}
)

type object = map[string]any

// v1 is HNS v1.
type v1 struct{ s Service }

func (v v1) call(ctx context.Context, method, path string, body any) (output json.RawMessage, a Answer, err error) {
	text := ""
	if body != nil {
		text, err = encode(body)
		if err != nil {
			return nil, a, err
		}
	}
	reply, code, err := bounded(ctx, func() (string, HRESULT) { return v.s.V1(method, path, text) })
	if err != nil || code != 0 {
		return nil, Answer{HRESULT: code}, err
	}
	var r struct {
		Success   bool
		Error     string
		ErrorCode uint32
		Output    json.RawMessage
	}
	if err := json.Unmarshal([]byte(reply), &r); err != nil {
		return nil, a, fmt.Errorf("HNS answers %s %s with %q: %w", method, path, reply, err)
	}
	if !r.Success {
		a = Answer{Error: r.Error, ErrorCode: HRESULT(r.ErrorCode)}
		if a.Taken() {
			a.Error = "Success is false"
		}
	}
	return r.Output, a, nil
}

func (v v1) make(ctx context.Context, path string, doc any) (id string, a Answer, err error) {
	output, a, err := v.call(ctx, "POST", path, doc)
	if err != nil || !a.Taken() {
		return "", a, err
	}
	id, err = idOf(output)
	return id, a, err
}

func (v v1) createNetwork(ctx context.Context, n networkDoc) (string, Answer, error) {
	doc := object{"Name": n.name, "Type": "private",
		"Subnets": []object{{"AddressPrefix": n.subnet, "GatewayAddress": n.gateway}}}
	if n.adapter != "" {
		doc["Type"], doc["NetworkAdapterName"] = strings.ToLower(l2Bridge), n.adapter
	}
	return v.make(ctx, "/networks/", doc)
}

func (v v1) createEndpoint(ctx context.Context, networkID string, e endpointDoc) (string, Answer, error) {
	doc := object{"VirtualNetwork": networkID, "IPAddress": e.address}
	if e.name != "" {
		doc["Name"] = e.name
	}
	if e.length != 0 {
		doc["PrefixLength"] = e.length
	}
	if e.mac != "" {
		doc["MacAddress"] = e.mac
	}
	var policies []object
	for _, p := range e.policies {
		flat := object{"Type": p.typeV1}
		for key, value := range p.v1 {
			flat[key] = value
		}
		policies = append(policies, flat)
	}
	if policies != nil {
		doc["Policies"] = policies
	}
	return v.make(ctx, "/endpoints/", doc)
}

var pathsV1 = map[string]string{kindNetwork: "/networks/", kindEndpoint: "/endpoints/"}

func (v v1) query(ctx context.Context, kind, id string) (string, Answer, error) {
	output, a, err := v.call(ctx, "GET", pathsV1[kind]+id, nil)
	return string(output), a, err
}

func (v v1) remove(ctx context.Context, kind, id string) (Answer, error) {
	_, a, err := v.call(ctx, "DELETE", pathsV1[kind]+id, nil)
	return a, err
}

func (v v1) networks(ctx context.Context, prefix string) (map[string]string, error) {
	output, a, err := v.call(ctx, "GET", "/networks/", nil)
	if err != nil || !a.Taken() {
		return nil, errors.Join(err, refused("list the networks", a))
	}
	var list []struct{ ID, Name string }
	if len(output) > 0 {
		err = json.Unmarshal(output, &list)
	}
	found := map[string]string{}
	for _, n := range list {
		if strings.HasPrefix(n.Name, prefix) {
			found[n.ID] = n.Name
		}
	}
	return found, err
}

func (v1) set(into map[Case]Answers, c Case, a Answer) {
	both := into[c]
	both.V1 = &a
	into[c] = both
}

// v2 is HCN.
type v2 struct{ s Service }

func (v v2) call(ctx context.Context, op, kind, id string, body any) (reply string, a Answer, err error) {
	text := ""
	if body != nil {
		text, err = encode(body)
		if err != nil {
			return "", a, err
		}
	}
	reply, code, err := bounded(ctx, func() (string, HRESULT) { return v.s.V2(op, kind, id, text) })
	if err != nil || code == 0 {
		return reply, a, err
	}
	var r struct {
		Error     string
		ErrorCode uint32
	}
	if json.Unmarshal([]byte(reply), &r) != nil { // no record, or one that we do not know
		r.Error = reply
	}
	return "", Answer{code, r.Error, HRESULT(r.ErrorCode)}, nil
}

var schema2 = object{"Major": 2, "Minor": 0}

func (v v2) make(ctx context.Context, kind, parent string, doc object) (id string, a Answer, err error) {
	if doc["SchemaVersion"] == nil {
		doc["SchemaVersion"] = schema2
	}
	reply, a, err := v.call(ctx, "Create", kind, parent, doc)
	if err != nil || !a.Taken() {
		return "", a, err
	}
	id, err = idOf([]byte(reply))
	return id, a, err
}

// nonPersistent lets a network end with a reboot, in case that nobody comes to remove it.
const nonPersistent = 8

func (v v2) createNetwork(ctx context.Context, n networkDoc) (string, Answer, error) {
	subnet := object{"IpAddressPrefix": n.subnet,
		"Routes": []object{{"NextHop": n.gateway, "DestinationPrefix": "0.0.0.0/0"}}}
	doc := object{"Name": n.name, "Type": "Private", "Ipams": []object{{"Type": "Static", "Subnets": []object{subnet}}},
		"Flags": nonPersistent}
	if n.adapter != "" {
		doc["Type"] = l2Bridge
		doc["Policies"] = []object{{"Type": "NetAdapterName", "Settings": object{"NetworkAdapterName": n.adapter}}}
	}
	return v.make(ctx, kindNetwork, "", doc)
}

func (v v2) createEndpoint(ctx context.Context, networkID string, e endpointDoc) (string, Answer, error) {
	address := object{"IpAddress": e.address}
	if e.length != 0 {
		address["PrefixLength"] = e.length
	}
	doc := object{"HostComputeNetwork": networkID, "IpConfigurations": []object{address}}
	if e.name != "" {
		doc["Name"] = e.name
	}
	if e.mac != "" {
		doc["MacAddress"] = e.mac
	}
	if e.hop != "" {
		doc["Routes"] = []object{{"NextHop": e.hop, "DestinationPrefix": "0.0.0.0/0"}}
	}
	var policies []object
	for _, p := range e.policies {
		policies = append(policies, object{"Type": p.typeV2, "Settings": p.v2})
	}
	if policies != nil {
		doc["Policies"] = policies
	}
	return v.make(ctx, kindEndpoint, networkID, doc)
}

var queryV2 = object{"SchemaVersion": schema2, "Flags": 0}

func (v v2) query(ctx context.Context, kind, id string) (string, Answer, error) {
	return v.call(ctx, "Query", kind, id, queryV2)
}

func (v v2) remove(ctx context.Context, kind, id string) (Answer, error) {
	_, a, err := v.call(ctx, "Delete", kind, id, nil)
	return a, err
}

func (v v2) networks(ctx context.Context, prefix string) (map[string]string, error) {
	reply, a, err := v.call(ctx, "Enumerate", kindNetwork, "", queryV2)
	if err != nil || !a.Taken() {
		return nil, errors.Join(err, refused("list the networks", a))
	}
	var ids []string
	if err := json.Unmarshal([]byte(reply), &ids); err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, id := range ids {
		doc, a, err := v.query(ctx, kindNetwork, id)
		if err != nil {
			return nil, err
		}
		var n struct{ Name string }
		if a.Taken() && json.Unmarshal([]byte(doc), &n) == nil && strings.HasPrefix(n.Name, prefix) {
			found[id] = n.Name
		}
	}
	return found, nil
}

// attach puts an endpoint into a namespace, or takes it out.
func (v v2) attach(ctx context.Context, request, namespace, endpoint string) (Answer, error) {
	_, a, err := v.call(ctx, "Modify", kindNamespace, namespace,
		object{"ResourceType": kindEndpoint, "RequestType": request, "Settings": object{"EndpointId": endpoint}})
	return a, err
}

func (v2) set(into map[Case]Answers, c Case, a Answer) {
	both := into[c]
	both.V2 = &a
	into[c] = both
}

func encode(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

func idOf(doc []byte) (string, error) {
	var o struct{ ID string }
	if err := json.Unmarshal(doc, &o); err != nil || o.ID == "" {
		return "", fmt.Errorf("HNS made something without an ID: %q", doc)
	}
	return o.ID, nil
}

// refused is an error for what HNS should have taken; nil if it has.
func refused(what string, a Answer) error {
	if a.Taken() {
		return nil
	}
	return fmt.Errorf("%s: HNS answers %v", what, a)
}
