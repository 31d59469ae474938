package fabric

import (
	"encoding/binary"
	"net"
	"net/netip"
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
