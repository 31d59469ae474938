package fabric

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
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
	source := RemoteHost
	if frontend.Is6() {
		source = RemoteHost6
	}
	route := &netlink.Route{Dst: hostNet(frontend), Src: source.AsSlice(), Scope: netlink.SCOPE_LINK}
	for _, p := range backends {
		hop := &netlink.NexthopInfo{LinkIndex: p.index}
		if frontend.Is6() { // the kernel wants a gateway where there are several
			hop.Gw = linkLocal(p.nic.MAC).AsSlice()
		}
		route.MultiPath = append(route.MultiPath, hop)
		if err := w.neighbor(p, frontend); err != nil {
			return err
		}
	}
	if err := w.fabric.RouteAdd(route); err != nil {
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
