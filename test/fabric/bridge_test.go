//go:build linux

package fabric

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// These tests do by hand what the plugin does in a VM, to show that the fabric
// and its NICs stand it: eth0 becomes a port of a bridge, and the frames of
// pods with MACs of their own pass through it, rewritten.

// podMAC is the containernetworking convention.
func podMAC(a netip.Addr) net.HardwareAddr {
	return append(net.HardwareAddr{0x0a, 0x58}, a.AsSlice()...)
}

// enslave moves the VM's addresses to a bridge and eth0 into it. It runs in
// the VM's namespace.
func enslave(nic NICConfig) error {
	eth0, err := netlink.LinkByName(nic.Name)
	if err != nil {
		return err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "azure0", HardwareAddr: nic.MAC}}
	address := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(nic.Address, nic.Prefix.Bits()))}
	steps := []func() error{
		func() error { return netlink.LinkAdd(bridge) },
		func() error { return netlink.LinkSetUp(bridge) },
		func() error { return netlink.AddrDel(eth0, address) },
		func() error { return netlink.AddrAdd(bridge, address) },
		func() error { return netlink.LinkSetMaster(eth0, bridge) },
		func() error {
			return netlink.RouteAdd(&netlink.Route{LinkIndex: bridge.Index, Gw: nic.Gateway().AsSlice()})
		},
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// rewrite installs the rules of docs/network.md that translate between the
// NIC's MAC and the pods'. It runs in the VM's namespace.
func rewrite(nic NICConfig) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Name: "test", Family: nftables.TableFamilyBridge})
	pods := &nftables.Set{Table: table, ID: 1, Name: "pods4", IsMap: true, KeyType: nftables.TypeIPAddr, DataType: nftables.TypeEtherAddr}
	var elements []nftables.SetElement
	for _, a := range nic.Pods {
		elements = append(elements, nftables.SetElement{Key: a.AsSlice(), Val: podMAC(a)})
	}
	if err := conn.AddSet(pods, elements); err != nil {
		return err
	}
	chain := func(name string, hook *nftables.ChainHook, priority nftables.ChainPriority) *nftables.Chain {
		return conn.AddChain(&nftables.Chain{Table: table, Name: name, Type: nftables.ChainTypeFilter,
			Hooknum: hook, Priority: nftables.ChainPriorityRef(priority)})
	}
	add := func(c *nftables.Chain, parts ...match) {
		conn.AddRule(&nftables.Rule{Table: table, Chain: c, Exprs: all(parts...)})
	}
	device := func(key expr.MetaKey) match {
		name := make([]byte, unix.IFNAMSIZ)
		copy(name, nic.Name)
		return match{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name}}
	}
	toPod := func(address field) match {
		return match{address.load(1),
			&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: pods.Name, SetID: pods.ID},
			etherDst.store(1), &expr.Verdict{Kind: expr.VerdictAccept}}
	}
	pre := chain("pre", nftables.ChainHookPrerouting, -300)
	add(pre, device(expr.MetaKeyIIFNAME), isIPv4, toPod(ipv4Dst))
	add(pre, isARP, toPod(arpTargetIP))
	post := chain("post", nftables.ChainHookPostrouting, 300)
	add(post, device(expr.MetaKeyOIFNAME), etherSrc.write(nic.MAC...))
	add(post, device(expr.MetaKeyOIFNAME), isARP, arpSenderMAC.write(nic.MAC...))
	return conn.Flush()
}

