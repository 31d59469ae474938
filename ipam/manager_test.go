package ipam

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
)

// fakeSource answers what it is told, and counts.
type fakeSource struct {
	mu      sync.Mutex
	subnets []source.Subnet
	err     error
	stamp   string
	asked   int
	gate    chan struct{} // if not nil, an answer waits for it …
	begun   chan struct{} // … after saying so here
}

func (f *fakeSource) Subnets(context.Context) ([]source.Subnet, error) {
	f.mu.Lock()
	f.asked++
	subnets, err, gate := f.subnets, f.err, f.gate
	f.mu.Unlock()
	if gate != nil {
		f.begun <- struct{}{}
		<-gate
	}
	return subnets, err
}

func (f *fakeSource) Stamp() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stamp
}

func (f *fakeSource) set(change func(*fakeSource)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeSource) questions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// rig is a Manager with a real store, a source, a clock and containers that are all the test's.
type rig struct {
	*testing.T
	*Manager
	source *fakeSource
	clock  atomic.Int64 // nanoseconds since testTime
	inUse  map[netip.Addr]Owner
	looks  atomic.Int64 // how often InUse was called
}

func newRig(t *testing.T, listed ...string) *rig {
	t.Helper()
	t.Parallel()
	r := &rig{T: t, source: &fakeSource{}, inUse: map[netip.Addr]Owner{}}
	r.list(listed...)
	dir := t.TempDir()
	r.Manager = &Manager{
		Source: r.source, Environment: "azure", URL: "http://agent", Interval: DefaultQueryInterval,
		RefreshLock: filepath.Join(dir, "refresh.lock"),
		Interfaces: func() ([]platform.Interface, error) {
			return []platform.Interface{loopback(), iface("eth0", classicMAC)}, nil
		},
		InUse: func() (map[netip.Addr]Owner, error) { r.looks.Add(1); return r.inUse, nil },
		Now:   func() time.Time { return testTime.Add(time.Duration(r.clock.Load())) },
		Log:   slog.New(slog.DiscardHandler),
	}
	r.Store = store.New(store.Options[State]{Path: filepath.Join(dir, "azure-vnet-ipam.json"), Boot: "boot"})
	return r
}

// list makes the source list these addresses, of either family.
func (r *rig) list(texts ...string) {
	v4 := source.Subnet{MAC: classicMAC, Primary: true, Prefix: prefix("10.240.0.0/16")}
	v6 := source.Subnet{MAC: classicMAC, Primary: true, Prefix: prefix("fd00::/64")}
	for _, s := range texts {
		if a := addr(s); a.Is4() {
			v4.Addresses = append(v4.Addresses, a)
		} else {
			v6.Addresses = append(v6.Addresses, a)
		}
	}
	r.source.set(func(f *fakeSource) { f.subnets, f.err = []source.Subnet{v4, v6}, nil })
}

func (r *rig) fail(why string) {
	r.source.set(func(f *fakeSource) { f.err = fmt.Errorf("%w: %s", source.ErrUnavailable, why) })
}

func (r *rig) pass(d time.Duration) { r.clock.Add(int64(d)) }

func (r *rig) allocate(id string) (string, error) {
	got, err := r.Allocate(r.Context(), []Request{{Owner: Owner{"azure", id, "eth0"}}})
	if err != nil {
		return "", err
	}
	return got[0].Address.String(), nil
}

func (r *rig) give(id, want string) {
	r.Helper()
	if got, err := r.allocate(id); err != nil || want != "" && got != want {
		r.Fatalf("%s gets %q, %v instead of %s", id, got, err, want)
	}
}

func (r *rig) refuse(id string, want error, texts ...string) {
	r.Helper()
	got, err := r.allocate(id)
	if !errors.Is(err, want) {
		r.Fatalf("%s gets %q, %v instead of %v", id, got, err, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			r.Errorf("%q is not in %q", text, err)
		}
	}
}

func (r *rig) wantQuestions(n int) {
	r.Helper()
	if got := r.source.questions(); got != n {
		r.Errorf("the source was asked %d times instead of %d", got, n)
	}
}

func (r *rig) state() (s State) {
	r.Helper()
	if err := r.Store.View(r.Context(), func(v *State) error { s = *v; return nil }); err != nil {
		r.Fatal(err)
	}
	return s
}

func (r *rig) used() []string {
	r.Helper()
	s := r.state()
	var list []string
	for a := range holders(&s.AddressSpace) {
		list = append(list, a)
	}
	slices.Sort(list)
	return list
}

func TestSourceIsAskedWhenNothingIsKnownAndNotAgainWithinTheInterval(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6")
	r.give("a", "10.240.0.5")
	r.give("b", "10.240.0.6")
	for range 5 {
		r.refuse("c", ErrExhausted, "10.240.0.0/16 of eth0: 2 addresses, 2 in use")
		r.pass(time.Second)
	}
	r.wantQuestions(1)
	r.pass(DefaultQueryInterval)
	r.list("10.240.0.5", "10.240.0.6", "10.240.0.7")
	r.give("c", "10.240.0.7")
	r.wantQuestions(2)
}

