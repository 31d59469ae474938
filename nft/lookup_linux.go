package nft

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// Complete says whether an element is in every set, the same in each, as Element.Complete of a listing does. The sets
// are asked by its keys: how many pods there are does not matter.
func (n *Conn) Complete(e Element) (bool, error) {
	v6 := e.Address.Is6()
	pod, there, err := n.lookUp(e.pods(v6), e.Address.AsSlice())
	if err != nil || !there || !e.Routed() && !bytes.Equal(pod.value, e.MAC) {
		return false, err
	}
	owned, there, err := n.lookUp(e.owned(v6), e.ownedKey(e.Address))
	if err != nil || !there || owned.comment() != pod.comment() {
		return false, err
	}
	if _, there, err = n.lookUp(e.ports(), ifNameKey(e.Port)); err != nil || !there {
		return false, err
	}
	if e.Routed() {
		return true, nil
	}
	known, there, err := n.lookUp(e.known(v6), e.Address.AsSlice())
	return there && bytes.Equal(known.value, e.MAC), err
}

// lookUp asks for one element of a set.
func (n *Conn) lookUp(s *nftables.Set, key []byte) (found element, there bool, err error) {
	if err := n.openRaw(); err != nil {
		return found, false, err
	}
	body := entry{s, nftables.SetElement{Key: key}}.body()
	answer, err := n.raw.Get(wire.Request(subsystem|unix.NFT_MSG_GETSETELEM, 0, body), subsystem|unix.NFT_MSG_NEWSETELEM)
	if errors.Is(err, unix.ENOENT) { // nor may the set be there
		return found, false, nil
	}
	if err == nil {
		answer, err = behindHeader(answer)
	}
	if err != nil {
		return found, false, fmt.Errorf("look an element of nftables set %s up: %w", s.Name, err)
	}
	for each := range listed(wire.Find(answer, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
		return each, true, nil
	}
	return found, false, nil
}

func (e element) comment() string {
	text, _ := userdata.GetString(e.userdata, userdata.NFTNL_UDATA_SET_ELEM_COMMENT)
	return text
}
