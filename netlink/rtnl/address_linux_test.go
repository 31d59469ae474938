package rtnl

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// A lease that was renewed 100 seconds ago comes back as it was then.
func TestAnAddressThatWasLostHasItsWholeLifetime(t *testing.T) {
	info := func(words ...uint32) (d []byte) {
		for _, w := range words {
			d = binary.NativeEndian.AppendUint32(d, w)
		}
		return d
	}
	for _, test := range []struct{ have, want []byte }{
		{info(500, 1000, 7, 5000), info(600, 1100, 7, 5000)},
		{info(0, Forever, 7, 5000), info(100, Forever, 7, 5000)},
		{info(500, 1000, 7, 15000+1), info(500, 1000, 7, 15000+1)}, // the clocks differ by a tick
	} {
		m := Message{Message: wire.Message{Attrs: wire.Attrs{{Type: unix.IFA_CACHEINFO, Value: test.have}}}}
		if m.WholeLifetimes(15000); !bytes.Equal(test.have, test.want) {
			t.Errorf("%v instead of %v", test.have, test.want)
		}
	}
}
