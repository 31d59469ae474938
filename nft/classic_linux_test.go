package nft

import (
	"net"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/lab"
)

// The classic plugin's rules, as ebtables-save showed them on a node (fixtures/classic, tunnel mode), with other
// people's among them.
const (
	classicRules = `*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
-A PREROUTING -p ARP --arp-op Request --arp-ip-dst 10.240.0.4 -j arpreply --arpreply-mac 00:0d:3a:00:00:01
-A PREROUTING -p ARP -i eth0 --arp-op Reply -j dnat --to-dst ff:ff:ff:ff:ff:ff --dnat-target ACCEPT
-A PREROUTING -p IPv4 -i other0 -j dnat --to-dst 02:00:00:00:00:09 --dnat-target ACCEPT
-A PREROUTING -i az+ -j dnat --to-dst 12:34:56:78:9a:bc --dnat-target ACCEPT
-A PREROUTING -p ARP --arp-op Request --arp-ip-dst 10.240.1.1 -j arpreply --arpreply-mac 12:34:56:78:9a:bc
-A PREROUTING -p IPv4 -i eth0 --ip-dst 10.240.1.1 -j dnat --to-dst 2e:3a:63:f3:28:e6 --dnat-target ACCEPT
-A PREROUTING -p ARP -i eth1 --arp-op Reply -j dnat --to-dst ff:ff:ff:ff:ff:ff --dnat-target ACCEPT
-A PREROUTING -p IPv4 --ip-dst 10.240.1.9 -j DROP
-A POSTROUTING -s Unicast -o eth0 -j snat --to-src 00:0d:3a:00:00:01 --snat-arp --snat-target ACCEPT
-A POSTROUTING -o other0 -j snat --to-src 02:00:00:00:00:08 --snat-target ACCEPT
`
	classicForeign = `-A PREROUTING -p IPv4 -i other0 -j dnat --to-dst 02:00:00:00:00:09 --dnat-target ACCEPT
-A PREROUTING -p ARP -i eth1 --arp-op Reply -j dnat --to-dst ff:ff:ff:ff:ff:ff --dnat-target ACCEPT
-A PREROUTING -p IPv4 --ip-dst 10.240.1.9 -j DROP
-A POSTROUTING -o other0 -j snat --to-src 02:00:00:00:00:08 --snat-target ACCEPT`
)

func TestClassicRulesAreReplacedByOursInOneTransaction(t *testing.T) {
	h := newHost(t)
	cmd := h.VM.Ns.Command(t.Context(), "ebtables-nft-restore")
	cmd.Stdin = strings.NewReader(classicRules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pod := Element{Scope: Scope{"azure0", FamilyBridge}, Address: lab.PodPrefixes[0].Addr(),
		MAC: net.HardwareAddr{0x2e, 0x3a, 0x63, 0xf3, 0x28, 0xe6}, Port: "azvc1376102855", Comment: "azure/c1/eth0"}
	r := rulesOf("azure0", tunnelMode)
	h.kernel(func(nft *Conn) {
		h.Must(nft.EnsureRules(r, pod))
		_, rest, _ := strings.Cut(classicRules, "-A")
		h.Same("without being told, ebtables' rules", h.ebtables(), strings.TrimSpace("-A"+rest))
		r.Classic = []net.HardwareAddr{pod.MAC, lab.MAC}
		h.Must(nft.EnsureRules(r, pod))
		list, err := nft.Elements(r.Scope)
		h.Must(err)
		if len(list) != 1 || !list[0].Complete || list[0].MAC.String() != pod.MAC.String() {
			t.Errorf("elements: %+v", list)
		}
	})
	h.Same("other people's rules of ebtables", h.ebtables(), classicForeign)
}

func (h *host) ebtables() string {
	h.Helper()
	var lines []string
	for line := range strings.Lines(h.Run("ebtables-nft-save")) {
		if strings.HasPrefix(line, "-A") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

// Live pods are in the maps from the rules' first packet on, hundreds of them, and one whose address is known with
// another MAC is corrected.
func TestRulesComeWithThePodsThatAreThere(t *testing.T) {
	for _, family := range []Family{FamilyBridge, FamilyInet} {
		t.Run(string(family), func(t *testing.T) {
			h := newHost(t)
			r := rulesOf("azure0")
			r.Family = family
			pods := manyPods(r.Scope, 500)
			wrong := pods[7]
			wrong.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 7}
			for _, before := range [][]Element{nil, {wrong}} {
				h.NFT("flush ruleset")
				h.kernel(func(nft *Conn) {
					if before != nil {
						h.Must(nft.EnsureRules(r))
						h.Must(nft.AddElements(before...))
					}
					h.Must(nft.EnsureRules(r, pods...))
					h.Must(nft.EnsureRules(r, pods...)) // once more is success
					list, err := nft.Elements(r.Scope)
					h.Must(err)
					for _, e := range list {
						if !e.Complete || family == FamilyBridge && e.MAC.String() == wrong.MAC.String() {
							t.Errorf("%+v", e)
						}
					}
					if len(list) != len(pods) {
						t.Errorf("%d elements instead of %d", len(list), len(pods))
					}
				})
			}
		})
	}
}
