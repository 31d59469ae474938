//go:build linux

package fabric

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) != "" {
		beVictim()
		return
	}
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "FAIL: the tests of package fabric make network namespaces and need root")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

var gateway = netip.MustParseAddr("10.240.0.1")

// requirePing pings and compares the TTL of the reply.
func requirePing(t *testing.T, n *Namespace, dst netip.Addr, o PingOptions, ttl int) {
	t.Helper()
	reply, err := n.Ping(t.Context(), dst, o)
	if err != nil {
		t.Error(err)
		return
	}
	if reply.TTL != ttl || reply.From != dst.WithZone("") {
		t.Errorf("ping %v from %s: got ttl %d from %v, want ttl %d", dst, n.Name(), reply.TTL, reply.From, ttl)
	}
}

// requireCounters compares the growth since an earlier reading. A frame sent
// by hand may still be on its way, hence the second look: the time limit only
// says when a failure is one.
func requireCounters(t *testing.T, f *Fabric, since, want Counters) {
	t.Helper()
	for end := time.Now().Add(PingTimeout); ; {
		got, err := f.Counters()
		if err != nil {
			t.Fatal(err)
		}
		got = got.Sub(since)
		if got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("fabric counted %v, want %v", got, want)
		}
	}
}

func requireNoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openTestFrames(t *testing.T, n *Namespace, ifName string) *Frames {
	t.Helper()
	frames, err := n.Frames(ifName)
	requireNoError(t, err)
	t.Cleanup(func() { _ = frames.Close() })
	return frames
}

// receive returns the next frame that accept likes.
func receive(t *testing.T, frames *Frames, accept func([]byte) bool) []byte {
	t.Helper()
	for {
		frame, err := frames.Receive(t.Context())
		requireNoError(t, err)
		if accept(frame) {
			return frame
		}
	}
}

func TestVMsReachGatewayRemoteHostAndEachOther(t *testing.T) {
	t.Parallel()
	f := Start(t, Default(2, 3))
	vm1, vm2 := f.VM("vm1"), f.VM("vm2")
	address1, address2 := vm1.Config.PrimaryNIC().Address, vm2.Config.PrimaryNIC().Address
	requirePing(t, vm1.Ns, gateway, PingOptions{}, 64)
	requirePing(t, vm1.Ns, RemoteHost, PingOptions{}, 64)
	requirePing(t, vm1.Ns, HostAgent, PingOptions{}, 64)
	requirePing(t, vm1.Ns, address2, PingOptions{}, 63)
	requirePing(t, vm2.Ns, address1, PingOptions{Size: 1472, DontFragment: true}, 63)
	requirePing(t, vm2.Ns, address1, PingOptions{Size: 4000}, 63)
	requirePing(t, f.Ns(), address1, PingOptions{}, 64)
	requirePing(t, f.Ns(), address1, PingOptions{Source: gateway}, 64)
	requireCounters(t, f, Counters{}, Counters{})
}

func TestDualStackVMsReachEachOther(t *testing.T) {
	t.Parallel()
	f := Start(t, DefaultDual(2, 3))
	vm1, vm2 := f.VM("vm1"), f.VM("vm2")
	nic1, nic2 := vm1.Config.PrimaryNIC(), vm2.Config.PrimaryNIC()
	requirePing(t, vm1.Ns, nic2.Address, PingOptions{}, 63)
	requirePing(t, vm1.Ns, nic2.Address6, PingOptions{}, 63)
	requirePing(t, vm2.Ns, nic1.Address6, PingOptions{Size: 1452, DontFragment: true}, 63)
	requirePing(t, vm1.Ns, firstHost(nic1.Prefix6), PingOptions{}, 64)
	requirePing(t, vm1.Ns, RemoteHost6, PingOptions{}, 64)
	requirePing(t, vm1.Ns, GatewayLinkLocal.WithZone("eth0"), PingOptions{}, 64)
	requirePing(t, f.Ns(), nic1.Address6, PingOptions{}, 64)
	requireCounters(t, f, Counters{}, Counters{})
}

