package nft

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/lab"
)

// frame is an Ethernet frame to everybody.
func frame(src net.HardwareAddr, proto uint16, payload ...byte) []byte {
	f := append(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, src...)
	f = binary.BigEndian.AppendUint16(f, proto)
	return append(append(f, payload...), make([]byte, 46)...)
}

// ipv4 is a UDP packet's header.
func ipv4(src, dst netip.Addr) []byte {
	h := append([]byte{0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0}, src.AsSlice()...)
	h = append(h, dst.AsSlice()...)
	var sum uint32
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum+sum>>16))
	return h
}

// arpFrom is an ARP request's body.
func arpFrom(mac net.HardwareAddr, ip netip.Addr) []byte {
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, mac...)
	b = append(append(b, ip.AsSlice()...), 0, 0, 0, 0, 0, 0)
	return append(b, lab.Gateway.AsSlice()...)
}

// Whatever else a pod sends is dropped, by a rule that says so.
func TestAPodSendsOnlyFromWhatItWasGiven(t *testing.T) {
	t.Parallel()
	own, other, host := lab.PodMAC(lab.PodPrefixes[0]), lab.PodMAC(lab.PodPrefixes[1]), lab.Prefix.Addr()
	ownIP, otherIP := lab.PodPrefixes[0].Addr(), lab.PodPrefixes[1].Addr()
	const ip, arp = "IPv4 from", "ARP from"
	const rest = "anything but"
	for name, test := range map[string]struct {
		frame []byte
		rule  string // that counts it
	}{
		"not from a neighbour's address":         {frame(own, 0x0800, ipv4(otherIP, lab.Gateway)...), ip},
		"not from the host's address":            {frame(own, 0x0800, ipv4(host, lab.Gateway)...), ip},
		"not from no address, as DHCP does":      {frame(own, 0x0800, ipv4(netip.IPv4Unspecified(), lab.Gateway)...), ip},
		"not from another MAC":                   {frame(other, 0x0800, ipv4(ownIP, lab.Gateway)...), ip},
		"not from a neighbour's MAC and address": {frame(other, 0x0800, ipv4(otherIP, lab.Gateway)...), ip},
		"not with ARP for a neighbour":           {frame(own, 0x0806, arpFrom(own, otherIP)...), arp},
		"not with ARP for the host":              {frame(own, 0x0806, arpFrom(own, host)...), arp},
		"not with ARP for the gateway":           {frame(own, 0x0806, arpFrom(own, lab.Gateway)...), arp},
		"not with ARP of another MAC":            {frame(own, 0x0806, arpFrom(other, ownIP)...), arp},
		"not with IPv6":                          {frame(own, 0x86dd, ipv6(netip.MustParseAddr("fd00::9"), 59)...), "IPv6 from an address"},
		"not in a VLAN":                          {frame(own, 0x8100, append([]byte{0, 7, 8, 0}, ipv4(ownIP, lab.Gateway)...)...), rest},
		"not in a VLAN to a neighbour":           {frame(own, 0x8100, append([]byte{0, 7, 8, 0}, ipv4(ownIP, otherIP)...)...), rest},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, 2)
			p.refuses(test.frame, test.rule)
			p.Ping(p.spaces[0], lab.Gateway)
		})
	}
}

// refuses requires that the rule counts the frame which the first pod sends, and that the fabric sees none of it.
func (p *pods) refuses(frame []byte, rule string) {
	p.Helper()
	before, err := p.VM.Counters()
	p.Must(err)
	f, err := p.spaces[0].Frames("eth0")
	p.Must(err)
	defer f.Close()
	p.pip("link set eth0 promisc on") // nothing but the rules may stop it
	p.Must(f.Send(frame))
	p.waitCounted(rule, nil)
	after, err := p.VM.Counters()
	p.Must(err)
	if d := after.Sub(before); d != (fabric.Counters{}) {
		p.Errorf("the fabric saw %v", d)
	}
}
