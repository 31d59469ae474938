package nft

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/Azure/azure-container-networking/test/lab"
	"golang.org/x/sys/unix"
)

// show is elements as text, one a line.
func show(list []Element) string {
	var b strings.Builder
	for _, e := range list {
		if !e.Address.IsValid() {
			fmt.Fprintf(&b, "%s: port %s of %s\n", e.Name, e.Port, e.Comment)
			continue
		}
		fmt.Fprintf(&b, "%s: %s is %s at %s of %s, complete: %v\n", e.Name, e.Address, e.MAC, e.Port, e.Comment, e.Complete)
	}
	return lab.Sorted(b.String())
}

const twoPods = `azure0: 10.240.1.1 is 0a:58:0a:f0:01:01 at azv0000000000a of azure/c1/eth0, complete: true
azure0: 10.240.1.2 is 0a:58:0a:f0:01:02 at azv0000000000b of azure/c2/eth0, complete: true
`

// bridgeWithElements has rules and the elements of two pods.
func bridgeWithElements(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	h.kernel(func(nft *Conn) {
		h.Must(nft.EnsureRules(rulesOf("azure0")))
		h.Must(nft.AddElements(elementsOf("azure0")...))
	})
	return h
}

func (h *host) wantElements(nft *Conn, want string) {
	h.Helper()
	list, err := nft.Elements(Scope{"azure0", FamilyBridge})
	h.Must(err)
	h.Same("elements of azure0", show(list), lab.Sorted(want))
	for _, e := range slices.Concat(list, elementsOf("azure0")) {
		if !e.Address.IsValid() || len(e.MAC) == 0 {
			continue // a part of a pod: nobody asks for it by its keys
		}
		want := slices.ContainsFunc(list, func(l Element) bool {
			return l.Complete && l.Address == e.Address && l.Port == e.Port && l.MAC.String() == e.MAC.String()
		})
		if complete, err := nft.Complete(e); err != nil || complete != want {
			h.Errorf("%s at %s is complete by its keys: %t, %v, and in the listing: %t", e.Address, e.Port, complete, err, want)
		}
	}
}

func TestElementsOfABridgeWithoutRulesAreNone(t *testing.T) {
	h := newHost(t)
	h.kernel(func(nft *Conn) {
		for range 2 { // without the table, and without the sets
			if list, err := nft.Elements(Scope{"azure7", FamilyBridge}); err != nil || len(list) != 0 {
				t.Errorf("elements %v, %v", list, err)
			}
			if complete, err := nft.Complete(elementsOf("azure7")[0]); err != nil || complete {
				t.Errorf("an element is complete: %t, %v", complete, err)
			}
			h.Must(nft.DeleteElements(elementsOf("azure7")...))
			h.Must(nft.EnsureRules(rulesOf("azure0")))
		}
	})
}

func TestAddElementsTwiceIsSuccess(t *testing.T) {
	h := bridgeWithElements(t)
	h.kernel(func(nft *Conn) {
		h.Must(nft.AddElements(elementsOf("azure0")...))
		h.wantElements(nft, twoPods)
	})
}

func TestAddElementsReplacesWhatWasAtTheAddress(t *testing.T) {
	t.Parallel()
	const port = "azure0: port azv0000000000a of azure/c1/eth0\n" // which nobody took away
	for name, test := range map[string]struct {
		change func(*Element)
		left   string
	}{
		"another MAC":          {func(e *Element) { e.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 9} }, ""},
		"another MAC and port": {func(e *Element) { e.MAC, e.Port = net.HardwareAddr{2, 0, 0, 0, 0, 9}, "azv0000000000z" }, port},
		"another owner": {func(e *Element) {
			e.Comment, e.MAC, e.Port = "azure/c9/eth0", net.HardwareAddr{2, 0, 0, 0, 0, 9}, "azv00000000000"
		}, port},
	} {
		t.Run(name, func(t *testing.T) {
			h := bridgeWithElements(t)
			list := elementsOf("azure0")
			test.change(&list[0])
			h.kernel(func(nft *Conn) {
				h.Must(nft.AddElements(list[0]))
				list[0].Complete, list[1].Complete = true, true
				h.wantElements(nft, show(list)+test.left)
			})
			// What the former one may send is taken away, too.
			if owned := h.NFT("list set bridge azure-vnet azure0-owned4"); strings.Count(owned, "10.240.1.1 ") != 1 ||
				!strings.Contains(owned, list[0].MAC.String()+" . 10.240.1.1 ") {
				t.Errorf("pods may send\n%s", owned)
			}
		})
	}
}

