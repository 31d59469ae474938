//go:build linux

package traffic_test

import (
	"net"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/traffic"
)

// A datagram that is lost is sent again, and counted; where none arrives, that is an error.
func TestALostDatagramIsSentAgain(t *testing.T) {
	t.Parallel()
	f, err := fabric.New(fabric.Default(2, 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	to := f.VMs[1]
	p, err := traffic.Open(t.Context(), f.VMs[0].Ns, to.Ns, net.JoinHostPort(to.Config.PrimaryNIC().Address.String(), "7000"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	drop := func(which string) {
		cmd := to.Ns.Command(t.Context(), "nft", "-f", "-")
		cmd.Stdin = strings.NewReader("table ip lossy { chain in { type filter hook input priority 0; }; }; flush table ip lossy; " +
			"add rule ip lossy in udp dport 7000 " + which + " drop\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	run := func(name string) error {
		for _, m := range traffic.Measures {
			if m.Name == name {
				return m.Run(p)
			}
		}
		t.Fatalf("no %q", name)
		return nil
	}
	drop("numgen inc mod 600 == 0")
	if err := run("1000 round trips by UDP"); err != nil || p.Lost != 2 {
		t.Errorf("%d were lost, %v", p.Lost, err)
	}
	drop("")
	if err := run("5000 small packets by UDP"); err == nil {
		t.Error("nothing arrives, and that is no error")
	}
}
