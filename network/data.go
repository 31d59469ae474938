package network

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/store"
)

// The state's data: the networks without their endpoints, which are its records.

// MarshalJSON implements json.Marshaler.
func (s *State) MarshalJSON() ([]byte, error) {
	return store.AppendObject(nil, func(w *store.Writer) {
		writeMap(w, "networks", s.Networks, func(b []byte, n *Network) []byte { return store.AppendObject(b, n.write) })
	}), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *State) UnmarshalJSON(b []byte) error {
	r := store.NewReader(string(b))
	r.Object(func(name string) {
		switch name {
		case "networks":
			s.Networks = readMap(r, parseNetwork)
		default:
			r.Skip()
		}
	})
	return r.Err()
}

func (n *Network) write(w *store.Writer) {
	w.Text("name", n.Name)
	w.Text("mode", string(n.Mode))
	w.Text("master", n.Master)
	w.Text("bridge", n.Bridge)
	n.Settings.write(w)
	n.Observed.write(w)
	w.Raw("giver", n.Giver)
	writeList(w, "prefixes", n.Prefixes)
	w.Time("created", n.Created)
	w.Bool("unsearched", n.Unsearched)
	w.List("former", len(n.Former), func(b []byte, i int) []byte { return store.AppendObject(b, n.Former[i].write) })
}

func parseNetwork(r *store.Reader) *Network {
	n := &Network{}
	r.Object(func(name string) {
		switch name {
		case "name":
			n.Name = r.String()
		case "mode":
			n.Mode = Mode(r.String())
		case "master":
			n.Master = r.String()
		case "bridge":
			n.Bridge = r.String()
		case "giver":
			n.Giver = r.JSON()
		case "prefixes":
			n.Prefixes = list(r, netip.ParsePrefix)
		case "created":
			n.Created = store.ReadTime(r)
		case "unsearched":
			n.Unsearched = r.Bool()
		case "former":
			r.Items(func() { n.Former = append(n.Former, parseFormer(r)) })
		default:
			if !n.Settings.parse(name, r) && !n.Observed.parse(name, r) {
				r.Skip()
			}
		}
	})
	return n
}

func (s *Settings) write(w *store.Writer) {
	w.Bool("antiSpoof", s.AntiSpoof)
	w.Bool("hostAgent", s.AllowHostAgent)
	writeList(w, "viaHost", s.IPsToRouteViaHost)
	w.Bool("masquerade", s.IPMasq)
	writeList(w, "vnet", s.VnetCIDRs)
	w.Bool("acceptForward", s.AcceptForward)
}

// parse says whether the member is one of the settings.
func (s *Settings) parse(name string, r *store.Reader) bool {
	switch name {
	case "antiSpoof":
		s.AntiSpoof = r.Bool()
	case "hostAgent":
		s.AllowHostAgent = r.Bool()
	case "viaHost":
		s.IPsToRouteViaHost = list(r, netip.ParsePrefix)
	case "masquerade":
		s.IPMasq = r.Bool()
	case "vnet":
		s.VnetCIDRs = list(r, netip.ParsePrefix)
	case "acceptForward":
		s.AcceptForward = r.Bool()
	default:
		return false
	}
	return true
}

func (o *Observed) write(w *store.Writer) {
	w.Text("mac", o.MAC)
	w.Int("mtu", o.MTU)
	w.Text("rules", o.Family)
	writeMap(w, "sysctls", o.Sysctls, store.AppendString)
	w.Bool("imported", o.Imported)
	w.Text("host", base64.StdEncoding.EncodeToString(o.Snapshot))
	writeMap(w, "dns", o.DNS, func(b []byte, m json.RawMessage) []byte { return append(b, m...) })
	w.Text("hnsID", o.HNSID)
}

// parse says whether the member is one of what was observed.
func (o *Observed) parse(name string, r *store.Reader) bool {
	switch name {
	case "mac":
		o.MAC = r.String()
	case "mtu":
		o.MTU = int(r.Int())
	case "rules":
		o.Family = r.String()
	case "sysctls":
		o.Sysctls = readMap(r, (*store.Reader).String)
	case "imported":
		o.Imported = r.Bool()
	case "host":
		o.Snapshot = store.Read(r, base64.StdEncoding.DecodeString)
	case "dns":
		o.DNS = readMap(r, (*store.Reader).JSON)
	case "hnsID":
		o.HNSID = r.String()
	default:
		return false
	}
	return true
}

func (f Former) write(w *store.Writer) {
	w.Text("master", f.Master)
	w.Text("bridge", f.Bridge)
	w.Text("rules", f.Family)
}

func parseFormer(r *store.Reader) (f Former) {
	r.Object(func(name string) {
		switch name {
		case "master":
			f.Master = r.String()
		case "bridge":
			f.Bridge = r.String()
		case "rules":
			f.Family = r.String()
		default:
			r.Skip()
		}
	})
	return f
}

// writeMap writes a map, in the order of its keys.
func writeMap[V any](w *store.Writer, name string, all map[string]V, value func(b []byte, value V) []byte) {
	w.Map(name, slices.Sorted(maps.Keys(all)), func(b []byte, key string) []byte { return value(b, all[key]) })
}

// readMap reads an object as a map; it may be null.
func readMap[V any](r *store.Reader, value func(r *store.Reader) V) map[string]V {
	all := map[string]V{}
	r.Members(func(name string) { all[name] = value(r) })
	return all
}
