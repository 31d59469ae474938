// Package azure has what others fix and we go by, each of it once: what Azure's network, its host agent and the classic
// plugin call their things, and which numbers they have. Every package may import it, and it imports none.
package azure

import (
	"net"
	"net/netip"
)

// FabricMAC is the MAC under which Azure's network answers for everything, and from which everything comes:
// 12:34:56:78:9a:bc (docs/network.md).
var FabricMAC = net.HardwareAddr{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc}

// PodMACPrefix begins the MACs that we derive from addresses, as containernetworking's plugins do
// (plugins/pkg/utils/hwaddr), and nobody else's in Azure's network.
var PodMACPrefix = net.HardwareAddr{0x0a, 0x58}

// What Azure's network has under the same address in every VNET.
var (
	// HostAgent answers every VM (learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16). DNS is on
	// port 53.
	HostAgent = netip.AddrFrom4([4]byte{168, 63, 129, 16})
	// Router6 is the IPv6 router of every subnet: Azure gives it no address of the subnet, as it does for IPv4.
	Router6 = netip.MustParseAddr("fe80::1234:5678:9abc")
)

// HostAgentPorts are those that pods have no business with, since the machine's credentials are to be had there: 80 is
// the wire server's, 32526 the guest agent's.
var HostAgentPorts = []uint16{80, 32526}

// HostAgentURL is where the host agent lists the VM's interfaces (docs/ipam.md).
const HostAgentURL = "http://168.63.129.16/machine/plugins?comp=nmagent&type=getinterfaceinfov1"

// Where addresses come from ("environment" of the IPAM plugin), in the classic plugin's words.
const (
	EnvironmentAzure = "azure" // the host agent
	EnvironmentStack = "mas"   // a file, on Azure Stack
)

// How the names of the host's interfaces begin, by the classic plugin and so by us. Network policies know the first one
// (Calico's FELIX_INTERFACEPREFIX=azv).
const (
	HostVethPrefix = "azv" // of each pod's
	BridgePrefix   = "azure"
)

// The modes of a network (docs/network.md).
const (
	ModeTunnel      = "tunnel"      // every frame of a pod goes through the fabric
	ModeBridge      = "bridge"      // pods of one VM are switched locally
	ModeTransparent = "transparent" // a route to each pod, no bridge
)

// ModeOf is the mode of a name: its own, or one that the classic plugin takes on Linux or Windows. Tunnel is the
// default.
func ModeOf(name string) (mode string, known bool) {
	switch name {
	case "", ModeTunnel, "l2-tunnel", "l2tunnel":
		return ModeTunnel, true
	case ModeBridge, "l2-bridge", "l2bridge":
		return ModeBridge, true
	case ModeTransparent:
		return ModeTransparent, true
	}
	return "", false
}
