// Package platform answers what the plugins ask of the operating system: which boot this is, where files belong by
// default, which network interfaces there are, and, on Linux, what a sysctl says.
//
// On Linux the answers about interfaces and sysctls are those of the network namespace of the calling thread. A caller
// that changed namespace must have locked its goroutine to the thread.
package platform

import (
	"net"
	"net/netip"
)

// Interface is a network interface of the host.
type Interface struct {
	Index    int
	Name     string
	MAC      net.HardwareAddr // nil if there is none, or only zeros (loopback)
	MTU      int              // bytes
	Up       bool             // administratively
	Loopback bool
	Kind     string // rtnetlink's kind of a virtual device: bridge, veth, macvlan, bond …; "" for hardware, and on Windows
	Master   int    // index of the device that this one is a port of; 0 if none
	// Slave says that another device speaks for this one, so that addresses and MAC belong to that other: it has IFF_SLAVE
	// set, or its master is not a bridge. The virtual function of an Azure NIC is a slave of the synthetic NIC, and has
	// the same MAC.
	Slave    bool
	Alias    string // ifalias
	Prefixes []netip.Prefix
}
