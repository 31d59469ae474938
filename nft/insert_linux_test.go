package nft

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Elements are added all or none, and the socket is good for the next question after an error, wherever in the
// transaction that was.
func TestElementsAreInsertedTogether(t *testing.T) {
	h := newHost(t)
	h.kernel(func(nft *Conn) {
		list := elementsOf("azure0")
		if err := nft.insert(list); !errors.Is(err, unix.ENOENT) {
			t.Errorf("without a table: %v", err)
		}
		h.Must(nft.EnsureRules(rulesOf("azure0")))
		h.Must(nft.insert(list[1:]))
		another := list[1]
		another.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 9}
		for name, both := range map[string][]Element{"first": {another, list[0]}, "last": {list[0], another}} {
			if err := nft.insert(both); !errors.Is(err, unix.EEXIST) {
				t.Errorf("the %s has another MAC: %v", name, err)
			}
			if there, err := nft.Complete(list[1]); err != nil || !there {
				t.Errorf("the %s has another MAC, and what was there is complete: %t, %v", name, there, err)
			}
			if found, err := nft.Elements(list[0].Scope); err != nil || len(found) != 1 {
				t.Errorf("the %s has another MAC, and the kernel has %v, %v", name, found, err)
			}
		}
		h.Must(nft.insert(list))
		h.wantElements(nft, twoPods)
		if err := nft.raw.Transact(0xff, []byte{16, 0, 0, 0, 0, 0xff, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0}); err == nil {
			t.Error("a subsystem that the kernel does not have")
		}
		h.wantElements(nft, twoPods)
	})
}
