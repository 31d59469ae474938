package nft

import (
	"flag"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/lab"
	"github.com/google/nftables"
)

var update = flag.Bool("update", false, "write the golden files in testdata")

// rulesOf are the rules of a bridge as the tests start with them.
func rulesOf(bridge string, change ...func(*Rules)) Rules {
	r := Rules{Scope: Scope{bridge, FamilyBridge}, Master: "eth0", MAC: lab.MAC, Host: []netip.Prefix{lab.Prefix}, AntiSpoof: true}
	for _, c := range change {
		c(&r)
	}
	return r
}

func tunnelMode(r *Rules)        { r.Tunnel = true }
func withoutAntiSpoof(r *Rules)  { r.AntiSpoof = false }
func withHostAgentOpen(r *Rules) { r.HostAgent = true }

func withServices(r *Rules) {
	r.Masquerade, r.AcceptForward = true, true
	r.Local = lab.Prefixes("10.0.0.10/32", "fd00:10::1/128")
	r.VNET, r.ViaHost = lab.Prefixes("10.240.0.0/12", "fd00::/48"), lab.Prefixes("169.254.20.10/32", "10.0.0.0/16", "fd00:10::/112")
}
func withOtherNIC(r *Rules)  { r.Other = "eth1" }
func withNetdev(r *Rules)    { r.Family = FamilyNetdev }
func withoutBridge(r *Rules) { r.Scope = Scope{r.Master, FamilyInet} }

// elementsOf are what pods of the bridge have in the sets.
func elementsOf(bridge string) []Element {
	return []Element{
		{Scope: Scope{bridge, FamilyBridge}, Address: lab.PodPrefixes[0].Addr(), MAC: lab.PodMAC(lab.PodPrefixes[0]),
			Port: "azv0000000000a", Comment: "azure/c1/eth0"},
		{Scope: Scope{bridge, FamilyBridge}, Address: lab.PodPrefixes[1].Addr(), MAC: lab.PodMAC(lab.PodPrefixes[1]),
			Port: "azv0000000000b", Comment: "azure/c2/eth0"},
	}
}

func TestRulesAreThoseOfTheDocuments(t *testing.T) {
	t.Parallel()
	for file, change := range map[string][]func(*Rules){
		"tunnel.nft":          {tunnelMode},
		"bridge.nft":          nil,
		"no-anti-spoof.nft":   {withoutAntiSpoof},
		"host-agent-open.nft": {withHostAgentOpen},
		"two-addresses.nft": {withoutAntiSpoof, withHostAgentOpen, func(r *Rules) {
			r.Host = lab.Prefixes("10.240.0.4/16", "10.240.0.9/16", "192.168.7.1/24", "10.9.9.9/32", "fd00::4/64")
		}},
		"tunnel-all-open.nft":        {tunnelMode, withoutAntiSpoof, withHostAgentOpen},
		"tunnel-services.nft":        {tunnelMode, withoutAntiSpoof, withHostAgentOpen, withServices},
		"netdev-tunnel-services.nft": {tunnelMode, withServices, withNetdev},
		"transparent-services.nft":   {withoutAntiSpoof, withServices, withoutBridge},
		"transparent-two-nics.nft":   {withoutBridge, withOtherNIC},
		"tunnel-two-nics.nft":        {tunnelMode, withOtherNIC},
	} {
		t.Run(file, func(t *testing.T) {
			h := newHost(t)
			h.kernel(func(nft *Conn) {
				r := rulesOf("azure0", change...)
				elements := elementsOf("azure0")
				for i := range elements {
					elements[i].Scope = r.Scope
					if r.Family == FamilyNetdev {
						elements[i].Port = []string{"lo", "eth0"}[i] // devices that are there
					}
				}
				h.Must(nft.EnsureRules(r))
				h.Must(nft.AddElements(elements...))
			})
			got := h.NFT("-s list ruleset")
			golden := filepath.Join("testdata", file)
			if *update {
				h.Must(os.WriteFile(golden, []byte(got), 0o600))
			}
			want, err := os.ReadFile(golden)
			h.Must(err)
			h.Same("the kernel's rules, as nft shows them", got, string(want))
		})
	}
}

