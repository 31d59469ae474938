package hostconf

import (
	"bytes"
	"testing"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// A snapshot that somebody changed is read as far as it goes, and what was read is written as it will be read again.
func FuzzSnapshot(f *testing.F) {
	f.Add([]byte{})
	f.Add(Conf{Dev: rtnl.Device{Index: 7, Name: "azure0"}}.Encode(false))
	f.Add(append(Conf{Dev: rtnl.Device{Index: 7, Name: "azure0"}}.Encode(false), 20, 0, 0, 0, 20, 0, 0, 0))
	whole := Conf{Dev: rtnl.Device{Index: 7, Name: "azure0"}}
	for _, typ := range []uint16{unix.RTM_NEWADDR, unix.RTM_NEWROUTE, unix.RTM_NEWNEXTHOP, unix.RTM_NEWNEIGH} {
		m := rtnl.Message{Message: wire.Message{Type: typ, Header: make([]byte, wire.HeaderLen(typ))}}
		for a := range uint16(25) { // more than any kind of message has
			m.Attrs = append(m.Attrs, wire.Attr{Type: a, Value: make([]byte, 16)})
		}
		whole.place(m)
	}
	f.Add(whole.Encode(false))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = Addresses(data)
		once := Decode(data).Encode(false)
		if again := Decode(once).Encode(false); !bytes.Equal(once, again) {
			t.Errorf("%x is read as %x, and that as %x", data, once, again)
		}
	})
}