func TestDeleteElementsRemovesWhatIsThere(t *testing.T) {
	h := bridgeWithElements(t)
	list := elementsOf("azure0")
	missing := list[0]
	missing.Address, missing.Port = lab.PodPrefixes[2].Addr(), "azv0000000000z"
	h.kernel(func(nft *Conn) {
		h.Must(nft.DeleteElements())
		h.Must(nft.DeleteElements(missing))
		h.wantElements(nft, twoPods)
		h.Must(nft.DeleteElements(missing, list[0], missing))
		h.wantElements(nft, strings.SplitAfter(twoPods, "\n")[1])
		h.Must(nft.DeleteElements(list...))
		h.wantElements(nft, "")
		h.Must(nft.DeleteElements(list...))
	})
	for _, set := range []string{"azure0-ports", "azure0-owned4"} {
		if text := h.NFT("list set bridge azure-vnet " + set); strings.Contains(text, "elements") {
			t.Errorf("left:\n%s", text)
		}
	}
}

func TestElementsThatAreNotInEverySetAreNotComplete(t *testing.T) {
	t.Parallel()
	first, second, _ := strings.Cut(twoPods, "\n")
	for name, test := range map[string]struct{ damage, want string }{
		"it cannot be reached": {"delete element bridge azure-vnet azure0-pods4 { 10.240.1.1 }", strings.Replace(first, "true", "false", 1)},
		"it may not send": {"delete element bridge azure-vnet azure0-owned4 { azv0000000000a . 0a:58:0a:f0:01:01 . 10.240.1.1 }",
			strings.Replace(first, "true", "false", 1)},
		"its port is not known": {"delete element bridge azure-vnet azure0-ports { azv0000000000a }", strings.Replace(first, "true", "false", 1)},
		"its copy is missing":   {"delete element inet azure-vnet azure0-known4 { 10.240.1.1 }", strings.Replace(first, "true", "false", 1)},
		"its copy says another MAC": {"delete element inet azure-vnet azure0-known4 { 10.240.1.1 }; " +
			"add element inet azure-vnet azure0-known4 { 10.240.1.1 : 02:00:00:00:00:09 }", strings.Replace(first, "true", "false", 1)},
		"the map says another MAC": {"delete element bridge azure-vnet azure0-pods4 { 10.240.1.1 }; " +
			`add element bridge azure-vnet azure0-pods4 { 10.240.1.1 comment "azure/c1/eth0" : 02:00:00:00:00:09 }`,
			strings.NewReplacer("true", "false", "0a:58:0a:f0:01:01", "02:00:00:00:00:09").Replace(first)},
		"another port may send, too": {"add element bridge azure-vnet azure0-owned4 { azv0000000000b . 0a:58:0a:f0:01:01 . 10.240.1.1 }", first},
	} {
		t.Run(name, func(t *testing.T) {
			h := bridgeWithElements(t)
			h.NFT(test.damage)
			h.kernel(func(nft *Conn) {
				h.wantElements(nft, test.want+"\n"+second)
				h.Must(nft.AddElements(elementsOf("azure0")...)) // repairs
				h.wantElements(nft, twoPods)
			})
		})
	}
}

// dual is a pod with both families, in every set that there is.
func dual() []Element {
	list := elementsOf("azure0")[:1]
	v6 := list[0]
	v6.Address = netip.MustParseAddr("fd00::1:1")
	return append(list, v6)
}

// A pod's link-local address is no element of its own.
func TestAPodIsListedByItsAddresses(t *testing.T) {
	h := newHost(t)
	h.kernel(func(nft *Conn) {
		h.Must(nft.EnsureRules(rulesOf("azure0")))
		h.Must(nft.AddElements(dual()...))
		h.wantElements(nft, `azure0: 10.240.1.1 is 0a:58:0a:f0:01:01 at azv0000000000a of azure/c1/eth0, complete: true
azure0: fd00::1:1 is 0a:58:0a:f0:01:01 at azv0000000000a of azure/c1/eth0, complete: true
`)
	})
}

// Whatever part of a pod somebody left in the tables, its owner is found by it, and it can be taken away.
func TestAPartOfAPodIsFoundAndTakenAway(t *testing.T) {
	t.Parallel()
	keys := map[string]string{
		"bridge azure-vnet azure0-pods4": "10.240.1.1", "bridge azure-vnet azure0-pods6": "fd00::1:1",
		"bridge azure-vnet azure0-owned4": "azv0000000000a . 0a:58:0a:f0:01:01 . 10.240.1.1",
		"bridge azure-vnet azure0-owned6": "azv0000000000a . 0a:58:0a:f0:01:01 . fd00::1:1",
		"bridge azure-vnet azure0-ports":  "azv0000000000a",
		"inet azure-vnet azure0-known4":   "10.240.1.1", "inet azure-vnet azure0-known6": "fd00::1:1",
	}
	keys["bridge azure-vnet azure0-owned6 "] = "azv0000000000a . 0a:58:0a:f0:01:01 . fe80::858:aff:fef0:101" // the pod's own one
	for left := range keys {
		t.Run(left, func(t *testing.T) {
			h := newHost(t)
			h.kernel(func(nft *Conn) {
				h.Must(nft.EnsureRules(rulesOf("azure0")))
				h.Must(nft.AddElements(dual()...))
			})
			for set, key := range keys {
				if set != left {
					h.NFT("delete element " + set + " { " + key + " }")
				}
			}
			h.kernel(func(nft *Conn) {
				found, err := nft.Elements(Scope{"azure0", FamilyBridge})
				h.Must(err)
				if len(found) == 0 || found[0].Comment != "azure/c1/eth0" || found[0].Complete {
					t.Errorf("found is %+v", found)
				}
				h.Must(nft.DeleteElements(found...))
			})
			if text := h.NFT("list ruleset"); strings.Contains(text, "azure/c1") {
				t.Errorf("left:\n%s", text)
			}
		})
	}
}

