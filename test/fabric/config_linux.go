package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// VirtualMAC is the source of every frame that the fabric delivers and its
// answer to every ARP request, as on Azure.
const VirtualMAC = "12:34:56:78:9a:bc"

// Addresses that answer in every fabric.
var (
	// HostAgent serves the host agent on TCP 80, DNS on UDP and TCP 53, and
	// listens on TCP 32526. It is Azure's "wire server".
	HostAgent = netip.MustParseAddr("168.63.129.16")
	// RemoteHost is a host outside of the VMs' subnets. It is the source of
	// what is sent from the fabric's own namespace.
	RemoteHost = netip.MustParseAddr("10.241.0.1")
	// RemoteHost6 is the same for IPv6; it exists in a dual-stack fabric.
	RemoteHost6 = netip.MustParseAddr("fd01::1")
	// GatewayLinkLocal is the IPv6 default router of a dual-stack fabric.
	GatewayLinkLocal = netip.MustParseAddr("fe80::1234:5678:9abc")
	// TestRecord is the A record of every name under "test.".
	TestRecord = netip.MustParseAddr("192.0.2.53")
)

// Config describes a fabric.
type Config struct {
	VMs           []VMConfig
	LoadBalancers []LoadBalancer
}

// VMConfig describes a virtual machine.
type VMConfig struct {
	Name string
	// NICs of which exactly one is primary; it carries the default route.
	NICs []NICConfig
}

// NICConfig describes a NIC and the addresses that it owns. The IPv6 fields
// are all zero, or Prefix6 and Address6 are set; one such NIC makes the whole
// fabric dual-stack. A VM without IPv6 addresses has IPv6 switched off.
type NICConfig struct {
	Name    string // of the interface in the VM
	MAC     net.HardwareAddr
	Primary bool
	MTU     int // 0 means 1500
	// Veth makes the NIC a veth, as on a node that is a container itself. By
	// default it is a macvlan: network plugins take a veth for a pod's, but
	// nothing can be stacked on a macvlan in passthru mode.
	Veth bool

	Prefix  netip.Prefix // the first host address is the gateway
	Address netip.Addr   // primary: the VM's own
	Pods    []netip.Addr // secondary: free for pods
	// PodPrefix is the subnet of Pods if that is another one, and PodPrefix6 that of Pods6.
	PodPrefix, PodPrefix6 netip.Prefix

	Prefix6  netip.Prefix
	Address6 netip.Addr
	Pods6    []netip.Addr
}

// podsPerBlock keeps pods of one VM recognisable: they share a third byte as
// long as there are no more than this.
const podsPerBlock = 250

// Default returns a configuration of VMs vm1, vm2 … in 10.240.0.0/16. VM i has
// eth0 with MAC 00:0d:3a:00:00:i, the primary address 10.240.0.(3+i) and the
// pod addresses 10.240.i.1, 10.240.i.2 … When podsPerVM exceeds 250, each VM
// has as many /24 blocks as it needs. [New] reports when the /16 is too small.
func Default(vms, podsPerVM int) Config {
	var cfg Config
	blocks := max(1, (podsPerVM+podsPerBlock-1)/podsPerBlock)
	for i := 1; i <= vms; i++ {
		nic := NICConfig{
			Name:    "eth0",
			MAC:     net.HardwareAddr{0x00, 0x0d, 0x3a, 0x00, byte(i >> 8), byte(i)},
			Primary: true,
			Prefix:  netip.MustParsePrefix("10.240.0.0/16"),
			Address: ipv4At(3 + i),
		}
		first := 1 + (i-1)*blocks
		for p := range podsPerVM {
			nic.Pods = append(nic.Pods, ipv4At((first+p/podsPerBlock)<<8+1+p%podsPerBlock))
		}
		cfg.VMs = append(cfg.VMs, VMConfig{Name: fmt.Sprintf("vm%d", i), NICs: []NICConfig{nic}})
	}
	return cfg
}

// DefaultDual returns [Default] with IPv6 beside IPv4: the prefix fd00::/64,
// the primary address fd00::(3+i) and the pod addresses fd00::i:1, fd00::i:2 …
func DefaultDual(vms, podsPerVM int) Config {
	cfg := Default(vms, podsPerVM)
	for i := range cfg.VMs {
		nic := &cfg.VMs[i].NICs[0]
		nic.Prefix6 = netip.MustParsePrefix("fd00::/64")
		nic.Address6 = ipv6At(0, 4+i)
		for p := range nic.Pods {
			nic.Pods6 = append(nic.Pods6, ipv6At(1+i, 1+p))
		}
	}
	return cfg
}

