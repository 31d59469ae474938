package watch

import (
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// Whoever changes something of the host is heard of, by name if it is nftables; our own program is not.
func TestChanges(t *testing.T) {
	h := lab.New(t)
	var changes, others <-chan string
	h.Must(h.VM.Ns.Do(func() (err error) {
		if changes, err = Changes(t.Context(), "azure-vnet"); err == nil {
			others, err = Changes(t.Context(), "nft")
		}
		return err
	}))
	heard := func() (string, bool) {
		select {
		case who := <-changes:
			return who, true
		case <-time.After(time.Minute):
			return "", false
		}
	}
	drain := func() {
		for len(changes) > 0 {
			<-changes
		}
	}
	for _, c := range []struct{ change, who string }{
		{"nft add table inet x", "nft"}, {"nft flush ruleset", "nft"}, {"ip link add x type veth peer name y", ""}, {"ip link set x up", ""},
		{"ip addr add 192.0.2.1/32 dev lo", ""}, {"ip addr del 192.0.2.1/32 dev lo", ""}, {"sysctl -qw net.ipv4.ip_forward=1", ""},
	} {
		drain()
		words := strings.Fields(c.change)
		h.Run(words[0], words[1:]...)
		if who, ok := heard(); !ok || who != c.who {
			t.Errorf("%s: heard of %t, by %q instead of %q", c.change, ok, who, c.who)
		}
	}
	if who := <-others; who != "" { // the first that it was told of is a link
		t.Errorf("it hears of itself: %q", who)
	}
}
