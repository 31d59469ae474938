package ipam

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/store"
)

// The state's data: what is known besides the reservations, which are its records.

// MarshalJSON implements json.Marshaler.
func (s *State) MarshalJSON() ([]byte, error) {
	return store.AppendObject(nil, func(w *store.Writer) {
		w.List("pools", len(s.Pools), func(b []byte, i int) []byte { return store.AppendObject(b, s.Pools[i].write) })
		w.Map("bindings", slices.Sorted(maps.Keys(s.Bindings)), func(b []byte, network string) []byte {
			return store.AppendObject(b, s.Bindings[network].write)
		})
		w.List("unmatched", len(s.Unmatched), func(b []byte, i int) []byte { return store.AppendString(b, s.Unmatched[i]) })
		w.Object("answer", s.Answer.write)
	}), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *State) UnmarshalJSON(b []byte) error {
	r := store.NewReader(string(b))
	r.Object(func(name string) {
		switch name {
		case "pools":
			r.Items(func() { s.Pools = append(s.Pools, parsePool(r)) })
		case "bindings":
			s.Bindings = map[string]Binding{}
			r.Members(func(network string) { s.Bindings[network] = parseBinding(r) })
		case "unmatched":
			r.Items(func() { s.Unmatched = append(s.Unmatched, r.String()) })
		case "answer":
			s.Answer.parse(r)
		default:
			r.Skip()
		}
	})
	return r.Err()
}

func (p *Pool) write(w *store.Writer) {
	w.Net("prefix", p.Prefix)
	w.Text("mac", p.MAC)
	w.Text("interface", p.Interface)
	w.Bool("primary", p.Primary)
	w.List("listed", len(p.Listed), func(b []byte, i int) []byte { return store.AppendNet(b, p.Listed[i]) })
	w.List("released", len(p.Released), func(b []byte, i int) []byte { return store.AppendNet(b, p.Released[i]) })
}

func parsePool(r *store.Reader) *Pool {
	p := &Pool{}
	r.Object(func(name string) {
		switch name {
		case "prefix":
			p.Prefix = store.Read(r, netip.ParsePrefix)
		case "mac":
			p.MAC = r.String()
		case "interface":
			p.Interface = r.String()
		case "primary":
			p.Primary = r.Bool()
		case "listed":
			var ranges []addrRange
			r.Items(func() { ranges = append(ranges, store.Read(r, parseRange)) })
			p.Listed = setOf(ranges)
		case "released":
			r.Items(func() { p.Released = append(p.Released, store.Read(r, netip.ParseAddr)) })
		default:
			r.Skip()
		}
	})
	return p
}

func (b Binding) write(w *store.Writer) {
	w.Object("ipv4", b.IPv4.write)
	w.Object("ipv6", b.IPv6.write)
}

func parseBinding(r *store.Reader) (b Binding) {
	r.Object(func(name string) {
		switch name {
		case "ipv4":
			b.IPv4 = parsePoolID(r)
		case "ipv6":
			b.IPv6 = parsePoolID(r)
		default:
			r.Skip()
		}
	})
	return b
}

func (i PoolID) write(w *store.Writer) {
	w.Text("mac", i.MAC)
	w.Net("prefix", i.Prefix)
}

func parsePoolID(r *store.Reader) (i PoolID) {
	r.Object(func(name string) {
		switch name {
		case "mac":
			i.MAC = r.String()
		case "prefix":
			i.Prefix = store.Read(r, netip.ParsePrefix)
		default:
			r.Skip()
		}
	})
	return i
}

func (a *SourceStatus) write(w *store.Writer) {
	w.Text("environment", a.Environment)
	w.Text("url", a.URL)
	w.Time("refreshed", a.Refreshed)
	w.Time("attempted", a.Attempted)
	w.Text("failure", a.Failure)
	w.Text("stamp", a.Stamp)
	w.Bool("noneAssigned", a.NoneAssigned)
}

func (a *SourceStatus) parse(r *store.Reader) {
	r.Object(func(name string) {
		switch name {
		case "environment":
			a.Environment = r.String()
		case "url":
			a.URL = r.String()
		case "refreshed":
			a.Refreshed = store.ReadTime(r)
		case "attempted":
			a.Attempted = store.ReadTime(r)
		case "failure":
			a.Failure = r.String()
		case "stamp":
			a.Stamp = r.String()
		case "noneAssigned":
			a.NoneAssigned = r.Bool()
		default:
			r.Skip()
		}
	})
}
