package fabric

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Advertisement is what the fabric's router says (RFC 4861, section 4.2).
type Advertisement struct {
	Every    time.Duration // between two of them
	Lifetime time.Duration // as a default router, whole seconds; 0: it is none

	// Prefix is advertised as on-link if it is valid, and for the hosts' own addresses if Autonomous is set, too.
	Prefix     netip.Prefix
	Autonomous bool
	Valid      time.Duration // and preferred
}

// Advertise sends router advertisements to the VM's first NIC, the first one at once, until it is stopped.
func (vm *VM) Advertise(a Advertisement) (stop func() error, err error) {
	f, err := vm.fabric.ns.Frames(vm.ports[0].name)
	if err != nil {
		return nil, err
	}
	frame := a.frame()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		pace := time.NewTicker(a.Every)
		defer pace.Stop()
		for {
			_ = f.Send(frame) // the NIC may be down
			select {
			case <-done:
				return
			case <-pace.C:
			}
		}
	})
	return sync.OnceValue(func() error {
		close(done)
		wg.Wait()
		return f.Close()
	}), nil
}

func (a Advertisement) frame() []byte {
	virtual, _ := net.ParseMAC(VirtualMAC)
	const hopLimit = 64
	body := []byte{134, 0, 0, 0, hopLimit, 0}
	body = binary.BigEndian.AppendUint16(body, uint16(a.Lifetime/time.Second))
	body = append(body, make([]byte, 8)...)       // reachable time, retransmission timer: unspecified
	body = append(append(body, 1, 1), virtual...) // source link-layer address
	if valid := uint32(a.Valid / time.Second); a.Prefix.IsValid() {
		flags := byte(0x80) // on-link
		if a.Autonomous {
			flags |= 0x40
		}
		body = append(body, 3, 4, byte(a.Prefix.Bits()), flags)
		body = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(body, valid), valid)
		body = append(append(body, 0, 0, 0, 0), a.Prefix.Addr().AsSlice()...)
	}
	all := netip.MustParseAddr("ff02::1")
	pseudo := append(GatewayLinkLocal.AsSlice(), all.AsSlice()...)
	pseudo = append(binary.BigEndian.AppendUint32(pseudo, uint32(len(body))), 0, 0, 0, protocolICMP6)
	binary.BigEndian.PutUint16(body[2:], checksum(append(pseudo, body...)))

	frame := append([]byte{0x33, 0x33, 0, 0, 0, 1}, virtual...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IPV6)
	frame = append(frame, 0x60, 0, 0, 0)
	frame = append(binary.BigEndian.AppendUint16(frame, uint16(len(body))), protocolICMP6, 255)
	return append(append(append(frame, GatewayLinkLocal.AsSlice()...), all.AsSlice()...), body...)
}