// ipv4At returns the address at an offset in 10.240.0.0/16, or beyond it.
func ipv4At(offset int) netip.Addr {
	n := 10<<24 | 240<<16 + offset
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// ipv6At returns fd00::group:number.
func ipv6At(group, number int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd,
		12: byte(group >> 8), 13: byte(group), 14: byte(number >> 8), 15: byte(number)})
}

// Addresses returns every address that the NIC owns, primary ones first in
// each family.
func (n NICConfig) Addresses() []netip.Addr {
	all := append([]netip.Addr{n.Address}, n.Pods...)
	if n.dual() {
		all = append(append(all, n.Address6), n.Pods6...)
	}
	return all
}

// prefixOf is the subnet that an address of the NIC has to be of.
func (n NICConfig) prefixOf(a netip.Addr) netip.Prefix {
	switch {
	case a.Is4() && a != n.Address && n.PodPrefix.IsValid():
		return n.PodPrefix
	case a.Is4():
		return n.Prefix
	case a != n.Address6 && n.PodPrefix6.IsValid():
		return n.PodPrefix6
	}
	return n.Prefix6
}

// Gateway returns the first host address of the NIC's IPv4 prefix.
func (n NICConfig) Gateway() netip.Addr { return firstHost(n.Prefix) }

func firstHost(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

func (n NICConfig) dual() bool { return n.Prefix6.IsValid() }

func (n NICConfig) mtu() int {
	if n.MTU == 0 {
		return 1500
	}
	return n.MTU
}

// PrimaryNIC returns the NIC with the default route.
func (v VMConfig) PrimaryNIC() NICConfig {
	for _, n := range v.NICs {
		if n.Primary {
			return n
		}
	}
	return NICConfig{}
}

func (v VMConfig) dual() bool {
	for _, n := range v.NICs {
		if n.dual() {
			return true
		}
	}
	return false
}

func (c Config) dual() bool {
	for _, v := range c.VMs {
		if v.dual() {
			return true
		}
	}
	return false
}

// validate reports every mistake that would otherwise show as a fabric that
// behaves in ways no real one can.
func (c Config) validate() error {
	var errs []error
	seen := map[string]string{} // a name, MAC or address → its owner
	claim := func(what, owner string) {
		if other, taken := seen[what]; taken {
			errs = append(errs, fmt.Errorf("%s: %s is taken by %s", owner, what, other))
		}
		seen[what] = owner
	}
	for _, a := range []netip.Addr{HostAgent, RemoteHost, RemoteHost6, GatewayLinkLocal} {
		claim(a.String(), "the fabric")
	}
	for _, lb := range c.LoadBalancers {
		claim(lb.Frontend.String(), "a load balancer")
		errs = append(errs, lb.validate(c))
	}
	for _, v := range c.VMs {
		claim("name "+v.Name, "VM "+v.Name)
		primaries := 0
		for _, n := range v.NICs {
			owner := v.Name + "/" + n.Name
			claim("interface "+owner, owner)
			claim(n.MAC.String(), owner)
			if n.Primary {
				primaries++
			}
			errs = append(errs, n.validate(owner))
			for _, a := range n.Addresses() {
				claim(a.String(), owner)
			}
		}
		if primaries != 1 {
			errs = append(errs, fmt.Errorf("%s: %d primary NICs, want 1", v.Name, primaries))
		}
	}
	return errors.Join(errs...)
}

func (n NICConfig) validate(owner string) error {
	var errs []error
	fail := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(owner+": "+format, args...))
	}
	if n.Name == "" || n.Name == "lo" || len(n.Name) > 15 {
		fail("%q is no interface name", n.Name)
	}
	if len(n.MAC) != 6 || n.MAC[0]&1 != 0 || n.MAC.String() == VirtualMAC {
		fail("%q is no MAC of a NIC", n.MAC)
	}
	if !n.Prefix.IsValid() || !n.Prefix.Addr().Is4() {
		fail("%v is no IPv4 prefix", n.Prefix)
		return errors.Join(errs...)
	}
	if !n.dual() && (n.Address6.IsValid() || len(n.Pods6) > 0) || n.dual() && !n.Prefix6.Addr().Is6() {
		fail("%v is no IPv6 prefix", n.Prefix6)
		return errors.Join(errs...)
	}
	for _, a := range n.Addresses() {
		p := n.prefixOf(a)
		if !p.Contains(a) || a == p.Masked().Addr() || a == firstHost(p) {
			fail("%v is no host address of %v", a, p)
		}
	}
	return errors.Join(errs...)
}
