package ipam

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/store"
	"github.com/google/go-cmp/cmp"
)

// classicNodes are the state files of the classic plugin (testdata/classic, as they were found), with the addresses
// of pod0, pod1 and pod2.
var classicNodes = []struct {
	dir     string
	pods    [3]string
	records bool // the address records name the container
}{
	{"v1.0.33/bridge", [3]string{"10.240.0.5", "10.240.0.117", "10.240.0.15"}, false},
	{"v1.0.33/transparent", [3]string{"10.240.0.42", "10.240.0.104", "10.240.0.138"}, false},
	{"v1.4.59/bridge", [3]string{"10.240.0.39", "10.240.0.125", "10.240.0.241"}, true},
	{"v1.4.59/transparent", [3]string{"10.240.0.28", "10.240.0.224", "10.240.0.81"}, true},
	{"v1.4.59/tunnel", [3]string{"10.240.0.34", "10.240.0.160", "10.240.0.119"}, true},
	{"v1.6.48/bridge", [3]string{"10.240.0.20", "10.240.0.104", "10.240.0.164"}, true},
	{"v1.6.48/transparent", [3]string{"10.240.0.175", "10.240.0.204", "10.240.0.45"}, true},
}

func classicID(pod int) string {
	return "pod" + string(rune('0'+pod)) + "-" + strings.Repeat("f0", 14)
}

const classicMAC = "00:0d:3a:11:22:33"

