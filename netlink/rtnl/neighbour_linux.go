package rtnl

import (
	"bytes"
	"encoding/binary"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// IsNeighbour leaves out what is not resolved, and what the kernel notes of multicast addresses.
func (m Message) IsNeighbour() bool {
	mac, state := m.Get(unix.NDA_LLADDR), m.NeighbourState()
	return m.IsIP() && len(mac) == 6 && mac[0]&1 == 0 && state&(unix.NUD_INCOMPLETE|unix.NUD_FAILED) == 0 &&
		state != unix.NUD_NONE
}

// NeighbourState is struct ndmsg's: NUD_….
func (m Message) NeighbourState() uint16 { return binary.NativeEndian.Uint16(m.Header[8:]) }

// Stays says whether the neighbour, or proxy, is there until somebody removes it.
func (m Message) Stays() bool {
	return m.Header[10]&unix.NTF_PROXY != 0 || m.NeighbourState()&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0
}

// NewNeigh is the request that gives the neighbour to a device.
func (m Message) NewNeigh(to Device) *nl.NetlinkRequest {
	const ndaProtocol = 12 // include/uapi/linux/neighbour.h
	header := append([]byte(nil), m.Header...)
	binary.NativeEndian.PutUint32(header[4:], uint32(to.Index))
	if !m.Stays() {
		binary.NativeEndian.PutUint16(header[8:], unix.NUD_STALE) // used at once, verified soon
	}
	return m.Request(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, header,
		func(typ uint16, data []byte) ([]byte, bool) {
			return data, typ == unix.NDA_DST || typ == unix.NDA_LLADDR || typ == ndaProtocol
		})
}

// IsPods says whether the neighbour has the MAC of a pod of ours.
func (m Message) IsPods() bool {
	return bytes.HasPrefix(m.Get(unix.NDA_LLADDR), azure.PodMACPrefix)
}
