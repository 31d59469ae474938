package source

import (
	"encoding/xml"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// listing is what both sources write: the host agent as XML, the file of Azure Stack as JSON.
type listing struct {
	Interfaces []struct {
		MacAddress string  `xml:",attr"`
		IsPrimary  primary `xml:",attr"`
		IPSubnets  []struct {
			Prefix      string `xml:",attr"`
			IPAddresses []struct {
				Address   string  `xml:",attr"`
				IsPrimary primary `xml:",attr"`
			} `xml:"IPAddress"`
		} `xml:"IPSubnet"`
	} `xml:"Interface"`
}

// primary says whether a NIC, or an address, is the first one. What is neither true nor false counts as true: the host
// may have the address, so no container gets it.
type primary bool

func (p *primary) read(text string) {
	is, err := strconv.ParseBool(strings.TrimSpace(text))
	*p = primary(is || err != nil && text != "")
}

// UnmarshalXMLAttr implements xml.UnmarshalerAttr.
func (p *primary) UnmarshalXMLAttr(a xml.Attr) error {
	p.read(a.Value)
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *primary) UnmarshalJSON(b []byte) error {
	if text := strings.Trim(string(b), `"`); text != "null" {
		p.read(text)
	}
	return nil
}

// subnets are those of the listing that make sense. A value that makes none spoils its own subnet or address only:
// the rest of the node keeps working. Primary addresses are the host's.
func (l listing) subnets() []Subnet {
	var subnets []Subnet
	for _, i := range l.Interfaces {
		for _, s := range i.IPSubnets {
			var addrs []string
			for _, a := range s.IPAddresses {
				if !a.IsPrimary {
					addrs = append(addrs, a.Address)
				}
			}
			if sub, ok := newSubnet(i.MacAddress, bool(i.IsPrimary), s.Prefix, addrs); ok {
				subnets = append(subnets, sub)
			}
		}
	}
	return subnets
}

// newSubnet checks what a source says about one subnet. Addresses outside of the prefix, and those that
// every subnet keeps for itself (network, gateway, IPv4 broadcast), are left out.
func newSubnet(mac string, primary bool, prefix string, addrs []string) (Subnet, bool) {
	p, err := netip.ParsePrefix(strings.TrimSpace(prefix))
	if err != nil || p.Addr().Zone() != "" || p.Addr().Is4In6() {
		return Subnet{}, false
	}
	m, ok := parseMAC(strings.TrimSpace(mac))
	if !ok {
		return Subnet{}, false
	}
	p = p.Masked()
	s := Subnet{MAC: m, Primary: primary, Prefix: p}
	for _, text := range addrs {
		a, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil || a.Zone() != "" || a.Is4In6() || !p.Contains(a) || a == p.Addr() ||
			a == p.Addr().Next() || isBroadcast(p, a) {
			continue
		}
		s.Addresses = append(s.Addresses, a)
	}
	return s, true
}

func isBroadcast(p netip.Prefix, a netip.Addr) bool {
	return a.Is4() && p.Bits() < 31 && !p.Contains(a.Next())
}

// parseMAC accepts a MAC with ':', '-' or no separators in any case, and "*".
func parseMAC(s string) (string, bool) {
	if s == "*" {
		return s, true
	}
	if len(s) == 12 {
		b := make([]byte, 0, 17)
		for i := 0; i < 12; i += 2 {
			if i > 0 {
				b = append(b, ':')
			}
			b = append(b, s[i], s[i+1])
		}
		s = string(b)
	}
	m, err := net.ParseMAC(s)
	if err != nil || len(m) != 6 {
		return "", false
	}
	return m.String(), true
}
