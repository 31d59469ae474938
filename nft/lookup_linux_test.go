package nft

import (
	"errors"
	"testing"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// The kernel keeps an element's comment when somebody adds it again: what the sets say of an address may be two owners'.
func TestAnElementOfTwoOwnersIsNotComplete(t *testing.T) {
	h := bridgeWithElements(t)
	const key = "azv0000000000a . 0a:58:0a:f0:01:01 . 10.240.1.1"
	h.NFT("delete element bridge azure-vnet azure0-owned4 { " + key + " }; add element bridge azure-vnet azure0-owned4 { " + key +
		` comment "azure/c9/eth0" }`)
	mine := elementsOf("azure0")
	h.kernel(func(nft *Conn) {
		list, err := nft.Elements(Scope{"azure0", FamilyBridge})
		h.Must(err)
		for _, e := range list {
			if e.Address == mine[0].Address && (e.Complete || !e.Shared) {
				t.Errorf("in the listing: %+v", e)
			}
		}
		if complete, err := nft.Complete(mine[0]); err != nil || complete {
			t.Errorf("by its keys it is complete: %t, %v", complete, err)
		}
		h.Must(nft.TakeElements(mine...))
		h.wantElements(nft, twoPods)
	})
}

// What cannot be asked is not missing: nobody repairs on an error.
func TestAnElementThatCannotBeLookedUpIsAnError(t *testing.T) {
	h := bridgeWithElements(t)
	h.kernel(func(nft *Conn) {
		e := elementsOf("azure0")[0]
		if complete, err := nft.Complete(e); err != nil || !complete {
			t.Fatalf("complete: %t, %v", complete, err)
		}
		socket := nft.raw
		nft.raw = new(wire.Socket) // standard input is none
		if complete, err := nft.Complete(e); !errors.Is(err, unix.ENOTSOCK) || complete {
			t.Errorf("complete: %t, %v", complete, err)
		}
		nft.raw = socket
	})
}
