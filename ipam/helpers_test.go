package ipam

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/platform"
)

var testTime = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addrs(t testing.TB, texts ...string) []netip.Addr {
	t.Helper()
	var list []netip.Addr
	for _, s := range texts {
		list = append(list, addr(s))
	}
	return list
}

func iface(name, mac string) platform.Interface {
	m, err := net.ParseMAC(mac)
	if err != nil {
		panic(err) // a constant of a test
	}
	return platform.Interface{Name: name, MAC: m, Up: true}
}

func loopback() platform.Interface {
	return platform.Interface{Index: 1, Name: "lo", Loopback: true, Up: true}
}

func hostOf(ifaces ...platform.Interface) Host { return hostInterfaces{ifaces: ifaces} }

// sound checks what holds for every state: no address is reserved twice, or listed twice, or both reserved and
// waiting to be given.
func sound(t testing.TB, s *AddressSpace) {
	t.Helper()
	held := map[netip.Addr]bool{}
	for _, p := range s.Pools {
		for _, r := range p.Reservations {
			if held[r.Address] {
				t.Errorf("%s is reserved twice", r.Address)
			}
			held[r.Address] = true
		}
	}
	listed := map[netip.Addr]bool{}
	for _, p := range s.Pools {
		for a := range p.Listed.all {
			if listed[a] {
				t.Errorf("%s is listed twice", a)
			}
			listed[a] = true
		}
		for _, a := range p.Released {
			if held[a] {
				t.Errorf("%s is reserved and waits to be given", a)
			}
		}
	}
}
