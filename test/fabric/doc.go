// Package fabric simulates the Azure virtual network in Linux network
// namespaces, strictly enough that a plugin which works here works there.
//
// A [Fabric] is a kernel router with one port per virtual NIC. It enforces
// what docs/network.md says of the real one: it takes only frames, ARP
// senders and IP sources that the NIC owns, answers every ARP request with
// [VirtualMAC] except one for the asking VM's own primary address, routes by
// destination address (so that ttl 63 proves a packet went through it, also
// between two addresses of one VM), delivers only to addresses that a NIC
// owns, and never asks by itself. What it drops it counts, see [Counters].
// The host agent and the DNS of [HostAgent] answer each VM.
//
// A [VM] is a namespace with eth0 and the node's usual settings; pods are
// further, empty namespaces. Every namespace is held by nothing but a file
// descriptor of this process, so whatever way the process ends, all of it is
// gone. Nothing here touches the namespace that the process runs in.
//
// A VM's eth0 is a macvlan in passthru mode over one end of a veth pair whose
// other end is the fabric's port. A plain veth would do for the frames, but
// the plugins rightly take a veth for a pod's interface and would never pick
// it as the master.
//
// The package needs root and Linux with netdev ingress hooks of nftables. Without
// egress hooks (5.16) it does not count what it asks itself, and without
// CONFIG_NFT_DUP_NETDEV a process answers ARP, not the kernel. Commands started inside a namespace see the /sys of the
// machine, because they stay in its mount namespace.
package fabric
