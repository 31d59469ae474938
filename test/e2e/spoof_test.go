//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// hostile is a pod with a root shell and raw sockets, its neighbour, and what they have.
type hostile struct {
	*lab
	n          *node.Node
	mode       string
	own, other *node.Pod
	mac, mac2  net.HardwareAddr
	next       net.HardwareAddr // the way out
	frames     *fabric.Frames
}

// attempt is one frame that must not get anywhere.
type attempt struct {
	frame []byte
	// silent: no rule counts it, since what is there drops it anyway. harmless: it may even arrive.
	silent, harmless bool
}

var allStations = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func ether(dst, src net.HardwareAddr, proto uint16, payload []byte) []byte {
	f := append(bytes.Clone(dst), src...)
	return append(binary.BigEndian.AppendUint16(f, proto), payload...)
}

func sum16(b []byte, start uint32) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		start += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for start > 0xffff {
		start = start&0xffff + start>>16
	}
	return ^uint16(start)
}

// packet4 is an IPv4 packet; fragment is the field with the offset and its flags.
func packet4(src, dst netip.Addr, proto byte, fragment uint16, payload []byte) []byte {
	h := []byte{0x45, 0, 0, 0, 0, 7, 0, 0, 64, proto, 0, 0}
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(h[6:], fragment)
	h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(h[10:], sum16(h, 0))
	return append(h, payload...)
}

// packet6 is an IPv6 packet; ICMPv6 that is not hidden gets its checksum, so that a victim would believe it.
func packet6(src, dst netip.Addr, next byte, payload []byte) []byte {
	h := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(payload)))
	h = append(append(append(h, next, 255), src.AsSlice()...), dst.AsSlice()...)
	if next == icmpv6 {
		pseudo := append(append(bytes.Clone(src.AsSlice()), dst.AsSlice()...), 0, 0, byte(len(payload)>>8), byte(len(payload)), 0, 0, 0, icmpv6)
		payload = bytes.Clone(payload)
		binary.BigEndian.PutUint16(payload[2:], sum16(append(pseudo, payload...), 0))
	}
	return append(h, payload...)
}

const udp, tcp, icmpv6 = 17, 6, 58

func udpPacket(from, to uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from), to)
	return append(append(binary.BigEndian.AppendUint16(b, uint16(8+len(data))), 0, 0), data...)
}

func arpPacket(op byte, mac net.HardwareAddr, ip netip.Addr, target net.HardwareAddr, asked netip.Addr) []byte {
	b := append(append([]byte{0, 1, 8, 0, 6, 4, 0, op}, mac...), ip.AsSlice()...)
	return append(append(b, target...), asked.AsSlice()...)
}

func lladdr(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe,
		13: mac[3], 14: mac[4], 15: mac[5]})
}

