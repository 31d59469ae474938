package ipamtest

import (
	"encoding/hex"
	"encoding/xml"
	"net"
	"net/netip"
	"strings"
)

// Interface is one network interface in the host agent's answer.
type Interface struct {
	// MAC is the interface's hardware address. Nil is listed as "*", which
	// stands for the first usable interface.
	MAC     net.HardwareAddr
	Primary bool
	Subnets []Subnet
}

// Subnet is one subnet of an interface with the addresses owned in it.
type Subnet struct {
	Prefix netip.Prefix
	// Primary belongs to the virtual machine itself. The zero value lists
	// no primary address.
	Primary netip.Addr
	// Secondary addresses are free for pods.
	Secondary []netip.Addr
}

// The elements of the answer; the names are those of the host agent
// (docs/ipam.md).
type (
	xmlInterfaces struct {
		XMLName    xml.Name       `xml:"Interfaces"`
		Interfaces []xmlInterface `xml:"Interface"`
	}
	xmlInterface struct {
		MAC     string      `xml:"MacAddress,attr"`
		Primary bool        `xml:"IsPrimary,attr"`
		Subnets []xmlSubnet `xml:"IPSubnet"`
	}
	xmlSubnet struct {
		Prefix    string       `xml:"Prefix,attr"`
		Addresses []xmlAddress `xml:"IPAddress"`
	}
	xmlAddress struct {
		Address string `xml:"Address,attr"`
		Primary bool   `xml:"IsPrimary,attr"`
	}
)

// Document returns the host agent's XML for these interfaces.
func Document(interfaces []Interface) string {
	var doc xmlInterfaces
	for _, i := range interfaces {
		xi := xmlInterface{MAC: formatMAC(i.MAC), Primary: i.Primary}
		for _, s := range i.Subnets {
			xi.Subnets = append(xi.Subnets, s.element())
		}
		doc.Interfaces = append(doc.Interfaces, xi)
	}
	text, err := xml.Marshal(doc)
	if err != nil {
		// Only strings and booleans are marshalled; those cannot fail.
		panic("ipamtest: marshal host agent document: " + err.Error())
	}
	return string(text)
}

func (s Subnet) element() xmlSubnet {
	xs := xmlSubnet{Prefix: s.Prefix.String()}
	if s.Primary.IsValid() {
		xs.Addresses = append(xs.Addresses, xmlAddress{s.Primary.String(), true})
	}
	for _, a := range s.Secondary {
		xs.Addresses = append(xs.Addresses, xmlAddress{a.String(), false})
	}
	return xs
}

// formatMAC writes a MAC as the agent does: upper case, no separators.
func formatMAC(mac net.HardwareAddr) string {
	if mac == nil {
		return "*"
	}
	return strings.ToUpper(hex.EncodeToString(mac))
}
