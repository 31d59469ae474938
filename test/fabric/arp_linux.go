package fabric

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
)

// Operations of an [ARP] packet.
const (
	ARPRequest = 1
	ARPReply   = 2
)

// ARP is an ARP packet for IPv4 over Ethernet with its frame's header. Nil MACs
// are all zero.
type ARP struct {
	EtherDst, EtherSrc   net.HardwareAddr
	Operation            int
	SenderMAC, TargetMAC net.HardwareAddr
	SenderIP, TargetIP   netip.Addr
}

const (
	etherARP    = 0x0806
	etherHeader = 14
	arpLength   = 28
)

// Frame returns the packet as an Ethernet frame.
func (a ARP) Frame() []byte {
	f := make([]byte, etherHeader+arpLength)
	copy(f[0:6], a.EtherDst)
	copy(f[6:12], a.EtherSrc)
	binary.BigEndian.PutUint16(f[12:], etherARP)
	p := f[etherHeader:]
	copy(p, []byte{0, 1, 8, 0, 6, 4}) // Ethernet, IPv4 and their address lengths
	binary.BigEndian.PutUint16(p[6:], uint16(a.Operation))
	copy(p[8:14], a.SenderMAC)
	copy(p[14:18], a.SenderIP.AsSlice())
	copy(p[18:24], a.TargetMAC)
	copy(p[24:28], a.TargetIP.AsSlice())
	return f
}

// ParseARP returns the ARP packet in a frame, if it is one.
func ParseARP(frame []byte) (ARP, bool) {
	if len(frame) < etherHeader+arpLength || binary.BigEndian.Uint16(frame[12:]) != etherARP {
		return ARP{}, false
	}
	p := frame[etherHeader:]
	return ARP{
		EtherDst:  net.HardwareAddr(frame[0:6]),
		EtherSrc:  net.HardwareAddr(frame[6:12]),
		Operation: int(binary.BigEndian.Uint16(p[6:])),
		SenderMAC: net.HardwareAddr(p[8:14]),
		SenderIP:  netip.AddrFrom4([4]byte(p[14:18])),
		TargetMAC: net.HardwareAddr(p[18:24]),
		TargetIP:  netip.AddrFrom4([4]byte(p[24:28])),
	}, true
}

// answerARP answers a port's requests where the rules cannot, for lack of duplication. owned are the addresses that its
// NIC may send from.
func (f *Fabric) answerARP(p *port, owned []netip.Addr) error {
	stop, err := f.serveFrames(p, func(frame []byte) ([]byte, error) { return p.nic.answersARP(frame, owned) })
	if err == nil {
		f.stopARP = append(f.stopARP, stop)
	}
	return err
}

// answersARP answers a frame as the rules do: see rules.addARP.
func (n NICConfig) answersARP(frame []byte, owned []netip.Addr) ([]byte, error) {
	q, ok := ParseARP(frame)
	if !ok || q.Operation != ARPRequest || q.TargetIP == n.Address ||
		!bytes.Equal(q.EtherSrc, n.MAC) || !bytes.Equal(q.SenderMAC, n.MAC) || !q.SenderIP.IsUnspecified() &&
		!slices.Contains(owned, q.SenderIP) {
		return nil, errNoRequest
	}
	virtual, err := net.ParseMAC(VirtualMAC)
	if err != nil {
		return nil, err
	}
	return ARP{EtherDst: q.EtherSrc, EtherSrc: virtual, Operation: ARPReply,
		SenderMAC: virtual, SenderIP: q.TargetIP, TargetMAC: q.SenderMAC, TargetIP: q.SenderIP}.Frame(), nil
}
