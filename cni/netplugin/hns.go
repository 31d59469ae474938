package netplugin

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/hns"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// onHNS says whether Windows' Host Networking Service makes the networks.
const onHNS = runtime.GOOS == "windows"

// serveHNS tells the data plane which command it serves. A container that shares its sandbox's endpoint has no
// attachment of its own: the owner is the sandbox.
func (c *command) serveHNS() {
	if plane, ok := c.manager.Dataplane.(*hns.Dataplane); ok {
		plane.Serve(c.Netns, c.conf.HNSTimeout())
	}
	if sandbox, shared := hns.SandboxOf(c.Netns); shared {
		c.owner.ContainerID = sandbox
	}
}

// configureHNS brings what only HNS is told into network and endpoint.
// Errors: Codes 2 and 7.
func (c *command) configureHNS(e *network.Endpoint) error {
	if err := c.refuseOnHNS(); err != nil {
		return err
	}
	forEndpoint, forNetwork, err := c.conf.HNSPolicies()
	if err != nil {
		return err
	}
	dns, err := c.conf.HNSDNS(e.PodNamespace)
	if err != nil {
		return err
	}
	ports, err := c.conf.Ports()
	if err != nil {
		return err
	}
	loopback, err := c.conf.LoopbackDSR()
	if err != nil {
		return err
	}
	if loopback {
		forEndpoint = append(forEndpoint, hns.LoopbackDSR)
	}
	c.config.HNS = &network.HNSConfig{Adapter: c.conf.AdapterName,
		DNSServers: c.conf.DNS.Nameservers, Policies: forNetwork}
	e.HNS = &network.HNSEndpoint{DNS: podDNS(dns), Policies: forEndpoint}
	for _, p := range ports {
		e.HNS.Ports = append(e.HNS.Ports, network.PortMapping(p))
	}
	return nil
}

// refuseOnHNS names a setting that somebody counts on and that HNS has nothing for. What would have no effect because
// nothing stands in the pods' way (acceptForward), or because nothing is there to be switched off (disableAntiSpoof),
// is fine.
// Error: code 2.
func (c *command) refuseOnHNS() error {
	for _, f := range []struct {
		key   string
		value any
		used  bool
	}{
		{"mode", c.conf.Mode, c.config.Mode.Routed()},
		{"ipsToRouteViaHost", c.conf.IPsToRouteViaHost, len(c.conf.IPsToRouteViaHost) > 0},
		{"mtu", c.conf.MTU, c.conf.MTU != 0},
		{"runtimeConfig.mac", c.conf.RuntimeConfig.MAC, c.conf.RuntimeConfig.MAC != ""},
	} {
		if f.used {
			return fmt.Errorf("%w on Windows: %s=%v", network.ErrUnsupported, f.key, f.value)
		}
	}
	return nil
}

// givenOnHNS is what HNS needs of the IPAM plugin's answer.
func (c *command) givenOnHNS(given *types100.Result, e *network.Endpoint) {
	for _, ip := range given.IPs {
		if gw, ok := netip.AddrFromSlice(ip.Gateway); ok {
			c.config.HNS.Gateways = append(c.config.HNS.Gateways, gw.Unmap())
		}
	}
	if own := e.HNS.DNS; len(own.Servers)+len(own.Search)+len(own.Options) == 0 && own.Domain == "" {
		e.HNS.DNS = podDNS(given.DNS)
	}
}

// shareOnHNS answers the ADDs of Docker's kubelet for what is there: of the sandbox, repeated, and of the other
// containers of its pod. No address is asked for. Without a result there is nothing yet.
// Error: network.ErrNetNS.
func (c *command) shareOnHNS(ctx context.Context) (types.Result, error) {
	if hns.IsNamespace(c.Netns) {
		return nil, nil // containerd's: an attachment of its own
	}
	e, err := c.manager.Share(ctx, c.owner, c.Netns, c.ContainerID)
	if err != nil {
		return nil, err
	}
	sandbox, shared := hns.SandboxOf(c.Netns)
	switch {
	case e == nil && shared:
		return nil, fmt.Errorf("%w: sandbox %s has no endpoint %s in network %s", network.ErrNetNS,
			sandbox, c.IfName, c.conf.Name)
	case e == nil:
		return nil, nil
	}
	c.Note("shared", c.owner.ContainerID)
	c.Note("addresses", e.Addresses)
	e.NetNS = c.Netns
	return resultOnHNS(e), nil
}

// unshareOnHNS is the DEL of a container that shares its sandbox's endpoint. done is false for any other.
func (c *command) unshareOnHNS(ctx context.Context) (done bool, err error) {
	if _, shared := hns.SandboxOf(c.Netns); !shared {
		return false, nil
	}
	return true, c.manager.Unshare(ctx, c.owner, c.Netns, c.ContainerID)
}

// resultOnHNS has one interface: the host shows no other end of it.
func resultOnHNS(e *network.Endpoint) *types100.Result {
	dns := e.HNS.DNS
	r := &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: []*types100.Interface{{Name: e.IfName, Mac: e.MAC, Sandbox: e.NetNS}},
		DNS:        types.DNS{Domain: dns.Domain, Nameservers: dns.Servers, Search: dns.Search, Options: dns.Options},
	}
	addAddresses(r, e, func(int) net.IP { return nil })
	return r
}

func podDNS(d types.DNS) network.PodDNS {
	return network.PodDNS{Domain: d.Domain, Servers: d.Nameservers, Search: d.Search, Options: d.Options}
}
