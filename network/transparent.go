package network

import "net/netip"

// The next hops of pods in transparent mode. No interface has these addresses: they are permanent neighbours in
// the pod, with the MAC of the host's end of its veth. So neither ARP nor neighbour discovery is needed, nothing
// has to answer for addresses that it does not have, and the pod's routes are the same in every subnet.
// 169.254.1.1 is what the classic plugin uses for it, too.
var (
	RoutedGateway4 = netip.AddrFrom4([4]byte{169, 254, 1, 1})
	RoutedGateway6 = netip.MustParseAddr("fe80::1")
)

// MakeRouted turns what the IPAM plugin gave into what a pod has without a shared segment: addresses that stand
// alone, and every route by the host. Their subnets get a route, too: a pod in several networks has its default
// route in one of them only.
func (e *Endpoint) MakeRouted() {
	var routes []Route
	for i, a := range e.Addresses {
		e.Addresses[i] = netip.PrefixFrom(a.Addr(), a.Addr().BitLen())
		gw := RoutedGateway6
		if a.Addr().Is4() {
			gw = RoutedGateway4
			routes = append(routes, Route{Dst: netip.PrefixFrom(RoutedGateway4, 32)})
		}
		if !a.IsSingleIP() {
			routes = append(routes, Route{Dst: a.Masked(), GW: gw})
		}
	}
	for _, r := range e.Routes {
		r.GW, r.Scope = RoutedGateway4, 0
		if r.Dst.Addr().Is6() {
			r.GW = RoutedGateway6
		}
		routes = append(routes, r)
	}
	e.Routes = routes
}