// plugPod gives a new pod its interface, by way of the bridge.
func plugPod(t *testing.T, vm *VM, address netip.Addr) *Namespace {
	t.Helper()
	nic := vm.Config.PrimaryNIC()
	pod, err := vm.NewPod(address.String())
	requireNoError(t, err)
	hostEnd := fmt.Sprintf("azv%x", address.AsSlice())
	requireNoError(t, vm.Ns.Do(func() error {
		bridge, err := netlink.LinkByName("azure0")
		if err != nil {
			return err
		}
		veth := &netlink.Veth{
			LinkAttrs:        netlink.LinkAttrs{Name: hostEnd, MasterIndex: bridge.Attrs().Index},
			PeerName:         "eth0",
			PeerHardwareAddr: podMAC(address),
			PeerNamespace:    netlink.NsFd(pod.fd),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		// The bridge must not take the MAC of its lowest port.
		return errors.Join(netlink.LinkSetUp(veth), netlink.LinkSetHardwareAddr(bridge, nic.MAC))
	}))
	requireNoError(t, pod.Do(func() error {
		nic.Name, nic.Address, nic.Primary = "eth0", address, true
		nic.Prefix6 = netip.Prefix{}
		return configureNIC(nic)
	}))
	requireNoError(t, vm.Ns.Do(func() error { return waitUp(netlink.LinkByName, hostEnd) }))
	return pod
}

// startBridged returns two VMs whose pods are all connected by bridges.
func startBridged(t *testing.T) (f *Fabric, pods [][]*Namespace) {
	t.Helper()
	f = Start(t, Default(2, 2))
	for _, vm := range f.VMs {
		nic := vm.Config.PrimaryNIC()
		requireNoError(t, vm.Ns.Do(func() error { return errors.Join(enslave(nic), rewrite(nic)) }))
		var own []*Namespace
		for _, a := range nic.Pods {
			own = append(own, plugPod(t, vm, a))
		}
		pods = append(pods, own)
	}
	return f, pods
}

func TestNICWorksAsBridgePort(t *testing.T) {
	t.Parallel()
	f, pods := startBridged(t)
	nic1, nic2 := f.VMs[0].Config.PrimaryNIC(), f.VMs[1].Config.PrimaryNIC()
	pod := pods[0][0]
	requirePing(t, pod, gateway, PingOptions{}, 64)
	requirePing(t, pod, RemoteHost, PingOptions{}, 64)
	requirePing(t, pod, nic1.Pods[1], PingOptions{}, 64)
	requirePing(t, pod, nic2.Pods[1], PingOptions{}, 63)
	requirePing(t, pod, nic2.Address, PingOptions{}, 63)
	requirePing(t, f.VMs[0].Ns, nic1.Pods[0], PingOptions{}, 64)
	requirePing(t, f.VMs[0].Ns, nic2.Pods[0], PingOptions{}, 63)
	requirePing(t, f.VMs[0].Ns, nic2.Address, PingOptions{}, 63)
	requirePing(t, f.VMs[0].Ns, gateway, PingOptions{}, 64)
	requirePing(t, f.Ns(), nic1.Pods[0], PingOptions{}, 64)
	if status, _ := ask(t, pod); status != 200 {
		t.Errorf("host agent answered the pod with status %d", status)
	}
	got, err := f.Counters()
	requireNoError(t, err)
	if got.Violations() != (Counters{}) {
		t.Errorf("fabric counted %v", got)
	}
}

// TestHairpinThroughBridgePort makes two pods of one VM believe that the other
// has the virtual MAC, as tunnel mode does.
func TestHairpinThroughBridgePort(t *testing.T) {
	t.Parallel()
	f, pods := startBridged(t)
	nic := f.VMs[0].Config.PrimaryNIC()
	virtual, _ := net.ParseMAC(VirtualMAC)
	for i, pod := range pods[0] {
		requireNoError(t, pod.Do(func() error {
			eth0, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			return netlink.NeighSet(&netlink.Neigh{LinkIndex: eth0.Attrs().Index, State: netlink.NUD_PERMANENT,
				IP: nic.Pods[1-i].AsSlice(), HardwareAddr: virtual})
		}))
	}
	// The bridge must know where the virtual MAC is before it can learn
	// what is behind it.
	requirePing(t, pods[0][0], gateway, PingOptions{}, 64)
	requirePing(t, pods[0][0], nic.Pods[1], PingOptions{}, 63)
	requirePing(t, pods[0][1], nic.Pods[0], PingOptions{}, 63)
}

func TestNICCountsForeignMACsThatABridgeLetsOut(t *testing.T) {
	t.Parallel()
	f, pods := startBridged(t)
	nic := f.VMs[0].Config.PrimaryNIC()
	requireNoError(t, f.VMs[0].Ns.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		conn.DelTable(&nftables.Table{Name: "test", Family: nftables.TableFamilyBridge})
		return conn.Flush()
	}))
	before, err := f.Counters()
	requireNoError(t, err)
	frames := openTestFrames(t, pods[0][0], "eth0")
	virtual, _ := net.ParseMAC(VirtualMAC)
	requireNoError(t, frames.Send(echoRequest(virtual, podMAC(nic.Pods[0]), nic.Pods[0], gateway)))
	for {
		now, err := f.Counters()
		requireNoError(t, err)
		// More than one: the pod's own IPv6 chatter is foreign, too.
		if now.Sub(before).ForeignSource > 0 {
			return
		}
	}
}

// TestTCPBetweenPodsOfTwoVMs sends enough to use segmentation and checksum
// offloads on the way.
func TestTCPBetweenPodsOfTwoVMs(t *testing.T) {
	t.Parallel()
	f, pods := startBridged(t)
	server := netip.AddrPortFrom(f.VMs[1].Config.PrimaryNIC().Pods[0], 7000).String()
	l, err := pods[1][0].Listen("tcp", server)
	requireNoError(t, err)
	defer l.Close()
	received := make(chan [sha256.Size]byte, 1)
	go func() {
		defer close(received)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		h := sha256.New()
		if _, err := io.Copy(h, c); err == nil {
			received <- [sha256.Size]byte(h.Sum(nil))
		}
	}()
	c, err := pods[0][0].Dial(t.Context(), "tcp", server)
	requireNoError(t, err)
	data := make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	_, err = c.Write(data)
	requireNoError(t, errors.Join(err, c.Close()))
	if got := <-received; got != sha256.Sum256(data) {
		t.Error("arrived damaged")
	}
	got, err := f.Counters()
	requireNoError(t, err)
	if got.Violations() != (Counters{}) {
		t.Errorf("fabric counted %v", got)
	}
}
