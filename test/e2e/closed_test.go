//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"golang.org/x/sys/unix"
)

const listenedPort = 5353

// What a pod must not say to its own host by raw frames: from somebody else's address to a bridge's group addresses,
// which a bridge hands to the host's stack past all hooks; and to the host's loopback addresses, which portmap opens by
// route_localnet. Nothing arrives, all of it is counted that the kernel does not drop before, and the host's IPv6 goes
// on as it was.
func TestWhatAPodMustNotSayToItsHost(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, antiSpoof := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s anti-spoofing=%v", mode, antiSpoof), func(t *testing.T) {
				l := newLab(t, fabric.DefaultDual(1, 3))
				n := l.nodes[0]
				h := &hostile{lab: l, n: n, mode: mode,
					own: l.add(n, l.list(n, map[string]any{"mode": mode, "ipam": bothFamilies, "disableAntiSpoof": !antiSpoof}))}
				h.mac, h.next = macOf(l, h.own, 1), macOf(l, h.own, 2)
				device := "azure0"
				if mode == "transparent" {
					device = h.own.Result.Interfaces[len(h.own.Result.Interfaces)-2].Name
				} else {
					h.next = n.VM.Config.PrimaryNIC().MAC // the host
				}
				// As strict as no host is: every way in that a sysctl can open is open.
				for _, s := range []string{"net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf." + device + ".rp_filter=0", "net.ipv4.conf." +
					device + ".route_localnet=1"} {
					l.run(n, "sysctl -qw "+s)
				}
				h.saysToHost(antiSpoof)
			})
		}
	}
}

func (h *hostile) saysToHost(antiSpoof bool) {
	h.Helper()
	heard := h.listen()
	routes := func() string {
		return h.run(h.n, "ip -6 route show default") + h.run(h.n, "ip -6 -o addr show scope global")
	}
	before, drops := routes(), h.drops()
	var err error
	h.frames, err = h.own.NS.Frames("eth0")
	h.must(err)
	defer func() { _ = h.frames.Close() }()
	nic, ip := h.n.VM.Config.PrimaryNIC(), h.own.Addr(false)
	text := func(s string) []byte { return udpPacket(53, listenedPort, []byte(s)) }
	var want int
	send := func(counts bool, proto uint16, dst net.HardwareAddr, packet []byte) {
		h.must(h.frames.Send(ether(dst, h.mac, proto, packet)))
		if counts {
			want++
		}
	}
	router := append([]byte{134, 0, 0, 0, 64, 0x08, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, h.mac...)
	routed := h.mode == "transparent"
	for last := range 16 {
		if routed && !antiSpoof {
			break // without a bridge these are no other way than the usual one, which is open then
		}
		group := net.HardwareAddr{0x01, 0x80, 0xc2, 0, 0, byte(last)}
		counts := last != 1 || routed || family == "netdev" // a bridge drops pause frames by itself
		send(counts, 0x0800, group, packet4(fabric.HostAgent, nic.Address, udp, 0, text("group")))
		send(counts, 0x86dd, group, packet6(fabric.RemoteHost6, nic.Address6, udp, text("group, IPv6")))
		send(counts, 0x86dd, group, packet6(lladdr(h.mac), addr("ff02::1"), icmpv6, router))
		if !routed {
			send(counts, 0x0800, group, packet4(ip, nic.Address, udp, 0, text("group, from its own address")))
			send(counts, 0x86dd, group, packet6(h.own.Addr(true), nic.Address6, udp, text("group, from its own IPv6")))
			send(counts, 0x0806, group, arpPacket(1, h.mac, ip, make(net.HardwareAddr, 6), nic.Address))
		}
	}
	for _, dst := range []string{"127.0.0.1", "127.1.2.3"} {
		send(true, 0x0800, h.next, packet4(ip, addr(dst), udp, 0, text("loopback")))
	}
	send(true, 0x0800, h.next, packet4(addr("127.0.0.1"), nic.Address, udp, 0, text("from loopback")))
	// This one may come, and shows that the others had their time.
	h.must(h.frames.Send(ether(h.next, h.mac, 0x0800, packet4(ip, nic.Address, udp, 0, text("honest")))))
	if got := heard(); got != "honest from "+ip.String() {
		h.Errorf("the host heard %q first", got)
	}
	if got := h.drops() - drops; got != want {
		h.Errorf("%d frames were counted instead of %d", got, want)
	}
	if after := routes(); after != before {
		h.Errorf("the host's IPv6 was\n%s\nand is\n%s", before, after)
	}
	if !routed {
		veth := h.own.Result.Interfaces[len(h.own.Result.Interfaces)-2].Name
		if got := h.run(h.n, "sysctl -n net.ipv6.conf."+veth+".disable_ipv6 net.ipv6.conf."+veth+".accept_ra"); got != "1\n0\n" {
			h.Errorf("%s has disable_ipv6, accept_ra %q", veth, got)
		}
	}
}

// listen opens the host's port, and returns what waits for the first packet there.
func (h *hostile) listen() func() string {
	h.Helper()
	conn, err := h.n.VM.Ns.ListenPacket("udp4", fmt.Sprintf("0.0.0.0:%d", listenedPort))
	h.must(err)
	six, err := h.n.VM.Ns.ListenPacket("udp6", fmt.Sprintf("[::]:%d", listenedPort))
	h.must(err)
	h.Cleanup(func() { _, _ = conn.Close(), six.Close() })
	got := make(chan string, 100)
	for _, c := range []net.PacketConn{conn, six} {
		go func() {
			var b [100]byte
			for {
				n, from, err := c.ReadFrom(b[:])
				if err != nil {
					return
				}
				got <- fmt.Sprintf("%s from %s", b[:n], hostOf(from))
			}
		}()
	}
	return func() string {
		select {
		case s := <-got:
			return s
		case <-time.After(10 * time.Second):
			return ""
		}
	}
}

// The host agent's ports stay closed when a service leads there, by its name or another port; its DNS stays open, and
// all of it with allowHostAgent.
func TestTheHostAgentIsClosedByServices(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, open := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s open=%v", mode, open), func(t *testing.T) {
				l := newLab(t, fabric.Default(2, 3))
				n := l.nodes[0]
				fields := map[string]any{"mode": mode, "allowHostAgent": open}
				p, far := l.add(n, l.list(n, fields)), l.add(l.nodes[1], l.list(l.nodes[1], fields))
				service, own := addr("10.0.0.50"), hostAddr(n.VM, false)
				l.load(n, fmt.Sprintf(`table ip kube-proxy {
  chain nat-prerouting { type nat hook prerouting priority -100;
    ip daddr { %[1]s, %[2]s } tcp dport 80 dnat to 168.63.129.16:80
    ip daddr { %[1]s, %[2]s } tcp dport 81 dnat to 168.63.129.16:32526
    ip daddr { %[1]s, %[2]s } tcp dport 53 dnat to 168.63.129.16:53
  }
  chain nat-postrouting { type nat hook postrouting priority 100;
    ip daddr 168.63.129.16 ct status dnat masquerade
  }
}`, service, own))
				reaches := func(from *fabric.Namespace, at netip.Addr, port uint16, want bool) bool {
					limit := time.Second // to see nothing; for what is to be seen, a busy machine takes its time
					if want {
						limit = patience
					}
					ctx, cancel := context.WithTimeout(l.ctx, limit)
					defer cancel()
					c, err := from.Dial(ctx, "tcp", netip.AddrPortFrom(at, port).String())
					if err == nil {
						_ = c.Close()
					}
					return err == nil
				}
				for port, want := range map[uint16]bool{53: true, 80: open, 81: open} {
					if reaches(p.NS, service, port, want) != want {
						t.Errorf("service, port %d: reached %v", port, !want)
					}
					if reaches(p.NS, own, port, want) != want {
						t.Errorf("the own node's port %d: reached %v", port, !want)
					}
					if reaches(far.NS, own, port, want) != want {
						t.Errorf("another node's port %d: reached %v", port, !want)
					}
				}
				name := map[bool]string{true: "eth0", false: "azure0"}[mode == "transparent"]
				chain := l.run(n, "nft list chain inet azure-vnet "+name+"-service")
				for _, port := range []string{"80", "32526"} {
					dropped := strings.Contains(chain, "tcp dport "+port) && !strings.Contains(chain, "tcp dport "+port+" counter packets 0 ")
					if dropped == open {
						t.Errorf("dropped for port %s: %v\n%s", port, dropped, chain)
					}
				}
			})
		}
	}
}

