package rtnl

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// IsAddress leaves out the kernel's own link-local addresses.
func (m Message) IsAddress() bool {
	if m.Family() != unix.AF_INET6 {
		return true
	}
	proto := m.Get(AddressProto)
	byKernel := len(proto) == 1 && proto[0] <= ifaProtoKernel || m.U32(unix.IFA_FLAGS)&unix.IFA_F_STABLE_PRIVACY != 0
	return m.Header[3] != unix.RT_SCOPE_LINK || !byKernel
}

// AddressProto is IFA_PROTO (include/uapi/linux/if_addr.h, Linux 5.18): who made the address. 1 to 3 is the kernel.
const AddressProto, ifaProtoKernel = 11, 3

// NewAddr adds flag to those of an IPv6 address.
func (m Message) NewAddr(nlFlags int, flag uint32, from, to Device) *nl.NetlinkRequest {
	header := append([]byte(nil), m.Header...)
	binary.NativeEndian.PutUint32(header[4:], uint32(to.Index))
	if m.Family() != unix.AF_INET6 {
		flag = 0
	}
	header[2] = header[2]&^byte(addrState&0xff) | byte(flag)
	return m.Request(unix.RTM_NEWADDR, nlFlags, header, func(typ uint16, data []byte) ([]byte, bool) {
		switch typ {
		case unix.IFA_LABEL:
			label := strings.TrimRight(string(data), "\x00")
			if label == from.Name || strings.HasPrefix(label, from.Name+":") {
				label = to.Name + strings.TrimPrefix(label, from.Name)
			}
			return nl.ZeroTerminated(label), len(label) < unix.IFNAMSIZ
		case unix.IFA_FLAGS:
			return binary.NativeEndian.AppendUint32(nil, wire.U32(data)&^addrState|flag), true
		}
		return data, true
	})
}

// DelAddr is the request that takes the address off its interface.
func (m Message) DelAddr() *nl.NetlinkRequest {
	return m.Request(unix.RTM_DELADDR, 0, m.Header, func(typ uint16, data []byte) ([]byte, bool) {
		return data, typ == unix.IFA_LOCAL || typ == unix.IFA_ADDRESS
	})
}

// addrState are the flags by which the kernel says how an address is doing.
const addrState = unix.IFA_F_PERMANENT | unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED |
	unix.IFA_F_SECONDARY | unix.IFA_F_DEPRECATED

// AddrKey is what an address is known by on its interface.
func (m Message) AddrKey() string {
	return fmt.Sprintf("%d %d %x %x", m.Family(), m.Header[1], m.Get(unix.IFA_LOCAL), m.Get(unix.IFA_ADDRESS))
}

// Forever is the lifetime, in seconds, of an address without an end.
const Forever = 0xffffffff

// Cacheinfo is an address's struct ifa_cacheinfo: preferred and valid time in seconds, when it was made and updated.
func (m Message) Cacheinfo() []byte {
	if d := m.Get(unix.IFA_CACHEINFO); len(d) >= 16 {
		return d
	}
	return nil
}

// Ends says whether the address has a lifetime.
func (m Message) Ends() bool {
	d := m.Cacheinfo()
	return d != nil && binary.NativeEndian.Uint32(d[4:]) != Forever
}

// AddrWithoutEnd leaves out temporary addresses of IPv6: the kernel makes new ones when they end. What is not preferred
// stays so.
func (m Message) AddrWithoutEnd() Message {
	temporary := m.Family() == unix.AF_INET6 && m.U32(unix.IFA_FLAGS)&unix.IFA_F_TEMPORARY != 0
	if temporary || m.Cacheinfo() == nil {
		return m
	}
	info := bytes.Clone(m.Cacheinfo())
	for _, at := range []int{0, 4} {
		if binary.NativeEndian.Uint32(info[at:]) != 0 {
			binary.NativeEndian.PutUint32(info[at:], Forever)
		}
	}
	return m.With(unix.IFA_CACHEINFO, info)
}

// WholeLifetimes makes the rest of an address's lifetimes the whole again: it comes back with a whole lease. The host
// had better have it a little too long than not until its DHCP client asks again.
func (m Message) WholeLifetimes(now uint32) {
	d := m.Cacheinfo()
	if d == nil {
		return
	}
	age := uint32(max(0, int32(now-binary.NativeEndian.Uint32(d[12:])))) / 100
	for _, at := range []int{0, 4} {
		if rest := binary.NativeEndian.Uint32(d[at:]); rest != Forever {
			binary.NativeEndian.PutUint32(d[at:], min(rest+age, Forever-1))
		}
	}
}

// SameSubnet compares the subnets of two IPv4 addresses.
func (m Message) SameSubnet(o Message) bool {
	return m.Type == unix.RTM_NEWADDR && o.Type == m.Type && m.Family() == unix.AF_INET && o.Family() == m.Family() &&
		m.Header[1] == o.Header[1] &&
		netip.PrefixFrom(m.Addr(unix.IFA_ADDRESS), int(m.Header[1])).Masked() == netip.PrefixFrom(o.Addr(unix.IFA_ADDRESS),
			int(o.Header[1])).Masked()
}

// Prefixes lists the addresses in RTM_NEWADDR messages, link-local IPv6 ones left out.
func Prefixes(list []Message) (out []netip.Prefix) {
	for _, m := range list {
		if a := m.Prefix().Addr(); a.IsValid() && (a.Is4() || !a.IsLinkLocalUnicast()) {
			out = append(out, netip.PrefixFrom(a, int(m.Header[1]))) // struct ifaddrmsg: ifa_prefixlen
		}
	}
	return out
}