// attempts are the spoofing matrix. mark makes each frame recognisable; its length is even.
func (h *hostile) attempts(mark []byte) map[string]attempt {
	ip, ip2, host := h.own.Addr(false), h.other.Addr(false), h.n.VM.Config.PrimaryNIC().Address
	ip6, ip62, host6 := h.own.Addr(true), h.other.Addr(true), h.n.VM.Config.PrimaryNIC().Address6
	everybody := addr("ff02::1")
	out4 := func(mac net.HardwareAddr, p []byte) attempt { return attempt{frame: ether(h.next, mac, 0x0800, p)} }
	out6 := func(mac net.HardwareAddr, p []byte) attempt { return attempt{frame: ether(h.next, mac, 0x86dd, p)} }
	all := func(proto uint16, p []byte) attempt { return attempt{frame: ether(allStations, h.mac, proto, p)} }
	// A bridge's rules count ARP and VLANs; in transparent mode they end in the host, which knows every MAC already.
	l2 := func(a attempt) attempt { a.silent = h.mode == "transparent"; return a }
	// Where the host routes, its connection tracking waits for a packet's other fragments before any rule sees it.
	part := func(a attempt) attempt { a.silent = a.silent || h.mode == "transparent"; return a }
	advertisement := func(src, target netip.Addr) []byte {
		return packet6(src, everybody, icmpv6,
			append(append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, target.AsSlice()...), append(append([]byte{2, 1}, h.mac...), mark...)...))
	}
	router := append(append([]byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, h.mac...), mark...)
	first6 := append([]byte{icmpv6, 0, 0, 1, 0, 0, 0, 9}, router...) // a fragment header: offset 0, more to come
	late6 := append([]byte{60, 0, 0, 1, 0, 0, 0, 10, icmpv6, 0, 1, 4, 0, 0, 0, 0}, mark[:8]...)
	second6 := append([]byte{60, 0, 0, 16, 0, 0, 0, 10}, router...) // offset 16, the last
	const more = 0x2000
	return map[string]attempt{
		"IPv4 of the neighbour":             out4(h.mac, packet4(ip2, gateway, udp, 0, udpPacket(1, 2, mark))),
		"IPv4 of the host":                  out4(h.mac, packet4(host, gateway, udp, 0, udpPacket(1, 2, mark))),
		"IPv4 of nobody":                    out4(h.mac, packet4(addr("192.0.2.1"), gateway, udp, 0, udpPacket(1, 2, mark))),
		"IPv4 to the neighbour as the host": out4(h.mac, packet4(host, ip2, udp, 0, udpPacket(1, 2, mark))),
		"a foreign MAC":                     out4(net.HardwareAddr{2, 0, 0, 0, 0, 9}, packet4(ip, gateway, udp, 0, udpPacket(1, 2, mark))),
		"the neighbour's MAC":               out4(h.mac2, packet4(ip, gateway, udp, 0, udpPacket(1, 2, mark))),
		"the neighbour's MAC and IPv4":      out4(h.mac2, packet4(ip2, gateway, udp, 0, udpPacket(1, 2, mark))),
		"IPv6 of the neighbour":             out6(h.mac, packet6(ip62, fabric.RemoteHost6, udp, udpPacket(1, 2, mark))),
		"IPv6 of the host":                  out6(h.mac, packet6(host6, fabric.RemoteHost6, udp, udpPacket(1, 2, mark))),
		"IPv6 of nobody yet": {frame: ether(h.next, h.mac, 0x86dd,
			packet6(netip.IPv6Unspecified(), fabric.RemoteHost6, udp, udpPacket(1, 2, mark))), silent: true},
		"the neighbour's link-local": out6(h.mac, packet6(lladdr(h.mac2), ip62, udp, udpPacket(1, 2, mark))),

		"ARP reply for the neighbour": l2(all(0x0806, append(arpPacket(2, h.mac, ip2, allStations, host), mark...))),
		"ARP reply for the host":      l2(all(0x0806, append(arpPacket(2, h.mac, host, h.mac2, ip2), mark...))),
		"ARP reply for the gateway": l2(attempt{frame: ether(h.mac2, h.mac, 0x0806,
			append(arpPacket(2, h.mac, gateway, h.mac2, ip2), mark...))}),
		"gratuitous ARP with a MAC":     l2(all(0x0806, append(arpPacket(1, h.mac2, ip, net.HardwareAddr{0, 0, 0, 0, 0, 0}, ip), mark...))),
		"ND advertisement of neighbour": all(0x86dd, advertisement(ip6, ip62)),
		"ND advertisement of the host":  all(0x86dd, advertisement(lladdr(h.mac), host6)),
		"ND advertisement of a router":  all(0x86dd, advertisement(lladdr(h.mac), fabric.GatewayLinkLocal)),

		"DHCP offer":           all(0x0800, packet4(ip, addr("255.255.255.255"), udp, 0, udpPacket(67, 68, mark))),
		"DHCPv6 reply":         all(0x86dd, packet6(lladdr(h.mac), everybody, udp, udpPacket(547, 546, mark))),
		"router advertisement": all(0x86dd, packet6(lladdr(h.mac), everybody, icmpv6, router)),
		"redirect": all(0x86dd,
			packet6(lladdr(h.mac), ip62, icmpv6,
				append(append(append([]byte{137, 0, 0, 0, 0, 0, 0, 0}, lladdr(h.mac).AsSlice()...), fabric.RemoteHost6.AsSlice()...), mark...))),
		"VLAN tag": l2(all(0x8100,
			append([]byte{0, 7, 8, 0}, packet4(ip, gateway, udp, 0, udpPacket(1, 2, mark))...))),
		"VLAN tag to the neighbour": l2(attempt{frame: ether(h.next, h.mac, 0x8100,
			append([]byte{0, 7, 8, 0}, packet4(ip, ip2, udp, 0, udpPacket(1, 2, mark))...))}),
		"VLAN tag to the neighbour by IPv6": l2(attempt{frame: ether(h.next, h.mac, 0x8100,
			append([]byte{0, 7, 0x86, 0xdd}, packet6(ip6, ip62, udp, udpPacket(1, 2, mark))...))}),
		"VLAN tag of the host agent's port": l2(attempt{frame: ether(h.next, h.mac, 0x8100, append([]byte{0, 7, 8, 0},
			packet4(ip, fabric.HostAgent, tcp, 0, append([]byte{0x80, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0}, mark...))...))}),
		"two VLAN tags": l2(all(0x88a8,
			append([]byte{0, 7, 0x81, 0, 0, 8, 8, 0}, packet4(ip, gateway, udp, 0, udpPacket(1, 2, mark))...))),
		"another protocol":                   l2(all(0x88cc, mark)),
		"first fragment of the neighbour":    part(out4(h.mac, packet4(ip2, gateway, udp, more, udpPacket(1, 2, mark)))),
		"last fragment of the neighbour":     part(out4(h.mac, packet4(ip2, gateway, udp, 1, mark))),
		"first fragment of a DHCP offer":     part(all(0x0800, packet4(ip, addr("255.255.255.255"), udp, more, udpPacket(67, 68, mark)))),
		"first fragment of an advertisement": all(0x86dd, packet6(lladdr(h.mac), everybody, 44, first6)),
		"the host agent's port 80": out4(h.mac,
			packet4(ip, fabric.HostAgent, tcp, 0, append([]byte{0x80, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0}, mark...))),
		"the host agent's port 32526": out4(h.mac,
			packet4(ip, fabric.HostAgent, tcp, 0, append([]byte{0x80, 0, 0x7f, 0x0e, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0}, mark...))),
		"a fragment to the host agent's port": part(out4(h.mac,
			packet4(ip, fabric.HostAgent, tcp, more, append([]byte{0x80, 0, 0, 80, 0, 0, 0, 1}, mark...)))),
		"an advertisement's header comes late": {frame: ether(allStations, h.mac, 0x86dd, packet6(lladdr(h.mac), everybody, 44, late6)),
			silent: true, harmless: true},
		"and its rest": {frame: ether(allStations, h.mac, 0x86dd, packet6(lladdr(h.mac), everybody, 44, second6)), silent: true, harmless: true},
	}
}