// Somebody is in the pod's namespace while its interface comes and goes, and sends all the time what it must not. The
// fabric, which counts, sees none of it, at no moment of ADD and DEL.
func TestNoFrameWithoutRules(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 4))
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode})
			l.add(n, list)
			sent := 0
			for range 10 {
				p, err := n.NewPod(list)
				l.must(err)
				ctx, cancel := context.WithCancel(l.ctx)
				flood := make(chan int)
				go func() { flood <- floods(ctx, p.NS, mode) }()
				l.must(p.Add(l.ctx))
				l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
				l.must(p.Del(l.ctx))
				cancel()
				sent += <-flood
				l.must(p.NS.Close())
			}
			if sent < 100 {
				t.Errorf("only %d frames were sent: the test proves nothing", sent)
			}
		})
	}
}

// floods sends packets from an address of nobody's, as soon as there is an interface and as long as there is one. It
// returns how many the interface took.
func floods(ctx context.Context, ns *fabric.Namespace, mode string) (sent int) {
	_ = ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		next, _ := net.ParseMAC(fabric.VirtualMAC)
		for ctx.Err() == nil {
			eth0, err := net.InterfaceByName("eth0")
			if err != nil {
				continue // not yet, or not any more
			}
			if mode == "transparent" { // the host veth's
				next = append(net.HardwareAddr{eth0.HardwareAddr[0] ^ 0x04}, eth0.HardwareAddr[1:]...)
			}
			frame := ether(next, eth0.HardwareAddr, 0x0800,
				packet4(addr("192.0.2.1"), fabric.RemoteHost, udp, 0, udpPacket(1, 2, []byte("spoofed!"))))
			for ctx.Err() == nil {
				err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: eth0.Index, Halen: 6})
				if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
					break
				}
				if err == nil {
					sent++
				}
			}
		}
		return nil
	})
	return sent
}
