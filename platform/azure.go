package platform

import "net/netip"

// What Azure's network has under the same address in every VNET.
var (
	// HostAgent answers every VM (docs/ipam.md), and is the DNS server.
	HostAgent = netip.MustParseAddr("168.63.129.16")
	// Router6 is the IPv6 router of every subnet: Azure gives it no address of the subnet, as it does for IPv4.
	Router6 = netip.MustParseAddr("fe80::1234:5678:9abc")
)
