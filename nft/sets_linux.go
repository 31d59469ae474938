package nft

import (
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
)

// TableName is the name of our table, in each family that we use: "nft delete table bridge azure-vnet" removes it
// for bridges, "nft delete table inet azure-vnet" what the host's own stack does.
const TableName = "azure-vnet"

// Family is the family of nftables in which a network's pods are known.
type Family string

// The families.
const (
	FamilyBridge Family = "bridge" // what the bridge forwards
	FamilyNetdev Family = "netdev" // what each port receives, what the master sends: for kernels without the bridge family
	FamilyInet   Family = "inet"   // what the host routes: transparent mode
)

// families are in the order in which they are looked through.
var families = []Family{FamilyBridge, FamilyNetdev, FamilyInet}

// Scope is where a network's chains and sets live. Their names start with the bridge's, so bridges do not touch
// each other's; a network without a bridge (transparent mode) uses its master's name.
type Scope struct {
	Name   string
	Family Family
}

// Routed says that the host's own stack sees what pods send, and no bridge.
func (s Scope) Routed() bool { return s.Family == FamilyInet }

// families are those that the scope has chains and sets in: that of its pods, and that of the host's own stack.
func (s Scope) families() []Family {
	if s.Routed() {
		return []Family{s.Family}
	}
	return []Family{s.Family, FamilyInet}
}

func (s Scope) table() *nftables.Table { return s.Family.table() }

func (f Family) table() *nftables.Table {
	t := &nftables.Table{Family: nftables.TableFamilyBridge, Name: TableName}
	switch f {
	case FamilyNetdev:
		t.Family = nftables.TableFamilyNetdev
	case FamilyInet:
		t.Family = nftables.TableFamilyINet
	}
	return t
}

// The IDs of sets only have to differ within one transaction; without them google/nftables counts in a variable
// of the package that nothing guards.
const (
	idPods = iota + 1
	idHost
	idPorts
	idOwned
	idLocal
	idKnown
	perFamily = 10
)

func (s Scope) set(id uint32, name string, v6 bool, key4, key6 nftables.SetDatatype) *nftables.Set {
	set := &nftables.Set{Table: s.table(), ID: id, Name: s.Name + "-" + name + "4", KeyType: key4}
	if v6 {
		set.ID, set.Name, set.KeyType = id+perFamily, s.Name+"-"+name+"6", key6
	}
	return set
}

// pods are the addresses of pods; on a bridge a map that leads to their MACs.
func (s Scope) pods(v6 bool) *nftables.Set {
	set := s.set(idPods, "pods", v6, nftables.TypeIPAddr, nftables.TypeIP6Addr)
	if !s.Routed() {
		set.IsMap, set.DataType = true, nftables.TypeEtherAddr
	}
	return set
}

// host are the host's own addresses.
func (s Scope) host(v6 bool) *nftables.Set {
	return s.set(idHost, "host", v6, nftables.TypeIPAddr, nftables.TypeIP6Addr)
}

// owned holds what pods may send: (port, MAC, address).
func (s Scope) owned(v6 bool) *nftables.Set {
	// The types are constants, so their concatenation cannot fail.
	key4, _ := nftables.ConcatSetType(nftables.TypeIFName, nftables.TypeEtherAddr, nftables.TypeIPAddr)
	key6, _ := nftables.ConcatSetType(nftables.TypeIFName, nftables.TypeEtherAddr, nftables.TypeIP6Addr)
	set := s.set(idOwned, "owned", v6, key4, key6)
	set.Concatenation = true
	return set
}

// ports holds the host veths. Matching the bridge itself (meta ibrname) would need a kernel option that not
// every kernel has (CONFIG_NFT_BRIDGE_META).
func (s Scope) ports() *nftables.Set {
	return &nftables.Set{Table: s.table(), ID: idPorts, Name: s.Name + "-ports", KeyType: nftables.TypeIFName,
		KeyByteOrder: binaryutil.NativeEndian}
}

// local are the host's addresses on other interfaces than the bridge: what pods send there is for the host
// (services_linux.go).
func (s Scope) local(v6 bool) *nftables.Set {
	return s.set(idLocal, "local", v6, nftables.TypeIPAddr, nftables.TypeIP6Addr)
}

// known is what pods is, for the chains in the path of the host's own stack: sets of another table cannot be asked.
func (s Scope) known(v6 bool) *nftables.Set {
	if s.Routed() {
		return s.pods(v6)
	}
	set := Scope{s.Name, FamilyInet}.set(idKnown, "known", v6, nftables.TypeIPAddr, nftables.TypeIP6Addr)
	set.IsMap, set.DataType = true, nftables.TypeEtherAddr
	return set
}

// all are the sets of the scope.
func (s Scope) all() []*nftables.Set {
	list := []*nftables.Set{s.pods(false), s.pods(true), s.owned(false), s.owned(true), s.ports()}
	if !s.Routed() {
		list = append(list, s.host(false), s.host(true), s.local(false), s.local(true), s.known(false), s.known(true))
	}
	return list
}

// has says whether a set is one of the scope, or was one of an earlier version.
func (s Scope) has(set *nftables.Set) bool {
	name, ok := strings.CutPrefix(set.Name, s.Name+"-")
	return ok && slices.Contains([]string{"pods", "owned", "ports", "host", "local", "known", "devices"},
		strings.TrimRight(name, "46"))
}
