// Package networktest is a host in memory, for tests of manager.Manager and of those who use it. A Host keeps bridges,
// host veths and map elements as plain data and renders them as text; a Process drives it as a network.Dataplane, fails
// where a test wants it to, or is killed there.
package networktest

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/Azure/azure-container-networking/network"
)

// MTU of the host's NICs.
const MTU = 1500

// macs are the NICs.
var macs = map[string]string{"eth0": "00:0d:3a:00:00:01", "eth1": "00:0d:3a:00:00:02"}

// Host is a host with the NICs eth0 and eth1. Its fields are set before it is used.
type Host struct {
	// Kernel is what Status answers.
	Kernel error

	mu         sync.Mutex // guards what follows
	ipForward  bool
	bridges    map[string]bridge
	veths      map[string]veth            // by the name of the host end
	elements   map[netip.Addr]element     // one map for all bridges: addresses are unique in a VNET
	neighbours map[netip.Addr]string      // the bridge, which is all that a neighbour names
	pods       map[string]map[string]bool // network namespace → its interfaces
}

type bridge struct {
	master               string
	mode                 network.Mode
	antiSpoof, hostAgent bool
}

type veth struct {
	bridge string
	pod    network.Endpoint
}

type element struct {
	bridge, mac, port string
	owner             network.Owner
}

// New makes a host with pods that have the given network namespaces.
func New(namespaces ...string) *Host {
	h := &Host{bridges: map[string]bridge{}, veths: map[string]veth{}, elements: map[netip.Addr]element{},
		neighbours: map[netip.Addr]string{}, pods: map[string]map[string]bool{}}
	for _, ns := range namespaces {
		h.pods[ns] = map[string]bool{}
	}
	return h
}

// EndPod takes the namespace away, and with it both ends of its veths, as the kernel does when the last process of a
// pod ends.
func (h *Host) EndPod(namespace string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pods, namespace)
	maps.DeleteFunc(h.veths, func(_ string, v veth) bool { return v.pod.NetNS == namespace })
}

// Lose takes away what the rules know of an address, as somebody does who flushes them.
func (h *Host) Lose(a netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.elements, a)
}

// String is the whole host as text: a bridge with what hangs on it, then what hangs nowhere.
func (h *Host) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	if h.ipForward {
		b.WriteString("ip_forward\n")
	}
	for _, name := range slices.Sorted(maps.Keys(h.bridges)) {
		br := h.bridges[name]
		fmt.Fprintf(&b, "bridge %s of %s: %s%s%s\n", name, br.master, br.mode, flag(br.antiSpoof, "anti-spoof"),
			flag(br.hostAgent, "host-agent"))
	}
	for _, name := range slices.Sorted(maps.Keys(h.veths)) {
		v := h.veths[name]
		fmt.Fprintf(&b, "veth %s on %s: %s of %s in %s, %s, mtu %d, %v", name, v.bridge, v.pod.IfName, v.pod.Owner,
			v.pod.NetNS, v.pod.MAC, v.pod.MTU, v.pod.Addresses)
		for _, r := range v.pod.Routes {
			fmt.Fprintf(&b, ", %s by %s", r.Dst, r.GW)
		}
		b.WriteString("\n")
	}
	for _, a := range slices.SortedFunc(maps.Keys(h.elements), netip.Addr.Compare) {
		e := h.elements[a]
		fmt.Fprintf(&b, "element of %s: %s is %s at %s, for %s\n", e.bridge, a, e.mac, e.port, e.owner)
	}
	for _, a := range slices.SortedFunc(maps.Keys(h.neighbours), netip.Addr.Compare) {
		if _, ok := h.elements[a]; !ok {
			fmt.Fprintf(&b, "neighbour %s on %s without an element\n", a, h.neighbours[a])
		}
	}
	return b.String()
}

func flag(on bool, name string) string {
	if on {
		return ", " + name
	}
	return ""
}

func (h *Host) change(effect func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return effect()
}

// The effects. They run under the lock.

const ipForward = "net/ipv4/ip_forward"

func (h *Host) forward(n *network.Network, seen *network.Ensured) error {
	if macs[n.Master] == "" {
		return fmt.Errorf("%w: there is no %s", network.ErrMaster, n.Master)
	}
	if !h.ipForward {
		seen.Sysctls = map[string]string{ipForward: "0"}
		seen.Reset = append(seen.Reset, "net.ipv4.ip_forward was 0")
	}
	h.ipForward = true
	return nil
}

// carried is what the host has on a bridge: a snapshot is good for that one only.
func carried(bridge string) []byte { return []byte("what the host has on " + bridge) }