func TestRulesInPlaceSeesEveryChange(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		damage string         // done with nft
		want   func(r *Rules) // what is asked for afterwards
	}{
		"a chain was flushed":              {damage: "flush chain bridge azure-vnet azure0-to-fabric"},
		"another chain was flushed":        {damage: "flush chain bridge azure-vnet azure0-prerouting"},
		"one rule was deleted":             {damage: "delete rule bridge azure-vnet azure0-from-pod4 handle "},
		"one rule was added":               {damage: "insert rule bridge azure-vnet azure0-from-pod drop"},
		"the table was deleted":            {damage: "delete table bridge azure-vnet"},
		"a host address is not in the set": {damage: "flush set bridge azure-vnet azure0-host4"},
		"the master has another MAC":       {want: func(r *Rules) { r.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 1} }},
		"the host has another address":     {want: func(r *Rules) { r.Host = lab.Prefixes("10.240.0.7/16") }},
		"the host has one address more":    {want: func(r *Rules) { r.Host = lab.Prefixes("10.240.0.4/16", "10.240.0.7/16") }},
		"the subnet has another size":      {want: func(r *Rules) { r.Host = lab.Prefixes("10.240.0.4/17") }},
		"the master is another":            {want: func(r *Rules) { r.Master = "eth1" }},
		"the mode is another":              {want: tunnelMode},
		"spoofing is allowed":              {want: withoutAntiSpoof},
		"the host agent is open":           {want: withHostAgentOpen},
		"as many rules, but others":        {want: func(r *Rules) { r.HostAgent = true; r.Tunnel = true }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			wanted := rulesOf("azure0")
			h.kernel(func(nft *Conn) {
				if nft.RulesInPlace(wanted) {
					t.Error("there are no rules yet")
				}
				h.Must(nft.EnsureRules(wanted))
				h.Must(nft.AddElements(elementsOf("azure0")...))
				if !nft.RulesInPlace(wanted) {
					t.Error("the rules are not in place after EnsureRules")
				}
			})
			if strings.HasSuffix(test.damage, "handle ") {
				test.damage += regexp.MustCompile(`host agent port 80 .* handle (\d+)`).FindStringSubmatch(h.NFT("-a list table bridge azure-vnet"))[1]
			}
			if test.damage != "" {
				h.NFT(test.damage)
			}
			if test.want != nil {
				test.want(&wanted)
			}
			h.kernel(func(nft *Conn) {
				if nft.RulesInPlace(wanted) {
					t.Error("RulesInPlace does not see it")
				}
				h.Must(nft.EnsureRules(wanted))
				if !nft.RulesInPlace(wanted) {
					t.Error("the rules are not in place after the repair")
				}
				have, err := nft.Elements(Scope{"azure0", FamilyBridge})
				if err != nil || len(have) != 2 && !strings.Contains(test.damage, "table") {
					t.Errorf("the repair lost elements: %v, %v", have, err)
				}
			})
		})
	}
}

// Whichever chain is flushed, and however the table is asked, with another network's rules in it.
func TestRulesInPlaceAsksForEveryChain(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Rules){
		"one NIC": func(*Rules) {}, "several NICs": withOtherNIC, "netdev": withNetdev, "transparent": withoutBridge,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			wanted := rulesOf("azure0", change)
			h.kernel(func(nft *Conn) {
				h.Must(nft.EnsureRules(rulesOf("azure1", func(r *Rules) { r.Family = wanted.Family })))
				h.Must(nft.EnsureRules(wanted))
			})
			for _, c := range wanted.chains() {
				family := map[nftables.TableFamily]string{nftables.TableFamilyBridge: "bridge", nftables.TableFamilyNetdev: "netdev",
					nftables.TableFamilyINet: "inet"}[c.Table.Family]
				h.NFT("flush chain " + family + " " + TableName + " " + c.Name)
				h.kernel(func(nft *Conn) {
					if nft.RulesInPlace(wanted) {
						t.Errorf("without its rules, chain %s of family %s is in place", c.Name, family)
					}
					h.Must(nft.EnsureRules(wanted))
					if !nft.RulesInPlace(wanted) {
						t.Errorf("chain %s of family %s is not in place after the repair", c.Name, family)
					}
				})
			}
		})
	}
}

// Two bridges share the table, and nothing else.
func TestBridgesDoNotTouchEachOther(t *testing.T) {
	h := newHost(t)
	h.kernel(func(nft *Conn) {
		h.Must(nft.EnsureRules(rulesOf("azure0")))
		h.Must(nft.AddElements(elementsOf("azure0")...))
	})
	alone := h.NFT("-s list table bridge azure-vnet")
	other := rulesOf("azure1", tunnelMode, func(r *Rules) { r.Master = "eth1"; r.Host = lab.Prefixes("10.240.0.5/16") })
	h.kernel(func(nft *Conn) {
		h.Must(nft.EnsureRules(other))
		h.Must(nft.AddElements(elementsOf("azure1")[0]))
		if !nft.RulesInPlace(rulesOf("azure0")) || !nft.RulesInPlace(other) {
			t.Error("one bridge's rules disturb the other's")
		}
		if list, err := nft.Scopes(); err != nil || !slices.Equal(list, []Scope{{"azure0", FamilyBridge}, {"azure1", FamilyBridge}}) {
			t.Errorf("bridges %v, %v", list, err)
		}
		h.Must(nft.DeleteElements(elementsOf("azure1")[0])) // the same address and port as on azure0
		if list, err := nft.Elements(Scope{"azure0", FamilyBridge}); err != nil || len(list) != 2 || !list[0].Complete {
			t.Errorf("elements of azure0: %v, %v", list, err)
		}
		h.Must(nft.RemoveRules(Scope{"azure1", FamilyBridge}))
	})
	h.Same("azure0 when azure1 is gone", h.NFT("-s list table bridge azure-vnet"), alone)
	h.kernel(func(nft *Conn) {
		h.Must(nft.RemoveRules(Scope{"azure1", FamilyBridge})) // once more is success
		h.Must(nft.RemoveRules(Scope{"azure0", FamilyBridge}))
		if list, err := nft.Scopes(); err != nil || len(list) != 0 {
			t.Errorf("bridges %v, %v", list, err)
		}
		h.Must(nft.RemoveRules(Scope{"azure0", FamilyBridge}))
	})
	h.Same("nothing is left of the last one", h.NFT("list ruleset"), "")
}

func TestRulesOfOthersAreNotTouched(t *testing.T) {
	h := newHost(t)
	h.Run("nft", "add table bridge other; add chain bridge other pre { type filter hook prerouting priority 0; }; add rule bridge other pre "+
		"counter; add table ip azure-vnet")
	before := h.NFT("-s list ruleset")
	h.kernel(func(nft *Conn) {
		h.Must(nft.EnsureRules(rulesOf("azure0")))
		h.Must(nft.RemoveRules(Scope{"azure0", FamilyBridge}))
	})
	h.Same("all other tables", h.NFT("-s list ruleset"), before)
}
