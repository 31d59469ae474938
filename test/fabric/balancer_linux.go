package fabric

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LoadBalancer is one of Azure's, with a rule of floating IP, as Kubernetes'
// cloud provider makes all of its own: packets reach a backend's primary NIC
// with the frontend's address as their destination, and the backend may answer
// from that address. A connection stays with one backend. What a backend sends
// to a frontend of its own is dropped: Azure would bring it back to the sender,
// which cannot answer itself.
type LoadBalancer struct {
	Frontend netip.Addr // in the nodes' subnet (internal) or outside (public)
	Backends []string   // names of VMs
}

// balancers returns those that have the port's NIC as a backend, for a family.
func (f *Fabric) balancers(p *port) (frontends []netip.Addr) {
	for _, lb := range f.config.LoadBalancers {
		if slices.Contains(f.backends(lb), p) {
			frontends = append(frontends, lb.Frontend)
		}
	}
	return frontends
}

// backends are the ports of a balancer's backends.
func (f *Fabric) backends(lb LoadBalancer) (list []*port) {
	for _, vm := range f.VMs {
		for _, p := range vm.ports {
			if p.nic.Primary && slices.Contains(lb.Backends, vm.Config.Name) {
				list = append(list, p)
			}
		}
	}
	return list
}

// balance routes the frontend to all backends; the kernel keeps a connection
// with one (fib_multipath_hash_policy).
func (w *wiring) balance(frontend netip.Addr, backends []*port) error {
	for _, p := range backends {
		if err := w.neighbor(p, frontend); err != nil {
			return err
		}
	}
	if err := w.fabric.RouteReplace(balanced(frontend, backends)); err != nil {
		return fmt.Errorf("balance %v: %w", frontend, err)
	}
	return nil
}

// balanced is the route to a frontend. Without a backend what is sent there is lost, as on Azure.
func balanced(frontend netip.Addr, backends []*port) *netlink.Route {
	route := &netlink.Route{Dst: hostNet(frontend)}
	if len(backends) == 0 {
		route.Type = unix.RTN_BLACKHOLE
		return route
	}
	route.Src, route.Scope = RemoteHost.AsSlice(), netlink.SCOPE_LINK
	if frontend.Is6() {
		route.Src = RemoteHost6.AsSlice()
	}
	for _, p := range backends {
		hop := &netlink.NexthopInfo{LinkIndex: p.index}
		if frontend.Is6() { // the kernel wants a gateway where there are several
			hop.Gw = linkLocal(p.nic.MAC).AsSlice()
		}
		route.MultiPath = append(route.MultiPath, hop)
	}
	return route
}

// Balance makes some of a load balancer's backends those that get new packets, none of them too: the others' health probes have failed.
// Unlike on Azure a connection moves, too.
func (f *Fabric) Balance(frontend netip.Addr, backends []string) error {
	i := slices.IndexFunc(f.config.LoadBalancers, func(lb LoadBalancer) bool { return lb.Frontend == frontend })
	if i < 0 {
		return fmt.Errorf("%v is no load balancer's", frontend)
	}
	for _, name := range backends {
		if !slices.Contains(f.config.LoadBalancers[i].Backends, name) {
			return fmt.Errorf("%s is no backend of %v", name, frontend)
		}
	}
	h, err := f.ns.handle()
	if err != nil {
		return err
	}
	defer h.Close()
	if frontend.Is6() { // where the kernel would replace one next hop, and keep the others
		for h.RouteDel(&netlink.Route{Dst: hostNet(frontend)}) == nil {
			continue
		}
	}
	if err := h.RouteReplace(balanced(frontend, f.backends(LoadBalancer{frontend, backends}))); err != nil {
		return fmt.Errorf("balance %v: %w", frontend, err)
	}
	return nil
}

// frontends are the addresses of all balancers.
func (c Config) frontends() (list []netip.Addr) {
	for _, lb := range c.LoadBalancers {
		list = append(list, lb.Frontend)
	}
	return list
}

func (lb LoadBalancer) validate(c Config) error {
	for _, name := range lb.Backends {
		if !slices.ContainsFunc(c.VMs, func(v VMConfig) bool { return v.Name == name }) {
			return fmt.Errorf("load balancer %v: no VM is called %q", lb.Frontend, name)
		}
	}
	if len(lb.Backends) == 0 {
		return fmt.Errorf("load balancer %v has no backend", lb.Frontend)
	}
	if lb.Frontend.Is6() && !c.dual() {
		return fmt.Errorf("load balancer %v: the fabric has no IPv6", lb.Frontend)
	}
	return nil
}