func (h *Host) bridge(n *network.Network, seen *network.Ensured) error {
	for name, b := range h.bridges {
		if b.master == n.Master && name != n.Bridge {
			return fmt.Errorf("%w: %s is a port of %s", network.ErrConflict, n.Master, name)
		}
	}
	if n.Snapshot != nil && !bytes.Equal(n.Snapshot, carried(n.Bridge)) {
		return fmt.Errorf("%s is told %q", n.Bridge, n.Snapshot)
	}
	_, there := h.bridges[n.Bridge]
	h.bridges[n.Bridge] = bridge{n.Master, n.Mode, n.AntiSpoof, n.AllowHostAgent}
	seen.MAC, seen.MTU, seen.Family, seen.Snapshot, seen.Moved = macs[n.Master], MTU, "bridge", carried(n.Bridge), !there
	for i := range n.Carried {
		for e := range n.Carried[i].All() {
			if v, ok := h.veths[e.HostIfName]; ok && e.State == network.Ready {
				v.bridge = n.Bridge
				h.veths[e.HostIfName] = v
				_ = h.announce(n, e)
			}
		}
	}
	return nil
}

func (h *Host) unbridge(n *network.Network) error {
	if n.Snapshot != nil && !bytes.Equal(n.Snapshot, carried(n.Bridge)) {
		return fmt.Errorf("%s goes, and is told %q", n.Bridge, n.Snapshot)
	}
	delete(h.bridges, n.Bridge)
	maps.DeleteFunc(h.neighbours, func(_ netip.Addr, bridge string) bool { return bridge == n.Bridge })
	if n.Sysctls[ipForward] == "0" {
		h.ipForward = false
	}
	return nil
}

func (h *Host) free(e *network.Endpoint) error {
	pod := h.pods[e.NetNS]
	switch {
	case pod == nil:
		return fmt.Errorf("%w: there is no %s", network.ErrNetNS, e.NetNS)
	case pod[e.IfName]:
		return fmt.Errorf("%w: %s is in %s", network.ErrExists, e.IfName, e.NetNS)
	}
	return nil
}

func (h *Host) plug(n *network.Network, e *network.Endpoint) error {
	if _, ok := h.bridges[n.Bridge]; !ok {
		return fmt.Errorf("there is no bridge %s", n.Bridge)
	}
	if err := h.free(e); err != nil {
		return err
	}
	if _, taken := h.veths[e.HostIfName]; taken {
		return fmt.Errorf("%w: %s", network.ErrExists, e.HostIfName)
	}
	e.MTU = cmp.Or(e.MTU, MTU)
	e.HostMAC = "fe:00:00:00:00:01"
	h.veths[e.HostIfName] = veth{n.Bridge, *e}
	h.pods[e.NetNS][e.IfName] = true
	return nil
}

func (h *Host) announce(n *network.Network, e *network.Endpoint) error {
	for _, a := range e.Addresses {
		h.elements[a.Addr()] = element{n.Bridge, e.MAC, e.HostIfName, e.Owner}
		h.neighbours[a.Addr()] = n.Bridge
	}
	return nil
}

func (h *Host) unplug(e *network.Endpoint) error {
	if v, ok := h.veths[e.HostIfName]; ok {
		delete(h.veths, e.HostIfName)
		delete(h.pods[v.pod.NetNS], v.pod.IfName)
	}
	return nil
}

// withdraw believes the record if there is one; else the owner in the elements says what to delete.
func (h *Host) withdraw(n *network.Network, e *network.Endpoint) error {
	for a, el := range h.elements {
		known := n.Bridge != "" && el.bridge == n.Bridge && slices.ContainsFunc(e.Addresses,
			func(p netip.Prefix) bool { return p.Addr() == a })
		if known || n.Bridge == "" && el.owner == e.Owner {
			delete(h.elements, a)
			delete(h.neighbours, a)
		}
	}
	return nil
}

func (h *Host) compare(n *network.Network, e *network.Endpoint) error {
	v, ok := h.veths[e.HostIfName]
	if !ok || v.bridge != n.Bridge {
		return fmt.Errorf("%w: host veth %s is missing on %s", network.ErrDifference, e.HostIfName, n.Bridge)
	}
	for _, a := range e.Addresses {
		if el := h.elements[a.Addr()]; el.port != e.HostIfName || el.mac != e.MAC {
			return fmt.Errorf("%w: element %s is missing", network.ErrDifference, a.Addr())
		}
	}
	return nil
}

func (h *Host) owners(n *network.Network) []network.Owner {
	found := map[network.Owner]bool{}
	for _, v := range h.veths {
		found[v.pod.Owner] = true
	}
	for _, e := range h.elements {
		found[e.owner] = true
	}
	maps.DeleteFunc(found, func(o network.Owner, _ bool) bool { return o.Network != n.Name })
	return slices.SortedFunc(maps.Keys(found), func(a, b network.Owner) int { return cmp.Compare(a.String(), b.String()) })
}
