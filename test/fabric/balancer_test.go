//go:build linux

package fabric

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

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

// Only those backends that were named last get packets; without any they are lost, and not refused.
func TestBackendsOfALoadBalancerComeAndGo(t *testing.T) {
	t.Parallel()
	cfg := DefaultDual(3, 0)
	four, six := netip.MustParseAddr("10.240.0.200"), netip.MustParseAddr("fd00::200")
	cfg.LoadBalancers = []LoadBalancer{{four, []string{"vm1", "vm2"}}, {six, []string{"vm1", "vm2"}}}
	f := Start(t, cfg)
	for _, frontend := range []netip.Addr{four, six} {
		answers := make(chan string, 64)
		for _, name := range []string{"vm1", "vm2"} {
			ns := f.VM(name).Ns
			own(t, ns, frontend)
			l, err := ns.Listen("tcp", net.JoinHostPort(frontend.String(), "80"))
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
		client := f.VM("vm3").Ns
		for _, backends := range [][]string{{"vm2"}, {"vm1"}, nil, {"vm1", "vm2"}} {
			requireNoError(t, f.Balance(frontend, backends))
			limit := 10 * time.Second
			if len(backends) == 0 {
				limit = 100 * time.Millisecond
			}
			served := map[string]bool{}
			for range 16 {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				c, err := client.Dial(ctx, "tcp", net.JoinHostPort(frontend.String(), "80"))
				cancel()
				if len(backends) == 0 {
					if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("%v without a backend: %v", frontend, err)
					}
					break
				}
				if err != nil {
					t.Fatalf("%v with %v: %v", frontend, backends, err)
				}
				_ = c.Close()
				served[<-answers] = true
			}
			if len(served) != len(backends) || len(backends) == 1 && !served[backends[0]] {
				t.Errorf("%v with %v: %v", frontend, backends, served)
			}
		}
	}
	if f.Balance(four, []string{"vm3"}) == nil || f.Balance(netip.MustParseAddr("10.240.0.201"), nil) == nil {
		t.Error("who is no backend, or no balancer, is taken")
	}
}
