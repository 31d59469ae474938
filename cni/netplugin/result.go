package netplugin

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/manager"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

// apply takes the IPAM plugin's addresses and routes over into the endpoint.
func apply(given *types100.Result, e *network.Endpoint) error {
	gateways := map[bool]netip.Addr{}
	for _, ip := range given.IPs {
		p := cni.PrefixOf(ip.Address)
		if !p.IsValid() {
			return types.NewError(types.ErrInvalidNetworkConfig,
				"the IPAM plugin gave an address that is none: "+ip.Address.String(), "")
		}
		e.Addresses = append(e.Addresses, p)
		if gw, ok := netip.AddrFromSlice(ip.Gateway); ok {
			gateways[p.Addr().Is6()] = gw.Unmap()
			e.Gateways = append(e.Gateways, gw.Unmap())
		}
	}
	for _, r := range given.Routes {
		dst := cni.PrefixOf(r.Dst)
		if !dst.IsValid() {
			return types.NewError(types.ErrInvalidNetworkConfig, "the IPAM plugin gave a route that is none: "+r.String(), "")
		}
		route := network.Route{Dst: dst, Metric: r.Priority, MTU: r.MTU, AdvMSS: r.AdvMSS,
			Table: value(r.Table), Scope: value(r.Scope)}
		gw, ok := netip.AddrFromSlice(r.GW)
		const link = 253 // the scope of what is reached without a gateway: ip-route(8)
		if route.GW = gw.Unmap(); !ok && route.Scope < link {
			route.GW = gateways[dst.Addr().Is6()] // CNI specification: the default gateway unless the route has one
		}
		e.Routes = append(e.Routes, route)
	}
	return nil
}

func value(p *int) int {
	if p == nil {
		return 0
	}
	return *p
}

// said is nil for what nobody said.
func said(v int) *int {
	if v == 0 {
		return nil
	}
	return &v
}

// result tells the runtime what the pod has: with a bridge, that first; then the host's end; then the pod's.
func result(n *network.Network, e *network.Endpoint, given *types100.Result, dns types.DNS) *types100.Result {
	r := &types100.Result{CNIVersion: types100.ImplementedSpecVersion, DNS: dns}
	if n.Bridge != "" {
		r.Interfaces = append(r.Interfaces, &types100.Interface{Name: n.Bridge, Mac: n.MAC, Mtu: n.MTU})
	}
	r.Interfaces = append(r.Interfaces,
		&types100.Interface{Name: e.HostIfName, Mac: e.HostMAC, Mtu: e.MTU},
		&types100.Interface{Name: e.IfName, Mac: e.MAC, Mtu: e.MTU, Sandbox: e.NetNS})
	addAddresses(r, e, func(i int) net.IP { return given.IPs[i].Gateway })
	return r
}

// addAddresses adds what the pod's interface, the last one, has. given is the gateway of an address that no default
// route tells.
func addAddresses(r *types100.Result, e *network.Endpoint, given func(i int) net.IP) {
	inPod := len(r.Interfaces) - 1
	for i, a := range e.Addresses {
		r.IPs = append(r.IPs, &types100.IPConfig{Interface: types100.Int(inPod), Address: cni.IPNet(a),
			Gateway: gateway(e, a.Addr().Is6(), given(i))})
	}
	for _, route := range e.Routes {
		r.Routes = append(r.Routes, &types.Route{Dst: cni.IPNet(route.Dst), GW: net.IP(route.GW.AsSlice()),
			Priority: route.Metric, MTU: route.MTU, AdvMSS: route.AdvMSS,
			Table: said(route.Table), Scope: said(route.Scope)})
	}
}

// gateway is where the pod's default route of a family goes, or what the IPAM plugin said if it has none.
func gateway(e *network.Endpoint, v6 bool, given net.IP) net.IP {
	for _, r := range e.Routes {
		if r.Dst.Bits() == 0 && r.Dst.Addr().Is6() == v6 && r.GW.IsValid() {
			return net.IP(r.GW.AsSlice())
		}
	}
	return given
}

// behind is the result with what the plugins before this one in the chain have made, in front. prev may be nil.
func behind(prev, own *types100.Result) *types100.Result {
	if prev == nil {
		return own
	}
	for _, ip := range own.IPs {
		ip.Interface = types100.Int(*ip.Interface + len(prev.Interfaces))
	}
	own.Interfaces = append(prev.Interfaces, own.Interfaces...)
	own.IPs = append(prev.IPs, own.IPs...)
	own.Routes = append(prev.Routes, own.Routes...)
	if own.DNS.IsEmpty() {
		own.DNS = prev.DNS
	}
	return own
}

// previous reads "prevResult" in the version of the configuration; nil if there is none.
func previous(conf *cni.NetConf) (*types100.Result, error) {
	if conf.RawPrevResult == nil {
		return nil, nil
	}
	plugin := &types.PluginConf{CNIVersion: conf.CNIVersion}
	if err := json.Unmarshal(conf.Raw, plugin); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "decode the network configuration: "+err.Error(), "")
	}
	if plugin.RawPrevResult == nil {
		return nil, nil
	}
	if err := version.ParsePrevResult(plugin); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "decode prevResult: "+err.Error(), "")
	}
	result, err := types100.NewResultFromResult(plugin.PrevResult)
	if err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "convert prevResult: "+err.Error(), "")
	}
	return result, nil
}

// believed is what a result says of the interface that a CHECK is about. Where it has interfaces, ours has to be among
// them.
// Error: ErrDifference.
func believed(prev *types100.Result, ifName, netns string) (b manager.Believed, err error) {
	classic := ofClassic(prev, ifName)
	at := -1
	for i, known := range prev.Interfaces {
		if known.Name == ifName && (known.Sandbox != "" || classic) {
			at = i
		}
	}
	if at < 0 && len(prev.Interfaces) > 0 {
		return b, fmt.Errorf("%w: the runtime's result has no interface %s in a pod", network.ErrDifference, ifName)
	}
	if at >= 0 {
		own := prev.Interfaces[at]
		if own.Sandbox != netns && !classic && !onHNS && !sameFile(own.Sandbox, netns) {
			return b, fmt.Errorf("%w: the runtime's result has %s in %s, and CNI_NETNS is %s",
				network.ErrDifference, ifName, own.Sandbox, netns)
		}
		b.MAC, b.MTU = own.Mac, own.Mtu
	}
	for _, ip := range prev.IPs {
		if ip.Interface != nil && *ip.Interface == at || classic && ip.Interface == nil {
			b.Addresses = append(b.Addresses, cni.PrefixOf(ip.Address))
		}
	}
	for _, r := range prev.Routes {
		gw, _ := netip.AddrFromSlice(r.GW)
		b.Routes = append(b.Routes, network.Route{Dst: cni.PrefixOf(r.Dst), GW: gw.Unmap()})
	}
	return b, nil
}

// ofClassic says whether the result is one of the classic plugin's: it names the pod's interface, but not where that
// is, and no other.
func ofClassic(r *types100.Result, ifName string) bool {
	return len(r.Interfaces) == 1 && *r.Interfaces[0] == types100.Interface{Name: ifName}
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	other, oerr := os.Stat(b)
	return err == nil && oerr == nil && os.SameFile(one, other)
}
