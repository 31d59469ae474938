package ipam

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/ipam/source"
)

// in gives an address to a container whose network namespace has this number.
func (r *rig) in(namespace uint64, id string) (string, error) {
	got, err := r.Allocate(r.Context(), []Request{{Owner: Owner{"theirs", id, "eth0"}, Namespace: namespace}})
	if err != nil {
		return "", err
	}
	return got[0].Address.String(), nil
}

// Whose namespace is gone, and whose address nobody has, is dead, whoever it was connected by; nobody else is.
func TestTheDeadMakeRoom(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6", "10.240.0.7", "10.240.0.8")
	there := map[uint64]bool{1: true, 2: true, 3: true, 4: true, 5: true}
	unsure := errors.New("one cannot be looked at")
	var err error
	r.Gone = func(list []uint64) (map[uint64]bool, error) {
		gone := map[uint64]bool{}
		for _, ns := range list {
			gone[ns] = !there[ns]
		}
		return gone, err
	}
	for n, id := range []string{"a", "b", "c"} {
		if _, err := r.in(uint64(n+1), id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.in(0, "nobody knows where"); err != nil {
		t.Fatal(err)
	}
	full := func(why string) {
		t.Helper()
		if a, err := r.in(9, "new"); !errors.Is(err, ErrExhausted) {
			t.Fatalf("%s: %s, %v", why, a, err)
		}
	}
	full("all live")
	delete(there, 1)
	r.inUse = map[netip.Addr]Owner{addr("10.240.0.5"): {}}
	full("somebody has the address")
	r.inUse = nil
	err = unsure
	full("nobody knows which namespaces are there")
	err = nil
	// Its runtime made the container a new namespace, and asked again.
	if a, err := r.in(5, "a"); a != "10.240.0.5" || err != nil {
		t.Fatal(a, err)
	}
	full("it lives in another one")
	if a, err := r.in(0, "a"); a != "10.240.0.5" || err != nil { // who asks for it knows of no namespace
		t.Fatal(a, err)
	}
	delete(there, 5)
	there[9] = true
	if a, err := r.in(9, "new"); a != "10.240.0.5" || err != nil {
		t.Errorf("the address of the dead is not given again: %s, %v", a, err)
	}
	delete(there, 2)
	if err := r.Status(r.Context(), Request{Owner: Owner{Network: "theirs"}}); err != nil {
		t.Errorf("STATUS: %v", err)
	}
}

// Where the search knows everybody, what it does not name is nobody's, unless its ADD may be under way.
func TestWhoIsNowhereIsDeadWhereEverybodyIsKnown(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6")
	r.give("lives", "10.240.0.5")
	r.give("was never connected", "10.240.0.6")
	r.inUse = map[netip.Addr]Owner{addr("10.240.0.5"): {}}
	r.clock.Add(int64(underWay))
	r.refuse("new", ErrFull)
	r.Complete = true
	r.clock.Add(-int64(time.Second))
	r.refuse("new", ErrFull)
	r.clock.Add(int64(time.Second))
	r.give("new", "10.240.0.6")
	if err := r.Check(r.Context(), Owner{"azure", "lives", "eth0"}, nil); err != nil {
		t.Errorf("who lives has lost the address: %v", err)
	}
}

// What Try says is what Allocate does, and nothing comes of it.
func TestTryChangesNothing(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	try := func(id string, want error) Trial {
		t.Helper()
		got, err := r.Try(r.Context(), []Request{{Owner: Owner{"azure", id, "eth0"}}})
		if err != nil || !errors.Is(got.Err, want) {
			t.Fatalf("%s: %v, %v instead of %v", id, err, got.Err, want)
		}
		return got
	}
	if got := try("a", nil); len(got.Space.Pools) != 2 || got.Space.Pools[0].Available() != 1 || len(got.Space.Bindings) != 0 {
		t.Errorf("the trial says %+v", got.Space)
	}
	before := r.source.questions()
	r.give("a", "10.240.0.5")
	if r.source.questions() == before {
		t.Error("the trial's answer is remembered")
	}
	try("b", ErrFull)
	r.refuse("b", ErrFull)
	r.fail("it sleeps")
	if got := try("a", nil); !errors.Is(got.Source, source.ErrUnavailable) || got.Space.Pools[0].Available() != 1 {
		t.Errorf("the trial says %+v", got)
	}
	if err := r.Check(r.Context(), Owner{"azure", "a", "eth0"}, nil); err != nil {
		t.Errorf("the trial took the address away: %v", err)
	}
}

// An answer in which this host does not appear is named as such; one that is a web page, too.
func TestWhatIsNotThisHosts(t *testing.T) {
	r := newRig(t)
	r.source.set(func(f *fakeSource) {
		f.subnets = []source.Subnet{{MAC: "00:0d:3a:00:00:aa", Prefix: prefix("10.240.0.0/16"), Addresses: []netip.Addr{addr("10.240.0.5")}}}
	})
	r.refuse("a", ErrForeign, "00:0d:3a:00:00:aa")
}
