package fabric

import (
	"net/http"
	"net/netip"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
)

var noIPv6 = []sysctl{
	{"net/ipv6/conf/all/disable_ipv6", "1"},
	{"net/ipv6/conf/default/disable_ipv6", "1"},
}

// nodeSysctls are what a Linux node on Azure starts with, said explicitly
// because a new namespace inherits IPv4 settings from the machine. Forwarding
// is the plugin's job; loose reverse-path filtering is systemd's default.
var nodeSysctls = []sysctl{
	{"net/ipv4/ip_forward", "0"},
	{"net/ipv4/conf/all/rp_filter", "2"},
	{"net/ipv4/conf/default/rp_filter", "2"},
	{"net/ipv4/ping_group_range", "0 2147483647"},
}

// routerSysctls make a router that nothing surprises: it believes every
// source, since the rules have checked it, and tells nobody a shorter way.
func routerSysctls(dual bool) []sysctl {
	list := []sysctl{
		{"net/ipv4/ip_forward", "1"}, // first: it resets others
		{"net/ipv4/icmp_ratelimit", "0"},
		{"net/ipv4/fib_multipath_hash_policy", "1"}, // by ports: a connection keeps its backend
	}
	for _, scope := range []string{"all", "default"} {
		conf := "net/ipv4/conf/" + scope + "/"
		list = append(list, sysctl{conf + "rp_filter", "0"}, sysctl{conf + "send_redirects", "0"})
	}
	if !dual {
		return append(list, noIPv6...)
	}
	return append(list,
		sysctl{"net/ipv6/fib_multipath_hash_policy", "1"},
		sysctl{"net/ipv6/conf/all/forwarding", "1"},
		sysctl{"net/ipv6/conf/default/proxy_ndp", "1"},
		sysctl{"net/ipv6/conf/all/proxy_ndp", "1"}, // what asks one address whether it is there is not routed, but answered
		sysctl{"net/ipv6/conf/default/accept_dad", "0"},
		// No link-local address but the gateway's.
		sysctl{"net/ipv6/conf/default/addr_gen_mode", "1"},
	)
}

// portSysctls are those of a router's interface that have no default to set
// in advance: proxied answers come at once, and neighbours who asked are not
// probed later.
func portSysctls(name string) []sysctl {
	return []sysctl{
		{"net/ipv6/neigh/" + name + "/proxy_delay", "0"},
		{"net/ipv6/neigh/" + name + "/ucast_solicit", "0"},
	}
}

// agentInterfaces is what the host agent knows of a VM.
func agentInterfaces(cfg VMConfig) []ipamtest.Interface {
	var list []ipamtest.Interface
	for _, n := range cfg.NICs {
		i := ipamtest.Interface{MAC: n.MAC, Primary: n.Primary}
		subnet := func(prefix, pods netip.Prefix, primary netip.Addr, secondary []netip.Addr) {
			own := ipamtest.Subnet{Prefix: prefix, Primary: primary, Secondary: secondary}
			if pods.IsValid() {
				own.Secondary = nil
				i.Subnets = append(i.Subnets, ipamtest.Subnet{Prefix: pods, Secondary: secondary})
			}
			i.Subnets = append(i.Subnets, own)
		}
		subnet(n.Prefix, n.PodPrefix, n.Address, n.Pods)
		if n.dual() {
			subnet(n.Prefix6, n.PodPrefix6, n.Address6, n.Pods6)
		}
		list = append(list, i)
	}
	return list
}

// agentOf returns the host agent for a client's address, or nil.
func (f *Fabric) agentOf(client netip.Addr) http.Handler { return f.agents[client.Unmap()] }