func TestSeveralNICsOfOneVM(t *testing.T) {
	t.Parallel()
	cfg := Default(2, 1)
	second := NICConfig{
		Name:    "eth1",
		MAC:     net.HardwareAddr{0x00, 0x0d, 0x3a, 0x01, 0x00, 0x01},
		MTU:     3900,
		Prefix:  netip.MustParsePrefix("10.242.0.0/24"),
		Address: netip.MustParseAddr("10.242.0.4"),
		Pods:    []netip.Addr{netip.MustParseAddr("10.242.0.5")},
	}
	cfg.VMs[0].NICs = append(cfg.VMs[0].NICs, second)
	f := Start(t, cfg)
	vm1 := f.VM("vm1")
	// The guest must see to it that each NIC sends only its own addresses;
	// the fabric would drop a reply that leaves by the other one.
	requireNoError(t, vm1.Ns.Do(func() error {
		link, err := netlink.LinkByName("eth1")
		if err != nil {
			return err
		}
		rule := netlink.NewRule()
		rule.Src, rule.Table = hostNet(second.Address), 100
		return errors.Join(netlink.RuleAdd(rule), netlink.RouteAdd(&netlink.Route{
			LinkIndex: link.Attrs().Index, Table: rule.Table, Gw: second.Gateway().AsSlice()}))
	}))
	requirePing(t, vm1.Ns, second.Gateway(), PingOptions{Size: 3872, DontFragment: true}, 64)
	requirePing(t, f.VM("vm2").Ns, cfg.VMs[0].NICs[0].Address, PingOptions{}, 63)
	requirePing(t, f.VM("vm2").Ns, second.Address, PingOptions{}, 63)
	requireCounters(t, f, Counters{}, Counters{})
}

// echoRequest is an IPv4 ICMP echo request in an Ethernet frame.
func echoRequest(dstMAC, srcMAC net.HardwareAddr, src, dst netip.Addr) []byte {
	f := make([]byte, etherHeader+20+8)
	copy(f, dstMAC)
	copy(f[6:], srcMAC)
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	ip := f[etherHeader:]
	ip[0], ip[3], ip[8], ip[9] = 0x45, 28, 64, 1
	copy(ip[12:], src.AsSlice())
	copy(ip[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], checksum(ip[:20]))
	ip[20] = icmpEchoRequest
	binary.BigEndian.PutUint16(ip[22:], checksum(ip[20:]))
	return f
}

func TestTrafficBetweenTwoAddressesOfOneVMIsHairpinned(t *testing.T) {
	t.Parallel()
	f := Start(t, Default(1, 2))
	nic := f.VMs[0].Config.PrimaryNIC()
	frames := openTestFrames(t, f.VMs[0].Ns, "eth0")
	virtual, _ := net.ParseMAC(VirtualMAC)
	requireNoError(t, frames.Send(echoRequest(virtual, nic.MAC, nic.Pods[0], nic.Pods[1])))
	back := receive(t, frames, func(frame []byte) bool {
		return binary.BigEndian.Uint16(frame[12:]) == 0x0800
	})
	want := echoRequest(nic.MAC, virtual, nic.Pods[0], nic.Pods[1])
	want[etherHeader+8] = 63
	want[etherHeader+10], want[etherHeader+11] = 0, 0
	binary.BigEndian.PutUint16(want[etherHeader+10:], checksum(want[etherHeader:etherHeader+20]))
	if string(back) != string(want) {
		t.Errorf("came back as\n%x, want\n%x", back, want)
	}
	requireCounters(t, f, Counters{}, Counters{})
}

func TestConfigMistakesAreReported(t *testing.T) {
	t.Parallel()
	change := func(fn func(*Config)) Config {
		c := DefaultDual(2, 3)
		fn(&c)
		return c
	}
	nic := func(c *Config) *NICConfig { return &c.VMs[0].NICs[0] }
	tests := map[string]Config{
		"same name":           change(func(c *Config) { c.VMs[0].Name = "vm2" }),
		"same MAC":            change(func(c *Config) { nic(c).MAC = c.VMs[1].NICs[0].MAC }),
		"same address":        change(func(c *Config) { nic(c).Pods[1] = nic(c).Pods[0] }),
		"no primary NIC":      change(func(c *Config) { nic(c).Primary = false }),
		"the gateway":         change(func(c *Config) { nic(c).Address = gateway }),
		"outside prefix":      change(func(c *Config) { nic(c).Pods6[0] = netip.MustParseAddr("fd07::9") }),
		"no IPv6 prefix":      change(func(c *Config) { nic(c).Prefix6 = netip.Prefix{} }),
		"multicast MAC":       change(func(c *Config) { nic(c).MAC = net.HardwareAddr{1, 0, 0, 0, 0, 1} }),
		"interface name":      change(func(c *Config) { nic(c).Name = "a-name-of-16-byte" }),
		"too many for the 16": Default(300, 250),
	}
	for name, cfg := range tests {
		if f, err := New(cfg); err == nil {
			t.Errorf("%s: New succeeded", name)
			_ = f.Close()
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	if err := Default(3, 600).validate(); err != nil {
		t.Errorf("600 pods on each of 3 VMs: %v", err)
	}
}
