package network

import (
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

// AppendRecords implements store.Records.
func (s *State) AppendRecords(b []byte, line func([]byte) []byte) []byte {
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		for _, r := range s.Networks[name].Endpoints.records {
			if b = line(b); r.line != "" {
				b = append(b, r.line...)
				continue
			}
			b = store.AppendObject(b, r.write)
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
	case n != nil && n.Endpoints.find(e.Owner) >= 0:
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
	n.Endpoints.records = append(n.Endpoints.records, record{e, text, endOf(e.ContainerID)})
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
		e.Routes = store.Again(value, name, func() (all []Route) {
			value.Items(func() { all = append(all, parseRoute(value)) })
			return all
		})
	case "gateways": // in transparent mode
		e.Gateways = store.Again(value, name, func() []netip.Addr { return list(value, netip.ParseAddr) })
	case "created":
		e.Created = store.ReadTime(value)
	case "rebuilt":
		e.Rebuilt = value.Bool()
	default:
		value.Member(name, e)
	}
}

// write writes all members.
func (e *Endpoint) write(w *store.Writer) {
	w.Text("network", e.Network)
	w.Text("containerID", e.ContainerID)
	w.Text("ifName", e.IfName)
	w.Text("state", e.State)
	w.Text("podNamespace", e.PodNamespace)
	w.Text("podName", e.PodName)
	w.Text("netns", e.NetNS)
	w.Text("hostIfName", e.HostIfName)
	w.Int("hostIfIndex", e.HostIfIndex)
	w.Text("hostMAC", e.HostMAC)
	w.Text("mac", e.MAC)
	w.Int("mtu", e.MTU)
	writeList(w, "addresses", e.Addresses)
	writeList(w, "gateways", e.Gateways)
	w.List("routes", len(e.Routes), func(b []byte, i int) []byte { return store.AppendObject(b, e.Routes[i].write) })
	w.Time("created", e.Created)
	if e.HNS != nil {
		w.Value("hns", e.HNS)
	}
	w.Bool("rebuilt", e.Rebuilt)
}

func (r Route) write(w *store.Writer) {
	w.Net("dst", r.Dst)
	w.Net("gw", r.GW)
	w.Int("metric", r.Metric)
	w.Int("mtu", r.MTU)
	w.Int("advmss", r.AdvMSS)
	w.Int("table", r.Table)
	w.Int("scope", r.Scope)
}

// list reads what a list of strings says; one may be null.
func list[V any](value *store.Reader, parse func(string) (V, error)) (all []V) {
	value.Items(func() { all = append(all, store.Read(value, parse)) })
	return all
}

// writeList writes a list of addresses or prefixes.
func writeList[V store.Net](w *store.Writer, name string, all []V) {
	w.List(name, len(all), func(b []byte, i int) []byte { return store.AppendNet(b, all[i]) })
}

func parseRoute(value *store.Reader) (r Route) {
	value.Object(func(name string) {
		switch name {
		case "dst":
			r.Dst = store.Read(value, netip.ParsePrefix)
		case "gw":
			r.GW = store.Read(value, netip.ParseAddr)
		case "metric":
			r.Metric = int(value.Int())
		case "mtu":
			r.MTU = int(value.Int())
		case "advmss":
			r.AdvMSS = int(value.Int())
		case "table":
			r.Table = int(value.Int())
		case "scope": // in transparent mode
			r.Scope = int(value.Int())
		default:
			value.Member(name, &r)
		}
	})
	return r
}
