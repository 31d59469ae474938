// Package network has what there shall be of networks and endpoints (State), and what makes a host look so (Dataplane,
// one for each operating system).
package network

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1" // the name that Calico computes, and no secret
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/resolved"
)

// Mode is how pods are connected to the VNET (docs/network.md).
type Mode string

// The modes. Tunnel is the default.
const (
	ModeTunnel      Mode = azure.ModeTunnel
	ModeBridge      Mode = azure.ModeBridge
	ModeTransparent Mode = azure.ModeTransparent
)

// Routed says whether the host routes to each pod, and there is no bridge.
func (m Mode) Routed() bool { return m == ModeTransparent }

// ParseMode reads a mode or one of its aliases; empty is the default.
func ParseMode(s string) (Mode, error) {
	mode, known := azure.ModeOf(s)
	if !known {
		return "", fmt.Errorf("%w: mode %q", ErrUnsupported, s)
	}
	return Mode(mode), nil
}

// Owner is one attachment: what every endpoint belongs to.
type Owner struct {
	Network     string `json:"network"`
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifName"`
}

// String is network/container/interface. Neither part can hold a slash (CNI specification, parameters), so
// ParseOwner can read it back from a host veth's alias or an nftables comment.
func (o Owner) String() string { return o.Network + "/" + o.ContainerID + "/" + o.IfName }

// ParseOwner reads what String wrote.
func ParseOwner(s string) (Owner, bool) {
	p := strings.Split(s, "/")
	if len(p) != 3 || p[0] == "" || p[1] == "" || p[2] == "" {
		return Owner{}, false
	}
	return Owner{p[0], p[1], p[2]}, true
}

// named says whether the owner can be read back from its string.
func (o Owner) named() bool {
	for _, part := range []string{o.Network, o.ContainerID, o.IfName} {
		if part == "" || strings.IndexByte(part, '/') >= 0 {
			return false
		}
	}
	return true
}

// Key is container/interface: what an endpoint is known by in its network.
func (o Owner) Key() string { return o.ContainerID + "/" + o.IfName }

// HostIfName is the name of the owner's host veth, unless it has its pod's (PodIfName): "azv" and 11 hex digits, so
// that DEL finds it without any state (docs/network.md).
func (o Owner) HostIfName() string {
	sum := sha256.Sum256([]byte(o.String()))
	return azure.HostVethPrefix + hex.EncodeToString(sum[:])[:11]
}

// Route is a route in a pod. 0 leaves the rest to the kernel; but the metric says if another interface of the pod has
// the same route already.
type Route struct {
	Dst    netip.Prefix `json:"dst"`
	GW     netip.Addr   `json:"gw,omitzero"`
	Metric int          `json:"metric,omitempty"`
	MTU    int          `json:"mtu,omitempty"`    // bytes
	AdvMSS int          `json:"advmss,omitempty"` // bytes
	Table  int          `json:"table,omitempty"`  // 0: main
	Scope  int          `json:"scope,omitempty"`  // RT_SCOPE_…
}

// Network is one configured network on this host.
type Network struct {
	Name   string `json:"name"`
	Mode   Mode   `json:"mode"`
	Master string `json:"master"`
	Bridge string `json:"bridge,omitempty"`
	Settings
	Observed
	// Giver is who gave the pods' addresses, as the caller has to know to give them back; nil if that goes without saying.
	Giver     json.RawMessage `json:"giver,omitempty"`
	Prefixes  []netip.Prefix  `json:"prefixes"`
	Created   time.Time       `json:"created"`
	Endpoints Endpoints       `json:"-"` // the records of the state

	// Unsearched says that nobody has looked yet whether the host has pods of the network: it is new to the state.
	Unsearched bool `json:"unsearched,omitempty"`

	// HNS is what the configuration says to HNS, on Windows.
	HNS *HNSConfig `json:"-"`

	// Carried are the endpoints that the network's interface carries, of this network and of others, for a repair.
	Carried []Endpoints `json:"-"`

	// Current is the network as the state has it by now, for who has waited for a lock: Carried and Imported may be
	// others. It is nil if nobody can change them.
	Current func(ctx context.Context) (*Network, error) `json:"-"`

	// Others are the interfaces of other networks: their masters, or the bridges that have their configuration.
	Others []string `json:"-"`

	// Other is another NIC of the host, as the last EnsureNetwork found it; "" if there is none.
	Other string `json:"-"`

	// Suspect says that something of the network is known to be broken, so that a quick look is not enough.
	Suspect bool `json:"-"`

	// Former are the bridges that this network had under another configuration: the next ADD takes them away.
	Former []Former `json:"former,omitempty"`
}

