package cni

import (
	"bytes"
	"encoding/json"
	"net"
	"slices"
	"strconv"

	"github.com/Azure/azure-container-networking/store"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// encode is the result as its PrintTo writes it. For one of version 1 that encodes, decodes and encodes again, and
// finds out by reflection how all of its types look: a twentieth of what azure-vnet-ipam's ADD takes.
func encode(result types.Result) ([]byte, error) {
	text := &bytes.Buffer{}
	r, ok := result.(*types100.Result)
	if !ok || slices.Contains(r.Interfaces, nil) || slices.Contains(r.IPs, nil) || slices.Contains(r.Routes, nil) {
		err := result.PrintTo(text)
		return text.Bytes(), err
	}
	plain := store.AppendObject(nil, func(w *store.Writer) {
		w.Text("cniVersion", r.CNIVersion)
		w.Object("dns", func(w *store.Writer) { writeDNS(w, r.DNS) })
		w.List("interfaces", len(r.Interfaces), func(b []byte, i int) []byte { return appendInterface(b, r.Interfaces[i]) })
		w.List("ips", len(r.IPs), func(b []byte, i int) []byte { return appendIP(b, r.IPs[i]) })
		w.List("routes", len(r.Routes), func(b []byte, i int) []byte { return appendRoute(b, r.Routes[i]) })
	})
	err := json.Indent(text, plain, "", "    ")
	return text.Bytes(), err
}

// Members stand in the order of their names, as the library leaves them.

func writeDNS(w *store.Writer, d types.DNS) {
	w.Text("domain", d.Domain)
	for _, list := range []struct {
		name  string
		items []string
	}{{"nameservers", d.Nameservers}, {"options", d.Options}, {"search", d.Search}} {
		w.List(list.name, len(list.items), func(b []byte, i int) []byte { return store.AppendString(b, list.items[i]) })
	}
}

func appendInterface(b []byte, i *types100.Interface) []byte {
	return store.AppendObject(b, func(w *store.Writer) {
		w.Text("mac", i.Mac)
		w.Int("mtu", i.Mtu)
		w.Raw("name", store.AppendString(nil, i.Name))
		w.Text("pciID", i.PciID)
		w.Text("sandbox", i.Sandbox)
		w.Text("socketPath", i.SocketPath)
	})
}

func appendIP(b []byte, ip *types100.IPConfig) []byte {
	return store.AppendObject(b, func(w *store.Writer) {
		w.Text("address", ip.Address.String())
		w.Text("gateway", textOf(ip.Gateway))
		number(w, "interface", ip.Interface)
	})
}

func appendRoute(b []byte, r *types.Route) []byte {
	return store.AppendObject(b, func(w *store.Writer) {
		w.Int("advmss", r.AdvMSS)
		w.Text("dst", r.Dst.String())
		w.Text("gw", textOf(r.GW))
		w.Int("mtu", r.MTU)
		w.Int("priority", r.Priority)
		number(w, "scope", r.Scope)
		number(w, "table", r.Table)
	})
}

// number is an optional number, which may be 0.
func number(w *store.Writer, name string, value *int) {
	if value != nil {
		w.Raw(name, strconv.AppendInt(nil, int64(*value), 10))
	}
}

func textOf(ip net.IP) string {
	if len(ip) == 0 {
		return ""
	}
	return ip.String()
}
