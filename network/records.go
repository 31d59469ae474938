package network

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/store"
)

// Schema is the version of the state's encoding (schema2.go has the one before).
const Schema = 3

// The endpoints are the records of the state (store.Records), network by network. One that nobody changed is written
// as it was read.

// UnmarshalJSON refuses a network that is null: such a file is damaged.
func (s *State) UnmarshalJSON(b []byte) error {
	type plain State
	if err := json.Unmarshal(b, (*plain)(s)); err != nil {
		return err
	}
	for name, n := range s.Networks {
		if n == nil {
			return fmt.Errorf("network %q is null", name)
		}
	}
	return nil
}

// AppendRecords implements store.Records.
func (s *State) AppendRecords(b []byte, line func([]byte) []byte) []byte {
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		for _, r := range s.Networks[name].Endpoints.records {
			if b = line(b); r.line != "" {
				b = append(b, r.line...)
				continue
			}
			object, err := json.Marshal(r.Endpoint)
			if err != nil {
				panic(fmt.Sprintf("endpoint %s cannot be encoded: %v", r.Owner, err)) // no type in it can fail
			}
			b = append(b, object...)
		}
	}
	return b
}

// ParseRecord implements store.Records: an *Endpoint.
func (s *State) ParseRecord(object *store.Reader) (any, error) {
	e := &Endpoint{}
	object.Object(func(name string) { e.parse(name, object) })
	switch n := s.Networks[e.Network]; {
	case object.Err() != nil:
		return nil, object.Err()
	case !e.named():
		return nil, fmt.Errorf("an endpoint of network %q has no owner: %q", e.Network, e.Owner)
	case n != nil && n.Endpoints.find(e.Key()) >= 0:
		return nil, fmt.Errorf("endpoint %s is there twice", e.Owner)
	}
	return e, nil
}

// EnterRecord implements store.Records: it gives a network one of its endpoints.
func (s *State) EnterRecord(parsed any, text string) error {
	e, _ := parsed.(*Endpoint)
	n := s.Networks[e.Network]
	if n == nil {
		return fmt.Errorf("endpoint %s is of a network that is not there", e.Owner)
	}
	if strings.IndexByte(text, '\n') >= 0 {
		text = "" // somebody has formatted the file
	}
	if n.Endpoints.records == nil {
		const usual = 256 // what a NIC has: growing step by step takes twice the memory
		n.Endpoints.records = make([]record, 0, usual)
	}
	n.Endpoints.records = append(n.Endpoints.records, record{e, text})
	return nil
}

// parse reads one member: what each endpoint has without encoding/json, because a command reads hundreds of them.
func (e *Endpoint) parse(name string, value *store.Reader) {
	switch name {
	case "network":
		e.Network = value.String()
	case "containerID":
		e.ContainerID = value.String()
	case "ifName":
		e.IfName = value.String()
	case "state":
		e.State = value.String()
	case "podNamespace":
		e.PodNamespace = value.String()
	case "podName":
		e.PodName = value.String()
	case "netns":
		e.NetNS = value.String()
	case "hostIfName":
		e.HostIfName = value.String()
	case "hostIfIndex":
		e.HostIfIndex = int(value.Int())
	case "hostMAC":
		e.HostMAC = value.String()
	case "mac":
		e.MAC = value.String()
	case "mtu":
		e.MTU = int(value.Int())
	case "addresses":
		e.Addresses = list(value, netip.ParsePrefix)
	case "routes":
		value.Array(func() { e.Routes = append(e.Routes, parseRoute(value)) })
	case "gateways": // in transparent mode
		e.Gateways = list(value, netip.ParseAddr)
	case "created":
		e.Created = store.ReadTime(value)
	default:
		value.Member(name, e)
	}
}

// list reads what a list of strings says; that of an endpoint that is announced is null.
func list[V any](value *store.Reader, parse func(string) (V, error)) (all []V) {
	if !value.Null() {
		value.Array(func() { all = append(all, store.Read(value, parse)) })
	}
	return all
}

func parseRoute(value *store.Reader) (r Route) {
	value.Object(func(name string) {
		switch name {
		case "dst":
			r.Dst = store.Read(value, netip.ParsePrefix)
		case "gw":
			r.GW = store.Read(value, netip.ParseAddr)
		case "mtu":
			r.MTU = int(value.Int())
		case "scope": // in transparent mode
			r.Scope = int(value.Int())
		default:
			value.Member(name, &r)
		}
	})
	return r
}