// Observed is what the data plane saw of the host when it made or looked at a network. The record keeps it: the next
// call compares, and a repair, or the way back, needs it.
type Observed struct {
	MAC     string            `json:"mac,omitempty"`     // the master's
	MTU     int               `json:"mtu,omitempty"`     // the master's
	Family  string            `json:"rules,omitempty"`   // the family of nftables that the kernel has for its bridge
	Sysctls map[string]string `json:"sysctls,omitempty"` // as they were before us, by path (net/ipv4/ip_forward)

	// Imported says that another plugin made the network: its endpoints are not in our form yet.
	Imported bool `json:"imported,omitempty"`

	// Snapshot is what the host has on the bridge (netlink.Snapshot): who deletes the bridge takes all that from the host,
	// and the next ADD brings it back.
	Snapshot []byte `json:"host,omitempty"`

	// DNS is what systemd-resolved was told for the master, when the bridge was made.
	DNS resolved.Settings `json:"dns,omitempty"`

	// HNSID is the network's ID in HNS, on Windows.
	HNSID string `json:"hnsID,omitempty"`
}

// Equal says whether both are the same; what is empty and what is not there are.
func (o Observed) Equal(p Observed) bool {
	a, b := o, p
	if !bytes.Equal(a.Snapshot, b.Snapshot) || !maps.Equal(a.Sysctls, b.Sysctls) || !maps.EqualFunc(a.DNS, b.DNS,
		slices.Equal) {
		return false
	}
	a.Snapshot, a.Sysctls, a.DNS, b.Snapshot, b.Sysctls, b.DNS = nil, nil, nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

// Settings are what a network's pods may do, and where the host helps them. Networks on one bridge share them.
type Settings struct {
	AntiSpoof         bool           `json:"antiSpoof"`
	AllowHostAgent    bool           `json:"hostAgent,omitempty"`     // pods may reach the host agent's control ports
	IPsToRouteViaHost []netip.Prefix `json:"viaHost,omitempty"`       // what the host's own stack shall handle
	IPMasq            bool           `json:"masquerade,omitempty"`    // what leaves the VNET has the host's address
	VnetCIDRs         []netip.Prefix `json:"vnet,omitempty"`          // the VNET; the pods' subnets belong to it anyway
	AcceptForward     bool           `json:"acceptForward,omitempty"` // the host's firewall shall let pods' traffic pass
}

// Former is a bridge that is to be taken away, and its master; or without a bridge the rules for the master.
type Former struct {
	Master string `json:"master"`
	Bridge string `json:"bridge"`
	Family string `json:"rules,omitempty"`
}

// State of an endpoint.
const (
	Pending = "pending" // intended; the host may have all, some or nothing of it
	Ready   = "ready"
)

// Endpoint is one pod's connection to a network.
type Endpoint struct {
	Owner
	State        string         `json:"state"`
	PodNamespace string         `json:"podNamespace,omitempty"`
	PodName      string         `json:"podName,omitempty"`
	NetNS        string         `json:"netns,omitempty"`
	HostIfName   string         `json:"hostIfName"`
	HostIfIndex  int            `json:"hostIfIndex,omitempty"` // 0: not known
	HostMAC      string         `json:"hostMAC,omitempty"`
	MAC          string         `json:"mac"`
	MTU          int            `json:"mtu,omitempty"`
	Addresses    []netip.Prefix `json:"addresses"`
	Gateways     []netip.Addr   `json:"gateways,omitempty"` // named beside the routes, where the pod has others
	Further      []netip.Prefix `json:"-"`                  // addresses that other plugins gave the interface
	Routes       []Route        `json:"routes,omitempty"`
	Created      time.Time      `json:"created"`

	// HNS is what it has on Windows only.
	HNS *HNSEndpoint `json:"hns,omitempty"`

	// Rebuilt says that the record was lost, and made again from what the host shows.
	Rebuilt bool `json:"rebuilt,omitempty"`
}

// State is what azure-vnet.json holds.
type State struct {
	Networks map[string]*Network `json:"networks"`
}

// CarriedWith lists the networks on n's interface, which share what the host has for it.
func (s *State) CarriedWith(n *Network) (list []*Network) {
	for _, other := range s.Networks {
		if other.Master == n.Master && other.Bridge == n.Bridge && (n.Bridge != "" || other.Mode == n.Mode) {
			list = append(list, other)
		}
	}
	return list
}

// ViewOf is a copy of a network's record for the data plane, with what it needs of others.
func (s *State) ViewOf(record *Network) *Network {
	n := *record
	n.Endpoints, n.Former = Endpoints{}, slices.Clone(record.Former)
	for _, other := range s.CarriedWith(record) {
		n.Carried = append(n.Carried, other.Endpoints)
		n.Imported = n.Imported || other.Imported
		if n.Snapshot == nil {
			n.Snapshot, n.DNS = other.Snapshot, other.DNS
		}
	}
	for _, other := range s.Networks {
		if other.Master != record.Master && other.Master != "" {
			n.Others = append(n.Others, cmp.Or(other.Bridge, other.Master))
		}
	}
	return &n
}

// Attached are the endpoints in Carried, but for those that have nothing yet.
func (n *Network) Attached() iter.Seq[*Endpoint] {
	return func(yield func(*Endpoint) bool) {
		for i := range n.Carried {
			for e := range n.Carried[i].All() {
				if !e.Announced() && !yield(e) {
					return
				}
			}
		}
	}
}

// Knows says whether an endpoint in Carried has that host veth, or is about to get it.
func (n *Network) Knows(hostIfName string) bool {
	for i := range n.Carried {
		for e := range n.Carried[i].All() {
			if e.HostIfName == hostIfName {
				return true
			}
		}
	}
	return false
}

// Endpoint is a copy of the owner's endpoint, with its network; nil if there is none.
func (s *State) Endpoint(o Owner) (*Network, *Endpoint) {
	n := s.Networks[o.Network]
	if n == nil {
		return nil, nil
	}
	return n, n.Endpoints.Get(o.Key())
}

// MACOf derives a pod's MAC from its first IPv4 address: 0a:58 and the four bytes, as containernetworking's
// plugins do. An entry for an address that somebody kept (a peer's ARP cache, an element that a crash left
// behind) therefore stays right when the address is given to another pod. Pods without IPv4 get a hash.
func MACOf(addrs []netip.Prefix) net.HardwareAddr {
	for _, a := range addrs {
		if a.Addr().Is4() {
			b := a.Addr().As4()
			return slices.Concat(azure.PodMACPrefix, b[:])
		}
	}
	h := sha256.New()
	for _, a := range addrs {
		h.Write(a.Addr().AsSlice())
	}
	return slices.Concat(azure.PodMACPrefix, h.Sum(nil)[:4])
}

// HasIPv6 says whether the pods have addresses of IPv6.
func (n *Network) HasIPv6() bool {
	return slices.ContainsFunc(n.Prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() })
}

