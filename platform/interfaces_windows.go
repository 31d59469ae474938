package platform

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Host is asked about this machine.
type Host struct{}

// NewHost is the only one there is.
func NewHost() Host { return Host{} }

// Interfaces returns the host's network interfaces, ordered by index.
func (Host) Interfaces() ([]Interface, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	out := make([]Interface, 0, len(list))
	for _, i := range list {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list addresses of %s: %w", i.Name, err)
		}
		prefixes, err := toPrefixes(addrs)
		if err != nil {
			return nil, fmt.Errorf("list addresses of %s: %w", i.Name, err)
		}
		out = append(out, Interface{
			Index: i.Index, Name: i.Name, MAC: i.HardwareAddr, MTU: i.MTU,
			Up: i.Flags&net.FlagUp != 0, Loopback: i.Flags&net.FlagLoopback != 0, Prefixes: prefixes,
		})
	}
	return out, nil
}

func toPrefixes(addrs []net.Addr) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		if !ok {
			return nil, errors.New("malformed address")
		}
		ones, _ := n.Mask.Size()
		out = append(out, netip.PrefixFrom(ip.Unmap(), ones))
	}
	return out, nil
}
