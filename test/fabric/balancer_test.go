//go:build linux

package fabric

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A balancer's packets arrive unchanged at its backends, which answer from the frontend; every backend gets some, and
// no backend reaches its own frontend.
func TestLoadBalancersHaveFloatingAddresses(t *testing.T) {
	t.Parallel()
	cfg := DefaultDual(3, 1)
	inside, outside, six := netip.MustParseAddr("10.240.0.200"), netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("fd00::200")
	cfg.LoadBalancers = []LoadBalancer{{inside, []string{"vm1", "vm2"}}, {outside, []string{"vm1"}}, {six, []string{"vm1"}}}
	f := Start(t, cfg)
	served := map[string]int{}
	for _, lb := range cfg.LoadBalancers {
		answers := make(chan string, 64)
		for _, name := range lb.Backends {
			ns := f.VM(name).Ns
			own(t, ns, lb.Frontend)
			l, err := ns.Listen("tcp", net.JoinHostPort(lb.Frontend.String(), "80"))
			requireNoError(t, err)
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					answers <- name
					_ = c.Close()
				}
			}()
		}
		for _, client := range []*Namespace{f.Ns(), f.VM("vm3").Ns} {
			for range 16 {
				c, err := client.Dial(t.Context(), "tcp", net.JoinHostPort(lb.Frontend.String(), "80"))
				requireNoError(t, err)
				_ = c.Close()
				served[lb.Frontend.String()+" "+<-answers]++
			}
		}
	}
	if served["10.240.0.200 vm1"] == 0 || served["10.240.0.200 vm2"] == 0 || served["203.0.113.7 vm1"] != 32 || served["fd00::200 vm1"] != 32 {
		t.Errorf("served: %v", served)
	}
	requireCounters(t, f, Counters{}, Counters{})
	// What vm1 sends to its own frontend does not come back; and nobody else may send from a frontend.
	virtual, err := net.ParseMAC(VirtualMAC)
	requireNoError(t, err)
	for name, addrs := range map[string][2]netip.Addr{"vm1": {cfg.VMs[0].NICs[0].Address, outside}, "vm3": {outside, RemoteHost}} {
		vm := f.VM(name)
		frames := openTestFrames(t, vm.Ns, "eth0")
		requireNoError(t, frames.Send(echoRequest(virtual, vm.Config.NICs[0].MAC, addrs[0], addrs[1])))
	}
	requirePing(t, f.VM("vm3").Ns, RemoteHost, PingOptions{}, 64) // both have been judged when this is answered
	requirePing(t, f.VM("vm1").Ns, RemoteHost, PingOptions{}, 64)
	requireCounters(t, f, Counters{}, Counters{UnknownDestination: 1, ForeignAddress: 1})
}

// own gives a VM an address.
func own(t *testing.T, n *Namespace, a netip.Addr) {
	t.Helper()
	requireNoError(t, n.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(lo, &netlink.Addr{IPNet: hostNet(a), Flags: unix.IFA_F_NODAD})
	}))
}