// The spoofing matrix: whatever a hostile pod tries fails, is counted, and disturbs nobody.
func TestHostilePod(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 4))
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode, "ipam": bothFamilies})
			h := &hostile{lab: l, n: n, mode: mode, own: l.add(n, list), other: l.add(n, list)}
			h.mac, h.mac2 = macOf(l, h.own, 1), macOf(l, h.other, 1)
			h.next, _ = net.ParseMAC(fabric.VirtualMAC)
			if mode == "transparent" {
				h.next = macOf(l, h.own, 2)
			}
			// A victim that would believe routers if one got through to it.
			l.podRun(h.other, "sysctl -qw net.ipv6.conf.eth0.accept_ra=2")
			l.podRun(h.own, "ip link set eth0 promisc on") // nothing but the rules may stop it
			h.everybodyTalks()
			if text := l.run(n, "ip -o -6 addr"); strings.Contains(text, "azv") != (mode == "transparent") {
				t.Errorf("a port needs no address: %s", text)
			}
			before := h.seen()
			var err error
			h.frames, err = h.own.NS.Frames("eth0")
			l.must(err)
			defer func() { _ = h.frames.Close() }()
			mark := []byte("hostile-" + mode[:6])
			for name, a := range h.attempts(mark) {
				h.fails(name, a, mark)
			}
			if after := h.seen(); after != before {
				t.Errorf("somebody was disturbed; before\n%s\nafter\n%s", before, after)
			}
			h.everybodyTalks()
			for _, p := range []*node.Pod{h.own, h.other} {
				l.must(p.Check(l.ctx))
			}
		})
	}
}

// macOf is the MAC of the pod's end (1), or of the host's (2).
func macOf(l *lab, p *node.Pod, end int) net.HardwareAddr {
	l.Helper()
	mac, err := net.ParseMAC(p.Result.Interfaces[len(p.Result.Interfaces)-end].Mac)
	l.must(err)
	return mac
}

