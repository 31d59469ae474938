package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// port is where a NIC is plugged into the fabric.
type port struct {
	number int    // 1 for the first
	name   string // of the fabric's interface
	index  int    // of the fabric's interface
	nic    NICConfig
}

func (p *port) counter(kind string) string { return p.name + "_" + kind }

// firstLowerIndex keeps the indexes of the lower devices away from those of the
// VMs' interfaces. A NIC shows its lower device's as its parent, and must not
// seem to be stacked on another interface of the VM, or on itself: that would
// even make the kernel's link watch leisurely.
const firstLowerIndex = 1 << 20

// wiring makes and configures links. The handles are bound to their
// namespaces, one netlink socket each.
type wiring struct {
	fabric, lower     *netlink.Handle
	fabricNS, lowerNS *Namespace
}

// plug makes a NIC in the VM's namespace and its port in the fabric.
func (w *wiring) plug(p *port, vm *Namespace) error {
	virtual, err := net.ParseMAC(VirtualMAC)
	if err != nil {
		return err
	}
	if p.nic.Veth {
		return w.plugVeth(p, vm, virtual)
	}
	lower := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{
			Name:         "v" + p.name[1:],
			Index:        firstLowerIndex + p.number,
			HardwareAddr: p.nic.MAC,
			MTU:          p.nic.mtu(),
		},
		PeerName:         p.name,
		PeerHardwareAddr: virtual,
		PeerMTU:          uint32(p.nic.mtu()),
		PeerNamespace:    netlink.NsFd(w.fabricNS.fd),
	}
	if err := w.lower.LinkAdd(lower); err != nil {
		return fmt.Errorf("create veth %s: %w", lower.Name, err)
	}
	upper, err := w.fabric.LinkByName(p.name)
	if err != nil {
		return fmt.Errorf("find %s: %w", p.name, err)
	}
	p.index = upper.Attrs().Index
	// In passthru mode the macvlan inherits MAC and MTU, takes all frames of
	// the lower device and lets any source MAC pass.
	macvlan := &netlink.Macvlan{
		LinkAttrs: netlink.LinkAttrs{Name: p.nic.Name, ParentIndex: lower.Index, Namespace: netlink.NsFd(vm.fd)},
		Mode:      netlink.MACVLAN_MODE_PASSTHRU,
	}
	if err := w.lower.LinkAdd(macvlan); err != nil {
		return fmt.Errorf("create macvlan %s over %s: %w", p.nic.Name, lower.Name, err)
	}
	if err := w.lower.LinkSetUp(lower); err != nil {
		return fmt.Errorf("set %s up: %w", lower.Name, err)
	}
	if err := w.fabric.LinkSetUp(upper); err != nil {
		return fmt.Errorf("set %s up: %w", p.name, err)
	}
	return errors.Join(waitUp(w.fabric.LinkByName, p.name), waitUp(w.lower.LinkByName, lower.Name))
}

// plugVeth makes a NIC that is the other end of the port itself.
func (w *wiring) plugVeth(p *port, vm *Namespace, virtual net.HardwareAddr) error {
	upper := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: p.name, HardwareAddr: virtual, MTU: p.nic.mtu()},
		PeerName:         p.nic.Name,
		PeerHardwareAddr: p.nic.MAC,
		PeerMTU:          uint32(p.nic.mtu()),
		PeerNamespace:    netlink.NsFd(vm.fd),
	}
	if err := w.fabric.LinkAdd(upper); err != nil {
		return fmt.Errorf("create veth %s: %w", p.name, err)
	}
	found, err := w.fabric.LinkByName(p.name)
	if err != nil {
		return fmt.Errorf("find %s: %w", p.name, err)
	}
	p.index = found.Attrs().Index
	if err := w.fabric.LinkSetUp(found); err != nil {
		return fmt.Errorf("set %s up: %w", p.name, err)
	}
	return nil
}

// deliver routes the NIC's addresses to its port. The routes' source makes
// the remote host the sender of what the fabric itself sends.
func (w *wiring) deliver(p *port) error {
	for _, a := range p.nic.Addresses() {
		source := RemoteHost
		if a.Is6() {
			source = RemoteHost6
		}
		route := &netlink.Route{LinkIndex: p.index, Dst: hostNet(a), Src: source.AsSlice(), Scope: netlink.SCOPE_LINK}
		if err := w.fabric.RouteAdd(route); err != nil {
			return fmt.Errorf("add route to %v: %w", a, err)
		}
		if err := w.neighbor(p, a); err != nil {
			return err
		}
	}
	if !p.nic.dual() {
		return nil
	}
	if err := w.fabricNS.Do(func() error { return setSysctls(portSysctls(p.name)) }); err != nil {
		return err
	}
	if err := w.neighbor(p, linkLocal(p.nic.MAC)); err != nil {
		return err
	}
	gateway := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(GatewayLinkLocal, 64)), Flags: unix.IFA_F_NODAD}
	if err := w.fabric.AddrAdd(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: p.index}}, gateway); err != nil {
		return fmt.Errorf("add %v to %s: %w", GatewayLinkLocal, p.name, err)
	}
	return waitLocal(w.fabric.RouteGetWithOptions, p.index, GatewayLinkLocal)
}

