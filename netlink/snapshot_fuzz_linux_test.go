package netlink

import (
	"bytes"
	"testing"
)

// A snapshot that somebody changed is read as far as it goes, and what was read is written as it will be read again.
func FuzzSnapshot(f *testing.F) {
	f.Add([]byte{})
	f.Add(hostConf{dev: device{7, "azure0"}}.encode(false))
	f.Add(append(hostConf{dev: device{7, "azure0"}}.encode(false), 20, 0, 0, 0, 20, 0, 0, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = SnapshotAddresses(data)
		once := decodeSnapshot(data).encode(false)
		if again := decodeSnapshot(once).encode(false); !bytes.Equal(once, again) {
			t.Errorf("%x is read as %x, and that as %x", data, once, again)
		}
	})
}
