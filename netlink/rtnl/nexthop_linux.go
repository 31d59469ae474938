package rtnl

import (
	"bytes"
	"encoding/binary"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes of nexthop objects (include/uapi/linux/nexthop.h), and of a route that names one (rtnetlink.h).
const (
	NexthopID      = 1
	NexthopGroup   = 2
	NexthopOIF     = 5
	NexthopGateway = 6
	nhaFDB         = 11 // the last one that makes an object; what follows is statistics and state
	nhaResGroup    = 12
	RouteNexthop   = 30
)

// NewNexthop is the request that gives the object to a device, in place of the one that it was read from.
func (m Message) NewNexthop(from, to Device) *nl.NetlinkRequest {
	header := bytes.Clone(m.Header)
	header[1], header[3] = 0, 0 // scope and reserved are answers
	binary.NativeEndian.PutUint32(header[4:], binary.NativeEndian.Uint32(header[4:])&unix.RTNH_F_ONLINK)
	return m.Request(unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, header,
		func(typ uint16, data []byte) ([]byte, bool) {
			if typ == NexthopOIF && wire.U32(data) == uint32(from.Index) {
				return binary.NativeEndian.AppendUint32(nil, uint32(to.Index)), true
			}
			if typ == nhaResGroup {
				return settingsOf(data), true
			}
			return data, typ <= nhaFDB
		})
}

// settingsOf are the attributes of a resilient group but for NHA_RES_GROUP_UNBALANCED_TIME, which is an answer.
func settingsOf(data []byte) (out []byte) {
	const unbalancedTime = 4
	list, _ := wire.ParseAttrs(data)
	for _, a := range list {
		if a.Type != 0 && a.Type < unbalancedTime {
			out = append(out, nl.NewRtAttr(int(a.Type), a.Value).Serialize()...)
		}
	}
	return out
}

// HasMember says whether the object is a group with one of these: struct nexthop_grp is the ID and four bytes.
func (m Message) HasMember(ids map[uint32]bool) bool {
	for rest := m.Get(NexthopGroup); len(rest) >= 8; rest = rest[8:] {
		if ids[binary.NativeEndian.Uint32(rest)] {
			return true
		}
	}
	return false
}
