package nft

import (
	"testing"

	"github.com/Azure/azure-container-networking/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// host is a VM.
type host struct{ *lab.Host }

func newHost(t *testing.T) *host {
	t.Helper()
	return &host{lab.New(t)}
}

// kernel runs fn in the VM, with the sockets of one command.
func (h *host) kernel(fn func(nft *Conn)) {
	h.Helper()
	h.Must(h.VM.Ns.Do(func() error {
		nft := Open(nil)
		defer nft.Close()
		fn(nft)
		return nil
	}))
}