func (h *hostile) everybodyTalks() {
	h.Helper()
	for _, v6 := range []bool{false, true} {
		for _, p := range []*node.Pod{h.own, h.other} {
			h.reach("host", h.n.VM.Ns, "pod", p.Addr(v6), ttls[h.mode].fromHost)
			h.reach("fabric", h.fabric.Ns(), "pod", p.Addr(v6), ttls[h.mode].fromFabric)
		}
		h.reach("hostile pod", h.own.NS, "its neighbour", h.other.Addr(v6), ttls[h.mode].samePod)
		h.reach("neighbour", h.other.NS, "hostile pod", h.own.Addr(v6), ttls[h.mode].samePod)
	}
}

// seen is what host and neighbour believe: permanent neighbours, addresses, routes, and where MACs are.
func (h *hostile) seen() string {
	h.Helper()
	learnt := regexp.MustCompile(`(?m)^.*(\bSTALE|DELAY|PROBE|REACHABLE|FAILED|INCOMPLETE).*\n`)
	mine := regexp.MustCompile(`(?m)^.* lladdr ` + h.mac.String() + ` .*$`)
	text := h.podRun(h.other, "ip addr") + h.podRun(h.other, "ip route") + h.podRun(h.other, "ip -6 route")
	for _, line := range mine.FindAllString(h.podRun(h.other, "ip neigh")+h.run(h.n, "ip neigh"), -1) {
		if !regexp.MustCompile(`^(` + h.own.Addr(false).String() + `|` + h.own.Addr(true).String() + `|` +
			lladdr(h.mac).String() + `) `).MatchString(line) {
			h.Errorf("somebody believes the hostile pod: %s", line)
		}
	}
	text += learnt.ReplaceAllString(h.podRun(h.other, "ip neigh")+h.run(h.n, "ip neigh"), "")
	if h.mode != "transparent" {
		text += h.run(h.n, "bridge fdb show br azure0")
	}
	return regexp.MustCompile(`expires \d+sec|(valid|preferred)_lft \S+| tentative`).ReplaceAllString(text, "")
}

var countedDrops = regexp.MustCompile(`counter packets (\d+)`)

// drops is how many frames the pods' rules have dropped.
func (h *hostile) drops() (total int) {
	h.Helper()
	chain := family + " azure-vnet azure0-from-pod"
	if h.mode == "transparent" {
		chain = "inet azure-vnet eth0-from-pod"
	}
	for _, which := range []string{"", "4", "6"} {
		for _, m := range countedDrops.FindAllStringSubmatch(h.run(h.n, "nft list chain "+chain+which), -1) {
			n, err := strconv.Atoi(m[1])
			h.must(err)
			total += n
		}
	}
	return total
}

// fails requires that the frame is counted, and that neither the neighbour nor the fabric gets it. A ping that follows
// shows how far they have come.
func (h *hostile) fails(name string, a attempt, mark []byte) {
	h.Helper()
	victim, err := h.other.NS.Frames("eth0")
	h.must(err)
	defer func() { _ = victim.Close() }()
	before := h.drops()
	h.must(h.frames.Send(a.frame))
	h.reach("hostile pod after "+name, h.own.NS, "its neighbour", h.other.Addr(false), ttls[h.mode].samePod)
	if got := h.drops() - before; got != 1 && !a.silent || got > 1 {
		h.Errorf("%s: %d frames were counted", name, got)
	}
	ctx, cancel := context.WithTimeout(h.ctx, 10*time.Second)
	defer cancel()
	for {
		f, err := victim.Receive(ctx)
		if err != nil {
			h.Fatalf("%s: the ping does not arrive: %v", name, err)
		}
		if bytes.Contains(f, mark) && !a.harmless {
			h.Errorf("%s: the neighbour got it: %x", name, f)
		}
		if len(f) > 34 && f[12] == 8 && f[13] == 0 && f[23] == 1 && f[34] == 8 { // the ping
			break
		}
	}
	if v, err := h.fabric.Counters(); err != nil || v.Violations() != (fabric.Counters{}) {
		h.Errorf("%s: the fabric saw %v, %v", name, v.Violations(), err)
	}
}