func classicFile(t testing.TB, dir, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "classic", dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// holders are all reservations by address.
func holders(s *AddressSpace) map[string]Owner {
	held := map[string]Owner{}
	for _, p := range s.Pools {
		for _, r := range p.Reservations {
			held[r.Address.String()] = r.Owner
		}
	}
	return held
}

func importClassic(t *testing.T, dir string, withNetworks bool) *State {
	t.Helper()
	owners := map[netip.Addr]Owner{}
	if withNetworks {
		owners = AttachmentOwners(classicFile(t, dir, "azure-vnet.json"))
	}
	s := &State{}
	if err := ImportClassic(classicFile(t, dir, "azure-vnet-ipam.json"), s, owners, testTime); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestClassicStateWithNetworksGivesEachAddressItsOwner(t *testing.T) {
	t.Parallel()
	for _, node := range classicNodes {
		t.Run(node.dir, func(t *testing.T) {
			t.Parallel()
			s := importClassic(t, node.dir, true)
			want := map[string]Owner{}
			for i, a := range node.pods {
				want[a] = Owner{"azure", classicID(i), "eth0"} // whatever name the record has for the interface
			}
			if d := cmp.Diff(want, holders(&s.AddressSpace)); d != "" {
				t.Errorf("holders (-want +got):\n%s", d)
			}
			if len(s.Pools) != 1 || s.Pools[0].Capacity() != 255 || s.Pools[0].Available() != 252 || s.Pools[0].Interface != "eth0" {
				t.Errorf("pools %+v", s.Pools)
			}
			freed := s.Release(Owner{"azure", classicID(1), "eth0"})
			if want := addrs(t, node.pods[1]); !slices.Equal(freed, want) {
				t.Errorf("DEL of pod1 frees %v instead of %v", freed, want)
			}
		})
	}
}

func TestClassicStateWithoutNetworksKeepsUsedAddressesUsed(t *testing.T) {
	t.Parallel()
	for _, node := range classicNodes {
		t.Run(node.dir, func(t *testing.T) {
			t.Parallel()
			s := importClassic(t, node.dir, false)
			want := map[string]Owner{}
			for i, a := range node.pods {
				want[a] = Owner{}
				if node.records {
					want[a] = Owner{ContainerID: classicID(i)}
				}
			}
			if d := cmp.Diff(want, holders(&s.AddressSpace)); d != "" {
				t.Errorf("holders (-want +got):\n%s", d)
			}
			var none []netip.Addr
			byOwner := addrs(t, node.pods[0])
			if !node.records {
				byOwner = none
			}
			if freed := s.Release(Owner{"azure", classicID(0), "eth0"}); !slices.Equal(freed, byOwner) {
				t.Errorf("DEL of pod0 frees %v instead of %v", freed, byOwner)
			}
			for _, id := range []string{"stranger", ""} {
				if freed := s.Release(Owner{"azure", id, "eth0"}); len(freed) > 0 {
					t.Errorf("DEL of %q frees %v", id, freed)
				}
			}
			if freed := s.ReleaseUnowned(addr(node.pods[1])); !slices.Equal(freed, addrs(t, node.pods[1])) {
				t.Errorf("the classic DEL frees %v", freed)
			}
			if freed := s.Sweep(map[netip.Addr]Owner{addr(node.pods[2]): {}}, nil); slices.Contains(freed, addr(node.pods[2])) {
				t.Error("an address in use is swept")
			}
			if freed := s.Sweep(nil, nil); !slices.Equal(freed, addrs(t, node.pods[2])) {
				t.Errorf("the sweep frees %v", freed)
			}
		})
	}
}

// The pool of the classic file has no MAC: the source's first answer completes it and does not make a second one.
func TestImportedPoolIsTheSourcesPool(t *testing.T) {
	t.Parallel()
	s := importClassic(t, "v1.6.48/bridge", true)
	nic := iface("eth0", classicMAC)
	bridge := iface("azure0", classicMAC)
	bridge.Kind = "bridge"
	s.Refresh([]source.Subnet{{MAC: classicMAC, Primary: true, Prefix: prefix("10.240.0.0/16"),
		Addresses: addrs(t, "10.240.0.5", "10.240.0.20", "10.240.0.104", "10.240.0.164")}},
		hostOf(loopback(), nic, bridge))
	if len(s.Pools) != 1 || s.Pools[0].MAC != classicMAC || s.Pools[0].Available() != 1 {
		t.Errorf("pools %s", dump(t, s))
	}
	if want := (PoolID{classicMAC, prefix("10.240.0.0/16")}); s.Bindings["azure"].IPv4 != want {
		t.Errorf("the imported network is bound to %v instead of %v", s.Bindings["azure"].IPv4, want)
	}
}

// A network that lives already keeps its NIC, though a secondary NIC would be preferred.
func TestImportedNetworkStaysOnItsNIC(t *testing.T) {
	t.Parallel()
	s := importClassic(t, "v1.4.59/bridge", true)
	s.Refresh([]source.Subnet{
		{MAC: classicMAC, Primary: true, Prefix: prefix("10.240.0.0/16"), Addresses: addrs(t, "10.240.0.5", "10.240.0.39")},
		{MAC: macs[0], Prefix: prefix("10.241.0.0/16"), Addresses: addrs(t, "10.241.0.5")},
	}, hostOf(loopback(), iface("eth0", classicMAC), iface("eth1", macs[0])))
	got, err := s.Allocate(Request{Owner: Owner{"azure", "new", "eth0"}}, testTime)
	if err != nil || got.Address != addr("10.240.0.5") {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Of an imported address only the container may be known. It is not given to another attachment of it.
func TestImportedAddressOfAContainerIsNotGivenToItsSecondInterface(t *testing.T) {
	t.Parallel()
	s := importClassic(t, "v1.4.59/bridge", false)
	for _, ifName := range []string{"net1", "eth0"} {
		got, err := s.Allocate(Request{Owner: Owner{"azure", classicID(0), ifName}}, testTime)
		if err != nil || got.Address == addr("10.240.0.39") {
			t.Errorf("%s gets %+v, %v", ifName, got, err)
		}
	}
}

func TestImportIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	first := dump(t, importClassic(t, "v1.6.48/bridge", true))
	for range 10 {
		if again := dump(t, importClassic(t, "v1.6.48/bridge", true)); again != first {
			t.Fatalf("%s\n%s", first, again)
		}
	}
}

func TestImportRefusesWhatIsNotTheClassicPlugins(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{``, `null`, `{}`, `[]`, `{"IPAM":null}`, `{"IPAM":{}}`, `{"IPAM":{"AddressSpaces":7}}`,
		`{"Network":{"ExternalInterfaces":{}}}`, `{"IPAM":{"AddressSpaces":{"local":{"Pools":{"web":{}}}}}}`} {
		if err := ImportClassic([]byte(raw), &State{}, nil, testTime); err == nil {
			t.Errorf("%s is imported", raw)
		}
	}
}

func TestImportKeepsAnAddressThatIsListedTwiceOnce(t *testing.T) {
	t.Parallel()
	raw := `{"IPAM":{"AddressSpaces":{"local":{"Pools":{
		"10.240.0.0/16":{"IfName":"eth0","Addresses":{"10.240.0.5":{"InUse":true,"ID":"a"},"10.250.0.1":{"InUse":true},"x":{"InUse":true}}},
		"10.240.0.0/24":{"IfName":"eth0","Addresses":{"10.240.0.5":{"InUse":true,"ID":"a"},"10.240.0.6":{}}},
		"10.240.0.1/16":{"IfName":"eth0","Addresses":{"10.240.0.5":{"InUse":true,"ID":"a"}}},
		"fd00::/64":{"IfName":"eth0","Addresses":{"fd00::5":{"InUse":true},"fd00:0::5":{"InUse":true}}}}}}}}`
	var s State
	if err := ImportClassic([]byte(raw), &s, nil, testTime); err != nil {
		t.Fatal(err)
	}
	sound(t, &s.AddressSpace)
	if got := holders(&s.AddressSpace); len(got) != 2 {
		t.Errorf("holders %v", got)
	}
}

func TestOwnersFromTheStateOfAzureVnet(t *testing.T) {
	t.Parallel()
	ours := `{"schema":3,"data":{"networks":{"azure":{}}},"records":[{"network":"azure","containerID":"c1","ifName":"eth0","addresses":["10.240.0.7/16","fd00::7/64"]},{"network":"azure","containerID":"c2","ifName":"eth0","addresses":["x"]}]}`
	schema2 := `{"schema":2,"data":{"networks":{"azure":{}}},"rows":"crc32=00000000 azure/c1/eth0/azv1/7/ready/{'addresses':['10.240.0.7/16','fd00::7/64']} azure/c2/eth0/azv2/0/ready/{"}`
	classic := `{"Network":{"ExternalInterfaces":{"eth0":{"Networks":{"azure":{"Endpoints":{
		"0123456-eth0":{"ContainerID":"0123456","IfName":"azv1","IPAddresses":[{"IP":"10.240.0.8"}]},
		"01234567-net1":{"ContainerID":"0123456789","IfName":"azv1","IPAddresses":[{"IP":"10.240.0.9"},{"IP":"::ffff:10.240.0.10"}]},
		"other":{"ContainerID":"abc","IfName":"azv2","IPAddresses":[{"IP":"10.240.0.11"},{"IP":""}]},
		"nobody-eth0":{"ContainerID":"","IfName":"eth0","IPAddresses":[{"IP":"10.240.0.12"}]}}}}}}}}`
	for _, c := range []struct {
		name, raw string
		want      map[netip.Addr]Owner
	}{
		{"ours", ours, map[netip.Addr]Owner{addr("10.240.0.7"): {"azure", "c1", "eth0"}, addr("fd00::7"): {"azure", "c1", "eth0"}}},
		{"ours of schema 2", schema2, map[netip.Addr]Owner{addr("10.240.0.7"): {"azure", "c1", "eth0"},
			addr("fd00::7"): {"azure", "c1", "eth0"}}},
		{"classic", classic, map[netip.Addr]Owner{
			addr("10.240.0.8"): {"azure", "0123456", "eth0"}, addr("10.240.0.9"): {"azure", "0123456789", "net1"},
			addr("10.240.0.10"): {"azure", "0123456789", "net1"}, addr("10.240.0.11"): {"azure", "abc", "azv2"}}},
		{"neither", `{"a":1}`, map[netip.Addr]Owner{}},
		{"damaged", ours[:40], map[netip.Addr]Owner{}},
		{"empty", ``, map[netip.Addr]Owner{}},
	} {
		if d := cmp.Diff(c.want, AttachmentOwners([]byte(c.raw)), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// dump is a value as the state file has it.
func dump(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if list, has := v.(store.Records); has {
		b = append(append(b, '\n'), recordsOf(list)...)
	}
	return string(b)
}

// A call of the classic plugin that came too late writes the file as it was before ours, with the address that it gave.
func TestAddressesOfALateCallOfTheClassicPluginAreReserved(t *testing.T) {
	t.Parallel()
	for _, node := range classicNodes {
		t.Run(node.dir, func(t *testing.T) {
			former, late, s := importClassic(t, node.dir, true), importClassic(t, node.dir, true), importClassic(t, node.dir, true)
			want := holders(&s.AddressSpace)
			// One was given back since then, one was given by us, and one by the call.
			gone := Owner{Network: "azure", ContainerID: classicID(0), IfName: "eth0"}
			if freed := s.Release(gone); len(freed) != 1 {
				t.Fatalf("freed %v", freed)
			}
			delete(want, node.pods[0])
			ours, err := s.Allocate(Request{Owner: Owner{Network: "azure", ContainerID: "ours", IfName: "eth0"}}, testTime)
			if err != nil {
				t.Fatal(err)
			}
			want[ours.Address.String()] = Owner{Network: "azure", ContainerID: "ours", IfName: "eth0"}
			given, err := late.Allocate(Request{Owner: Owner{ContainerID: "call"}, Address: another(late, ours.Address)}, testTime)
			if err != nil {
				t.Fatal(err)
			}
			want[given.Address.String()] = Owner{ContainerID: "call"}
			s.MergeLate(late, former, testTime)
			if diff := cmp.Diff(want, holders(&s.AddressSpace)); diff != "" {
				t.Errorf("holders (-want +got):\n%s", diff)
			}
		})
	}
}

// another is an address that nobody holds, and that is not the given one.
func another(s *State, not netip.Addr) netip.Addr {
	held := holders(&s.AddressSpace)
	for a := range s.Pools[0].Listed.all {
		if _, is := held[a.String()]; !is && a != not {
			return a
		}
	}
	return netip.Addr{}
}
