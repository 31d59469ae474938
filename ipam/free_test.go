package ipam

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/ipam/source"
)

// What a container has, or may be about to have, is not freed for a person who did not insist.
func TestFreeSparesTheLiving(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6", "10.240.0.7")
	r.give("living", "10.240.0.5")
	r.give("dead", "10.240.0.6")
	r.pass(underWay)
	r.give("starting", "10.240.0.7")
	r.inUse = map[netip.Addr]Owner{addr("10.240.0.5"): {"azure", "living", "eth0"}}
	of := func(id string) func(Reservation) bool {
		return func(r Reservation) bool { return r.ContainerID == id }
	}
	for id, want := range map[string]error{"living": ErrInUse, "starting": ErrInUse, "nobody": ErrNotReserved} {
		if freed, err := r.Free(t.Context(), of(id), false); !errors.Is(err, want) || len(freed) > 0 {
			t.Errorf("%s: freed %v, %v", id, freed, err)
		}
	}
	all := func(Reservation) bool { return true }
	if freed, err := r.Free(t.Context(), all, false); !errors.Is(err, ErrInUse) || len(freed) > 0 {
		t.Errorf("one of several lives: freed %v, %v", freed, err)
	}
	if freed, err := r.Free(t.Context(), of("dead"), false); err != nil || !slices.Equal(freed, addrs(t, "10.240.0.6")) {
		t.Errorf("dead: freed %v, %v", freed, err)
	}
	if freed, err := r.Free(t.Context(), of("living"), true); err != nil || !slices.Equal(freed, addrs(t, "10.240.0.5")) {
		t.Errorf("by force: freed %v, %v", freed, err)
	}
	if used := r.used(); !slices.Equal(used, []string{"10.240.0.7"}) {
		t.Errorf("in use are %v", used)
	}
}

// Between the search and the change the address may have been freed, and given to another one.
func TestFreeLeavesWhatWasGivenAgain(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	r.give("dead", "10.240.0.5")
	r.pass(time.Hour)
	r.InUse = func() (map[netip.Addr]Owner, error) {
		if _, err := r.Release(t.Context(), Owner{"azure", "dead", "eth0"}, netip.Addr{}); err != nil {
			t.Error(err)
		}
		r.give("next", "10.240.0.5")
		return nil, nil
	}
	if freed, err := r.Free(t.Context(), func(Reservation) bool { return true }, false); err != nil || len(freed) > 0 {
		t.Errorf("freed %v, %v", freed, err)
	}
	if used := r.used(); len(used) != 1 {
		t.Errorf("in use are %v", used)
	}
}

// A person who asks does not wait until the answer is old.
func TestRefreshAsksAtOnce(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	r.give("a", "10.240.0.5")
	r.list("10.240.0.5", "10.240.0.6")
	r.pass(time.Millisecond)
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.give("b", "10.240.0.6")
	r.wantQuestions(2)
	r.pass(time.Millisecond)
	r.fail("the agent is down")
	if err := r.Refresh(t.Context()); !errors.Is(err, source.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

// Somebody may have edited the state, or an earlier version written it: what the source does not list is not given.
func TestAReleasedAddressThatIsNotListedIsNotGiven(t *testing.T) {
	t.Parallel()
	p := &Pool{Prefix: prefix("10.240.0.0/16"), Listed: newAddrSet([]netip.Addr{addr("10.240.0.5"), addr("10.240.0.6")}),
		Released: addrs(t, "10.240.0.9", "10.240.0.6")}
	five := slices.Values([]netip.Addr{addr("10.240.0.5")})
	if a, ok := p.next(five, slices.Values([]netip.Addr(nil))); !ok || a != addr("10.240.0.6") {
		t.Errorf("given is %s, %t", a, ok)
	}
	if a, ok := p.next(five, slices.Values([]netip.Addr{addr("10.240.0.6")})); ok {
		t.Errorf("given is %s", a)
	}
}