// Made says that the network has been there once: its rules and, if it has one, its bridge shall be there.
func (n *Network) Made() bool { return n.MAC != "" }

// Remember notes how settings of the host were before us; what is known already was earlier.
func (n *Network) Remember(sysctls map[string]string) {
	for path, was := range sysctls {
		if _, known := n.Sysctls[path]; known {
			continue
		}
		if n.Sysctls == nil {
			n.Sysctls = map[string]string{}
		}
		n.Sysctls[path] = was
	}
}

// Announced says that nothing has been done for the endpoint yet.
func (e *Endpoint) Announced() bool { return e.State == Pending && len(e.Addresses) == 0 }

// PodIfName is the host veth's name by which Calico looks for a pod's interface where it only enforces policies
// (FELIX_INTERFACEPREFIX=azv): "azv" and the first 11 hex digits of SHA-1("namespace.pod"). The classic plugin has it,
// too. It is "" where the host does not route to the pod, for a pod that is not Kubernetes', and for further
// interfaces: Calico knows one for each pod.
func (e *Endpoint) PodIfName(mode Mode) string {
	if !mode.Routed() || e.PodNamespace == "" || e.PodName == "" || e.IfName != "eth0" {
		return ""
	}
	sum := sha1.Sum([]byte(e.PodNamespace + "." + e.PodName))
	return azure.HostVethPrefix + hex.EncodeToString(sum[:])[:11]
}

// NextHops are those that the IPAM plugin named.
func (e *Endpoint) NextHops() []netip.Addr {
	list := slices.Clone(e.Gateways)
	for _, r := range e.Routes {
		list = append(list, r.GW)
	}
	return list
}

// Nameless says that it is not known which container the pod is.
func (o Owner) Nameless() bool { return strings.HasPrefix(o.ContainerID, platform.NamelessPrefix) }

// Learn takes into the record what a call has seen that knew less before, and into those of the other networks on the
// interface what they share.
func (s *State) Learn(record *Network, known Observed, made Ensured) {
	seen := record.Observed
	record.Observed = made.Observed
	record.Snapshot, record.DNS, record.Sysctls = seen.Snapshot, seen.DNS, seen.Sysctls
	record.Remember(made.Sysctls)
	for _, other := range s.CarriedWith(record) {
		other.Imported = made.Imported
		// Of several that look at a new bridge at once, only one knows what there was before. Others may be there first.
		if made.Moved || other.Snapshot == nil || bytes.Equal(other.Snapshot, known.Snapshot) {
			other.Snapshot, other.DNS = made.Snapshot, made.DNS
		}
	}
}

// Shares says whether a network of the state uses the bridge, or without one the master's rules.
func (s *State) Shares(f Former) bool {
	for _, n := range s.Networks {
		if n.Bridge == f.Bridge && (f.Bridge != "" || n.Mode.Routed() && n.Master == f.Master) {
			return true
		}
	}
	return false
}