func TestFailureOfTheSourceIsRememberedForTheInterval(t *testing.T) {
	r := newRig(t)
	r.fail("the agent is down")
	for range 5 {
		r.refuse("a", source.ErrUnavailable, "the agent is down")
		r.pass(time.Second)
	}
	r.wantQuestions(1)
	r.pass(DefaultQueryInterval)
	r.list("10.240.0.5")
	r.give("a", "10.240.0.5")
	r.wantQuestions(2)
}

func TestAnAnswerWithoutAddressesIsAFailure(t *testing.T) {
	r := newRig(t)
	r.refuse("a", ErrNoneAssigned, "lists the primary address of each only")
	r.pass(time.Second)
	r.refuse("a", ErrNoneAssigned, "lists the primary address of each only") // remembered
	r.pass(time.Hour)
	r.list("10.240.0.5")
	r.give("a", "10.240.0.5")
	r.pass(2 * time.Hour)
	r.list()
	r.give("a", "10.240.0.5")
	if s := r.state(); len(s.Pools) == 0 || s.Pools[0].Capacity() != 1 {
		t.Errorf("an empty answer wipes what is known: %s", dump(t, s))
	}
}

func TestExhaustionWithTheSourceDownNamesBoth(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	r.give("a", "")
	r.pass(time.Minute)
	r.fail("the agent is down")
	r.refuse("b", ErrExhausted, "1 addresses, 1 in use", "the agent is down")
}

func TestOneProcessAsksAndAllTakeItsAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		failure string
		want    error
	}{"good": {}, "bad": {"the agent is down", source.ErrUnavailable}} {
		t.Run(name, func(t *testing.T) {
			const callers = 32
			var listed []string
			for i := range callers {
				listed = append(listed, fmt.Sprintf("10.240.1.%d", i+1))
			}
			r := newRig(t, listed...)
			if c.failure != "" {
				r.fail(c.failure)
			}
			gate := make(chan struct{})
			r.source.set(func(f *fakeSource) { f.gate, f.begun = gate, make(chan struct{}, callers) })
			// Each caller looks at the clock when it begins, when it finds no address, and right before it waits for its
			// turn to ask.
			waiting := make(chan struct{}, 100*callers)
			look := r.Now
			r.Now = func() time.Time {
				waiting <- struct{}{}
				return look()
			}
			errs := make(chan error, callers)
			for i := range callers {
				go func() {
					_, err := r.allocate(fmt.Sprintf("c%d", i))
					errs <- err
				}()
			}
			<-r.source.begun
			for range 3 * callers {
				<-waiting
			}
			close(gate)
			for range callers {
				if err := <-errs; !errors.Is(err, c.want) || c.want == nil && err != nil {
					t.Errorf("%v instead of %v", err, c.want)
				}
			}
			r.wantQuestions(1)
		})
	}
}

// While the source is slow, who can be served from what is known is served.
func TestKnownAddressesAreGivenWhileSomebodyAsks(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6", "10.240.0.7")
	r.give("a", "10.240.0.5")
	r.pass(2 * time.Hour)
	gate := make(chan struct{})
	r.source.set(func(f *fakeSource) { f.gate, f.begun = gate, make(chan struct{}, 1) })
	done := make(chan error)
	go func() {
		_, err := r.allocate("slow")
		done <- err
	}()
	<-r.source.begun
	r.give("b", "10.240.0.6")
	close(gate)
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.wantQuestions(2)
}

func TestStaleAnswerIsRenewedButServesWhenTheSourceIsDown(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6", "10.240.0.7", "10.240.0.8")
	r.give("a", "10.240.0.5")
	r.pass(maxAnswerAge - time.Second)
	r.give("b", "10.240.0.6")
	r.wantQuestions(1)
	r.pass(2 * time.Second)
	r.fail("the agent is down")
	r.give("c", "10.240.0.7")
	r.wantQuestions(2)
	r.pass(time.Second)
	r.give("d", "10.240.0.8") // within the interval nobody asks again
	r.wantQuestions(2)
	if s := r.state(); s.Answer.Failure == "" || !s.Answer.Refreshed.Equal(testTime) {
		t.Errorf("answer %+v", s.Answer)
	}
}

func TestClockSetBackCountsAsOld(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6")
	r.give("a", "10.240.0.5")
	r.pass(-24 * time.Hour)
	r.give("b", "10.240.0.6")
	r.wantQuestions(2)
	r.refuse("c", ErrExhausted)
	r.wantQuestions(2)
}

func TestBothFamiliesOrNone(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6", "fd00::5")
	both := func(id string) ([]Assigned, error) {
		o := Owner{"azure", id, "eth0"}
		return r.Allocate(t.Context(), []Request{{Owner: o}, {Owner: o, IPv6: true}})
	}
	got, err := both("a")
	if err != nil || len(got) != 2 || got[0].Address != addr("10.240.0.5") || got[1].Address != addr("fd00::5") ||
		got[1].Gateway != azure.Router6 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err = both("b"); !errors.Is(err, ErrExhausted) || len(got) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if used := r.used(); !slices.Equal(used, []string{"10.240.0.5", "fd00::5"}) {
		t.Errorf("in use are %v", used)
	}
	if freed, err := r.Release(t.Context(), Owner{"azure", "a", "eth0"}, netip.Addr{}); err != nil || len(freed) != 2 {
		t.Errorf("freed %v, %v", freed, err)
	}
}