// The kernel deletes all of a transaction or nothing. One that lacks an element must not become several, with a kill
// between them.
func TestWhatIsMissingDoesNotDivideADeletion(t *testing.T) {
	h := bridgeWithElements(t)
	h.NFT("delete element bridge azure-vnet azure0-owned4 { azv0000000000a . 0a:58:0a:f0:01:01 . 10.240.1.1 }")
	h.kernel(func(nft *Conn) {
		before := h.generation()
		h.Must(nft.DeleteElements(elementsOf("azure0")...))
		if now := h.generation(); now != before+1 {
			t.Errorf("it took %d transactions", now-before)
		}
		h.wantElements(nft, "")
	})
}

// What was appended to a transaction that could not be completed is not sent with the next one.
func TestATransactionThatIsGivenUpIsForgotten(t *testing.T) {
	h := newHost(t)
	pods := elementsOf("azure0")
	h.kernel(func(nft *Conn) {
		h.Must(nft.EnsureRules(rulesOf("azure0")))
		h.Must(nft.AddElements(pods[0]))
		taken := pods[0]
		taken.Port = "azv0000000000c"
		raw, err := wire.Open(unix.NETLINK_ROUTE) // over which nobody answers questions about nftables
		h.Must(err)
		nft.raw = raw
		if err := nft.TakeElements(taken); err == nil {
			t.Fatal("it takes an address without having seen who has it")
		}
		raw.Close()
		nft.raw = nil
		h.Must(nft.AddElements(pods[1]))
	})
	if text := h.NFT("list table bridge azure-vnet"); strings.Contains(text, "azv0000000000c") || !strings.Contains(text, pods[1].Port) {
		t.Errorf("the table is\n%s", text)
	}
}

// generation counts the transactions of the calling thread's namespace.
func (h *host) generation() uint32 {
	h.Helper()
	s, err := wire.Open(unix.NETLINK_NETFILTER)
	h.Must(err)
	defer s.Close()
	body, err := s.Get(wire.Request(subsystem|unix.NFT_MSG_GETGEN, 0, make([]byte, nfgenmsgLen)), subsystem|unix.NFT_MSG_NEWGEN)
	h.Must(err)
	attrs, err := wire.ParseAttrs(body[nfgenmsgLen:])
	h.Must(err)
	return binary.BigEndian.Uint32(attrs.Get(unix.NFTA_GEN_ID))
}

// manyPods are elements of different pods.
func manyPods(s Scope, n int) []Element {
	pods := make([]Element, n)
	for i := range pods {
		a := [4]byte{10, 240, byte(1 + i/250), byte(1 + i%250)}
		pods[i] = Element{Scope: s, Address: netip.AddrFrom4(a), MAC: net.HardwareAddr{0x0a, 0x58, a[0], a[1], a[2], a[3]},
			Port: fmt.Sprintf("azv%011x", i), Comment: fmt.Sprintf("azure/c%d/eth0", i)}
	}
	return pods
}

func TestManyProcessesAddAndDeleteElementsAtOnce(t *testing.T) {
	h := newHost(t)
	h.kernel(func(nft *Conn) { h.Must(nft.EnsureRules(rulesOf("azure0"))) })
	const pods = 64
	each := func(do func(*Conn, Element) error) {
		var wg sync.WaitGroup
		for i := range pods {
			wg.Go(func() {
				e := manyPods(Scope{"azure0", FamilyBridge}, pods)[i]
				err := h.VM.Ns.Do(func() error {
					nft := Open(nil)
					defer nft.Close()
					return do(nft, e)
				})
				if err != nil {
					t.Errorf("%s: %v", e.Address, err)
				}
			})
		}
		wg.Wait()
	}
	each(func(nft *Conn, e Element) error { return nft.AddElements(e) })
	h.kernel(func(nft *Conn) {
		list, err := nft.Elements(Scope{"azure0", FamilyBridge})
		h.Must(err)
		if complete := strings.Count(show(list), "complete: true"); complete != pods {
			t.Errorf("%d elements are complete:\n%s", complete, show(list))
		}
	})
	each(func(nft *Conn, e Element) error { return nft.DeleteElements(e) })
	h.kernel(func(nft *Conn) { h.wantElements(nft, "") })
}
