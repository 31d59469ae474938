package ipam

import "net/netip"

// Owner is who holds an address: one attachment of a container to a network.
type Owner struct {
	Network     string `json:"network"`
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifName"`
}

// String is network/container/interface, for messages.
func (o Owner) String() string { return o.Network + "/" + o.ContainerID + "/" + o.IfName }

// Unknown says that it is not, or not fully, known who holds the address: it was found in use (import.go).
func (o Owner) Unknown() bool { return o.Network == "" }

// Assigned is one address that was given, with all that a result needs.
type Assigned struct {
	Address   netip.Addr
	Prefix    netip.Prefix // of the pool
	Gateway   netip.Addr
	Interface string // the NIC's name on the host
}

// Request says which address is wanted. Zero fields leave the choice to us.
type Request struct {
	Owner
	Subnet  netip.Prefix // only from this pool
	Address netip.Addr   // this address
	Master  string       // only from this NIC
	IPv6    bool         // the family; IPv4 otherwise
	OnHost  HostAddrs    // never one of these

	Namespace uint64 // inode of the container's network namespace
}

// HostAddrs are addresses that the host has itself, each with the interface that has it: "eth0". What Azure assigned
// for containers may be among them, since there are programs that configure all that a NIC has. A container with such
// an address and the host would each take the other's packets.
type HostAddrs map[netip.Addr]string
