package netlink

import (
	"testing"

	"github.com/Azure/azure-container-networking/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// host is a VM, and what the plugin remembers of it.
type host struct {
	*lab.Host

	remembered []byte // what the plugin knows of azure0
}

func newHost(t *testing.T) *host {
	t.Helper()
	return &host{Host: lab.New(t)}
}

// kernel runs fn in the VM, with the socket of one command.
func (h *host) kernel(fn func(nl *Handle)) {
	h.Helper()
	h.Must(h.VM.Ns.Do(func() error {
		nl, err := Open(nil)
		if err != nil {
			return err
		}
		defer nl.Close()
		fn(nl)
		return nil
	}))
}

func (h *host) ensureBridge() Bridge {
	h.Helper()
	return h.ensureLost(Lost{})
}

// ensureLost makes the bridge, and remembers what is on it, as an ADD does.
func (h *host) ensureLost(lost Lost) (b Bridge) {
	h.Helper()
	h.kernel(func(nl *Handle) {
		var err error
		b, err = nl.EnsureBridge("azure0", "eth0", lost)
		h.Must(err)
		h.remembered, err = nl.Snapshot(b, h.remembered)
		h.Must(err)
	})
	return b
}

func (h *host) removeBridge() {
	h.Helper()
	h.kernel(func(nl *Handle) { h.Must(nl.RemoveBridge("azure0", "eth0", h.remembered)) })
}
