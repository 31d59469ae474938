package fabric

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// ServeDHCP leases the VM's first NIC its primary address, until it is stopped. As on Azure, the server is the host
// agent's address, which is off the subnet, and hears the client whether its frames have an address yet or not.
func (vm *VM) ServeDHCP(lease time.Duration) (stop func() error, err error) {
	p := vm.ports[0]
	return vm.fabric.serveFrames(p, func(frame []byte) ([]byte, error) { return p.nic.leases(frame, lease) })
}

// leases answers a frame.
func (n NICConfig) leases(frame []byte, lease time.Duration) ([]byte, error) {
	const ether, ip, udp = 14, 20, 8
	if len(frame) < ether+ip+udp || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_IP || frame[ether] != 0x45 || frame[ether+
		9] != unix.IPPROTO_UDP || binary.BigEndian.Uint16(frame[ether+ip+2:]) != 67 {
		return nil, errNoRequest
	}
	request, err := dhcpv4.FromBytes(frame[ether+ip+udp:])
	if err != nil {
		return nil, fmt.Errorf("read a DHCP request: %w", err)
	}
	if !bytes.Equal(request.ClientHWAddr, n.MAC) || !bytes.Equal(frame[6:12], n.MAC) {
		return nil, errNoRequest
	}
	kind := dhcpv4.MessageTypeAck
	switch request.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest:
	default:
		return nil, errNoRequest
	}
	server := net.IP(HostAgent.AsSlice())
	answer, err := dhcpv4.NewReplyFromRequest(request, dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(server),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)), dhcpv4.WithYourIP(n.Address.AsSlice()),
		dhcpv4.WithNetmask(net.CIDRMask(n.Prefix.Bits(), 32)), dhcpv4.WithRouter(n.Gateway().AsSlice()),
		dhcpv4.WithLeaseTime(uint32(lease/time.Second)))
	if err != nil {
		return nil, fmt.Errorf("answer a DHCP request: %w", err)
	}
	payload := answer.ToBytes()
	virtual, _ := net.ParseMAC(VirtualMAC)
	header := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	binary.BigEndian.PutUint16(header[2:], uint16(ip+udp+len(payload)))
	header = append(append(header, server...), n.Address.AsSlice()...)
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	out := binary.BigEndian.AppendUint16(append(bytes.Clone(n.MAC), virtual...), unix.ETH_P_IP)
	out = append(out, header...)
	for _, v := range []uint16{67, 68, uint16(udp + len(payload)), 0} { // without a checksum
		out = binary.BigEndian.AppendUint16(out, v)
	}
	return append(out, payload...), nil
}