func (w *wiring) neighbor(p *port, a netip.Addr) error {
	n := &netlink.Neigh{LinkIndex: p.index, IP: a.AsSlice(), HardwareAddr: p.nic.MAC, State: netlink.NUD_PERMANENT}
	if err := w.fabric.NeighAdd(n); err != nil {
		return fmt.Errorf("add neighbour %v: %w", a, err)
	}
	return nil
}

// proxy answers neighbour solicitations for these addresses on the port, like
// the ARP rule: all but the VM's own primary.
func (w *wiring) proxy(p *port, addrs []netip.Addr) error {
	if !p.nic.dual() {
		return nil
	}
	for _, a := range addrs {
		if !a.Is6() || a == p.nic.Address6 || a.IsLinkLocalUnicast() {
			continue
		}
		n := &netlink.Neigh{LinkIndex: p.index, IP: a.AsSlice(), Family: unix.AF_INET6, Flags: netlink.NTF_PROXY}
		if err := w.fabric.NeighAdd(n); err != nil {
			return fmt.Errorf("add neighbour proxy %v on %s: %w", a, p.name, err)
		}
	}
	return nil
}

// local gives the fabric addresses of its own.
func (w *wiring) local(addrs []netip.Addr) error {
	lo, err := w.fabric.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	for _, a := range addrs {
		if a.IsLinkLocalUnicast() {
			continue
		}
		if err := w.fabric.AddrAdd(lo, &netlink.Addr{IPNet: hostNet(a), Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("add %v to lo: %w", a, err)
		}
		if a.Is6() {
			if err := waitLocal(w.fabric.RouteGetWithOptions, lo.Attrs().Index, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// configureNIC gives the VM's interface its own addresses and routes, as the
// guest's DHCP client and router discovery would. It runs in the VM.
func configureNIC(nic NICConfig) error {
	link, err := netlink.LinkByName(nic.Name)
	if err != nil {
		return fmt.Errorf("find %s: %w", nic.Name, err)
	}
	if nic.dual() {
		// Nobody else can have this MAC here, and a link-local address
		// that is tentative for a second would make tests wait.
		if err := setSysctls([]sysctl{{"net/ipv6/conf/" + nic.Name + "/accept_dad", "0"}}); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", nic.Name, err)
	}
	if err := waitUp(netlink.LinkByName, nic.Name); err != nil {
		return err
	}
	addrs := []netlink.Addr{{IPNet: ipNet(netip.PrefixFrom(nic.Address, nic.Prefix.Bits()))}}
	routes := []netlink.Route{{LinkIndex: link.Attrs().Index, Gw: nic.Gateway().AsSlice()}}
	if nic.dual() {
		addrs = append(addrs, netlink.Addr{IPNet: ipNet(netip.PrefixFrom(nic.Address6, nic.Prefix6.Bits())), Flags: unix.IFA_F_NODAD})
		routes = append(routes, netlink.Route{LinkIndex: link.Attrs().Index, Gw: GatewayLinkLocal.AsSlice()})
	}
	for _, a := range addrs {
		if err := netlink.AddrAdd(link, &a); err != nil {
			return fmt.Errorf("add %v to %s: %w", a.IPNet, nic.Name, err)
		}
	}
	for _, r := range routes {
		if !nic.Primary {
			break
		}
		if err := netlink.RouteAdd(&r); err != nil {
			return fmt.Errorf("add default route via %v: %w", r.Gw, err)
		}
	}
	if !nic.dual() {
		return nil
	}
	get, index := netlink.RouteGetWithOptions, link.Attrs().Index
	return errors.Join(waitLocal(get, index, nic.Address6), waitLocal(get, index, linkLocal(nic.MAC)))
}

// linkLocal returns the address that a kernel gives a NIC (RFC 4291, A).
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

func hostNet(a netip.Addr) *net.IPNet { return ipNet(netip.PrefixFrom(a, a.BitLen())) }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

type sysctl struct{ name, value string }

// setSysctls sets them, in order, in the namespace of the calling thread:
// /proc/sys/net is the opener's.
func setSysctls(list []sysctl) error {
	for _, s := range list {
		if err := os.WriteFile("/proc/sys/"+s.name, []byte(s.value), 0); err != nil {
			return fmt.Errorf("set sysctl: %w", err)
		}
	}
	return nil
}
