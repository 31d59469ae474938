package ipam

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/ipam/source"
)

func TestAddressesInUseWithoutAStateAreAdopted(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6", "10.240.0.7")
	known := Owner{"azure", "alive", "eth0"}
	r.inUse = map[netip.Addr]Owner{addr("10.240.0.5"): known, addr("10.240.0.6"): {}, addr("192.0.2.1"): {}}
	r.give("new", "10.240.0.7")
	s := r.state()
	if got := holders(&s.AddressSpace); got["10.240.0.5"] != known || !got["10.240.0.6"].Unknown() || len(got) != 3 {
		t.Errorf("holders %v", got)
	}
	if r.looks.Load() != 2 { // and once more under the lock
		t.Errorf("InUse was called %d times", r.looks.Load())
	}
}

// The first answer after the state was lost may be a partial one: what the next one adds may be in use, too.
func TestAddressesThatAppearLaterAreAdoptedIfInUse(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	r.inUse = map[netip.Addr]Owner{addr("10.240.0.6"): {}}
	r.give("a", "10.240.0.5")
	r.pass(time.Minute)
	r.list("10.240.0.5", "10.240.0.6", "10.240.0.7")
	r.give("b", "10.240.0.7")
	looks := r.looks.Load()
	r.pass(2 * time.Hour)
	r.give("b", "10.240.0.7")
	r.wantQuestions(3)
	if r.looks.Load() != looks {
		t.Error("an answer without news makes us search all namespaces")
	}
}

func TestExhaustedPoolIsSweptOfTheDead(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6")
	r.inUse = map[netip.Addr]Owner{addr("10.240.0.5"): {}, addr("10.240.0.6"): {}}
	r.refuse("a", ErrExhausted)
	delete(r.inUse, addr("10.240.0.6"))
	r.give("a", "10.240.0.6")
	r.refuse("b", ErrExhausted)
}

// Who asks STATUS gets no pods to start when it fails, and then nothing would ever sweep.
func TestStatusSweepsLikeAllocate(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	r.inUse = map[netip.Addr]Owner{addr("10.240.0.5"): {}}
	q := Request{Owner: Owner{Network: "azure"}}
	if err := r.Status(t.Context(), q); !errors.Is(err, ErrExhausted) {
		t.Errorf("full: %v", err)
	}
	clear(r.inUse)
	if err := r.Status(t.Context(), q); err != nil {
		t.Errorf("the holder is dead: %v", err)
	}
}

func TestStatusSaysWhetherAnAddressCouldBeGiven(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	v4, v6 := Request{Owner: Owner{Network: "azure"}}, Request{Owner: Owner{Network: "azure"}, IPv6: true}
	r.fail("the agent is down")
	if err := r.Status(t.Context(), v4); !errors.Is(err, source.ErrUnavailable) {
		t.Errorf("nothing known: %v", err)
	}
	r.pass(time.Minute)
	r.list("10.240.0.5")
	if err := r.Status(t.Context(), v4); err != nil {
		t.Errorf("one is free: %v", err)
	}
	if used := r.used(); len(used) > 0 {
		t.Errorf("STATUS reserves %v", used)
	}
	if s := r.state(); len(s.Bindings) > 0 {
		t.Errorf("STATUS binds %v", s.Bindings)
	}
	if err := r.Status(t.Context(), v6); !errors.Is(err, ErrNoPool) {
		t.Errorf("no IPv6: %v", err)
	}
	r.give("a", "10.240.0.5")
	if err := r.Status(t.Context(), v4); !errors.Is(err, ErrExhausted) {
		t.Errorf("none is free: %v", err)
	}
	wanted := v4
	wanted.Address = addr("10.240.0.6")
	r.pass(time.Minute)
	r.list("10.240.0.5", "10.240.0.6")
	if err := r.Status(t.Context(), wanted); err != nil {
		t.Errorf("an address that the source lists by now: %v", err)
	}
}

func TestCollectFreesWhatIsNotKeptAndTheDead(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6", "10.240.0.7", "10.240.0.8")
	r.inUse = map[netip.Addr]Owner{addr("10.240.0.5"): {}}
	r.give("a", "10.240.0.6")
	r.give("b", "10.240.0.7")
	if _, err := r.Allocate(t.Context(), []Request{{Owner: Owner{"other", "a", "eth0"}}}); err != nil {
		t.Fatal(err)
	}
	keepA := func(id, _ string) bool { return id == "a" }
	if freed, err := r.Collect(t.Context(), "azure", keepA); err != nil || !slices.Equal(freed, addrs(t, "10.240.0.7")) {
		t.Errorf("freed %v, %v", freed, err)
	}
	clear(r.inUse)
	nothing := func(string, string) bool { return false }
	freed, err := r.Collect(t.Context(), "azure", nothing)
	if slices.SortFunc(freed, netip.Addr.Compare); err != nil || !slices.Equal(freed, addrs(t, "10.240.0.5", "10.240.0.6")) {
		t.Errorf("freed %v, %v", freed, err)
	}
	if used := r.used(); !slices.Equal(used, []string{"10.240.0.8"}) {
		t.Errorf("in use are %v", used)
	}
}

func TestCheckComparesWithTheResult(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	r.give("a", "10.240.0.5")
	for name, c := range map[string]struct {
		id     string
		result []netip.Addr
		want   error
	}{
		"without a result":      {"a", nil, nil},
		"the address":           {"a", addrs(t, "10.240.0.5"), nil},
		"and a chained one":     {"a", addrs(t, "10.240.0.5", "192.0.2.1"), nil},
		"another address":       {"a", addrs(t, "10.240.0.6"), ErrNotReserved},
		"another container":     {"b", addrs(t, "10.240.0.5"), ErrNotReserved},
		"nobody, and no result": {"b", nil, ErrNotReserved},
	} {
		if err := r.Check(t.Context(), Owner{"azure", c.id, "eth0"}, c.result); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFileIsReadAgainWhenItHasChanged(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "interfaces.json")
	r.Source, r.Environment, r.URL = source.File{Path: path}, "mas", path
	write := func(text string) {
		t.Helper()
		r.pass(time.Millisecond)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list := func(address string) string {
		return `{"Interfaces":[{"MacAddress":"00-0D-3A-11-22-33","IPSubnets":[{"Prefix":"10.240.0.0/16","IPAddresses":[` + address + `]}]}]}`
	}
	r.refuse("a", source.ErrUnavailable, "interfaces.json")
	write(list(`{"Address":"10.240.0.5"}`)) // at once: a changed file needs no interval
	r.give("a", "10.240.0.5")
	r.refuse("b", ErrExhausted)
	write(list(`{"Address":"10.240.0.5"},{"Address":"10.240.0.6"}`))
	r.give("b", "10.240.0.6")
	write(list(`{"Address":"10.240.0.6"},{"Address":"10.240.0.77"},{"Address":"10.240.0.78"}`))
	r.give("c", "10.240.0.77") // noticed although addresses are known, and some are free
	write(`{"Interfaces":`)
	r.give("d", "10.240.0.78")
	if s := r.state(); s.Answer.Failure == "" {
		t.Error("the broken file is not reported")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r.give("d", "10.240.0.78")
	r.refuse("e", ErrExhausted, "interfaces.json")
}
