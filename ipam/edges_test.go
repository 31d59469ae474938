package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/platform"
)

// A network's pool is its own as long as it lists addresses, or somebody holds one of it.
func TestABindingEndsWithItsPool(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6")
	r.give("a", "10.240.0.5")
	moved := source.Subnet{MAC: classicMAC, Primary: true, Prefix: prefix("10.250.0.0/24"), Addresses: addrs(t, "10.250.0.5", "10.250.0.6")}
	r.source.set(func(f *fakeSource) { f.subnets = []source.Subnet{moved} })
	r.pass(2 * time.Hour)
	r.refuse("b", ErrExhausted) // a lives in the former subnet, where the network's bridge may be
	if _, err := r.Release(t.Context(), Owner{"azure", "a", "eth0"}, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	r.give("b", "10.250.0.5")
	r.give("c", "10.250.0.6")
}

func TestForgetEndsTheBinding(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	r.give("a", "10.240.0.5")
	if err := r.Forget(t.Context(), "azure"); err != nil {
		t.Fatal(err)
	}
	if s := r.state(); len(s.Bindings) > 0 || len(r.used()) > 0 {
		t.Errorf("bound are %v, held %v", s.Bindings, r.used())
	}
}

// The state is of another machine, of which this one is a copy, or its NIC was taken away: nothing of it is given.
func TestAddressesOfANICThatIsNotHereAreNotGiven(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6", "10.240.0.7")
	here := map[string]platform.Interface{"eth0": iface("eth0", classicMAC)}
	r.Interfaces = func() (list []platform.Interface, err error) {
		for _, i := range here {
			list = append(list, i)
		}
		return list, nil
	}
	r.Interface = func(name string) (platform.Interface, bool, error) { i, ok := here[name]; return i, ok, nil }
	r.give("a", "10.240.0.5")
	here["eth7"] = iface("eth7", classicMAC) // it has another name
	delete(here, "eth0")
	r.give("b", "10.240.0.6")
	r.fail("the agent is not up yet")
	here["eth7"] = iface("eth7", "00:0d:3a:99:99:99")
	r.refuse("c", ErrNoPool, "whose MAC "+classicMAC+" no interface of this host has")
	if err := r.Status(t.Context(), Request{Owner: Owner{Network: "azure"}}); !errors.Is(err, ErrNoPool) {
		t.Errorf("STATUS: %v", err)
	}
	here["eth0"] = iface("eth0", classicMAC)
	r.give("c", "10.240.0.7")
}

// A DEL by the address alone, of an ADD that was refused, frees nothing that lives.
func TestAnAddressInUseIsNotFreedByItsNumber(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	r.inUse = map[netip.Addr]Owner{addr("10.240.0.5"): {}}
	r.refuse("b", ErrExhausted)
	for _, lives := range []bool{true, false} {
		if !lives {
			clear(r.inUse)
		}
		freed, err := r.Release(t.Context(), Owner{"azure", "b", "eth0"}, addr("10.240.0.5"))
		if err != nil || slices.Contains(freed, addr("10.240.0.5")) == lives {
			t.Errorf("the container lives: %t; freed %v, %v", lives, freed, err)
		}
	}
}

func TestASearchThatIsNotCompleteGivesNothing(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	r.InUse = func() (map[netip.Addr]Owner, error) { return nil, ErrSearch }
	r.refuse("a", ErrSearch)
}

// Between the search for addresses in use and the moment when what it found is written down, a DEL may have freed one.
func TestWhoWasDeletedMeanwhileHoldsNothing(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6", "10.240.0.7")
	gone, stays := addr("10.240.0.5"), addr("10.240.0.6")
	looks := 0
	r.InUse = func() (map[netip.Addr]Owner, error) {
		looks++
		found := map[netip.Addr]Owner{stays: {}}
		if looks == 1 {
			found[gone] = Owner{"azure", "deleted", "eth0"}
		}
		return found, nil
	}
	r.give("new", "10.240.0.5")
	s := r.state()
	if got := holders(&s.AddressSpace); len(got) != 2 || !got[stays.String()].Unknown() {
		t.Errorf("holders %v", got)
	}
}

func TestAnAddressOfAnotherPoolIsNamed(t *testing.T) {
	s := &AddressSpace{}
	host := hostOf(iface("eth0", classicMAC), iface("eth1", "00:0d:3a:00:00:02"))
	s.Refresh([]source.Subnet{
		{MAC: classicMAC, Primary: true, Prefix: prefix("10.240.0.0/16"), Addresses: addrs(t, "10.240.0.5")},
		{MAC: "00:0d:3a:00:00:02", Prefix: prefix("10.250.0.0/16"), Addresses: addrs(t, "10.250.0.5")},
	}, host)
	if _, err := s.Allocate(Request{Owner: Owner{"azure", "a", "eth0"}}, testTime); err != nil {
		t.Fatal(err)
	}
	_, err := s.Allocate(Request{Owner: Owner{"azure", "b", "eth0"}, Address: addr("10.240.0.5")}, testTime)
	if want := "an address of another pool: 10.240.0.5 is of 10.240.0.0/16 on eth0, and network azure uses 10.250.0.0/16 on eth1"; !errors.Is(
		err, ErrElsewhere) || err.Error() != want {
		t.Errorf("%v instead of %s", err, want)
	}
}

// A second NIC in the subnet of the first is another pool: a pod of one network never gets an address of the other's
// NIC.
func TestTwoNICsInOneSubnet(t *testing.T) {
	t.Parallel()
	eth0, eth1 := iface("eth0", "00:0d:3a:00:00:01"), iface("eth1", "00:0d:3a:00:00:02")
	subnet := prefix("10.240.0.0/24")
	answer := []source.Subnet{
		{MAC: eth0.MAC.String(), Primary: true, Prefix: subnet, Addresses: addrs(t, "10.240.0.5", "10.240.0.6")},
		{MAC: eth1.MAC.String(), Prefix: subnet, Addresses: addrs(t, "10.240.0.7")},
	}
	var s AddressSpace
	for range 2 {
		s.Refresh(answer, hostOf(eth0, eth1))
	}
	for _, test := range []struct {
		master string
		want   []string
	}{{"eth0", []string{"10.240.0.5", "10.240.0.6"}}, {"eth1", []string{"10.240.0.7"}}} {
		for i, want := range test.want {
			owner := Owner{Network: test.master, ContainerID: fmt.Sprint(test.master, i), IfName: "eth0"}
			got, err := s.Allocate(Request{Owner: owner, Master: test.master}, testTime)
			if err != nil || got.Address != addr(want) || got.Interface != test.master {
				t.Errorf("on %s: %+v, %v; want %s", test.master, got, err, want)
			}
		}
		if _, err := s.Allocate(Request{Owner: Owner{test.master, "further", "eth0"}, Master: test.master},
			testTime); !errors.Is(err, ErrExhausted) {
			t.Errorf("one address more on %s: %v", test.master, err)
		}
	}
	sound(t, &s)
}
