package manager_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/networktest"
)

// called are the methods of the data plane that a command calls, each once.
func (p process) called(command func(process) error) (methods []string, err error) {
	p.host.Hook = func(s networktest.Step) {
		if s.Moment == networktest.Before && !slices.Contains(methods, s.Method) {
			methods = append(methods, s.Method)
		}
	}
	err = command(p)
	return methods, err
}

func collectAll(t *testing.T) func(process) error {
	return func(p process) error {
		_, _, err := p.Collect(t.Context(), "azure", func(string, string) bool { return false })
		return err
	}
}

// Many go at once; and after a failure anywhere in the midst of it one by one, or at the next time.
func TestManyAreCollectedAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1, c2, c3)
	methods, err := l.start().called(collectAll(t))
	if err != nil || !slices.Contains(methods, "DeleteEndpoints") || slices.Contains(methods, "DeleteEndpoint") {
		t.Errorf("called: %v, %v", methods, err)
	}
	l.want(azureWithoutPods)
	everyPoint(t, func(t *testing.T, call int, at networktest.Moment) bool {
		l := newLab(t)
		l.add(c1, c2, c3)
		p := l.start()
		p.host.FailAt(call, at, errBoom)
		err := collectAll(t)(p)
		if err == nil && p.host.Calls() < call {
			return false
		}
		check(t, collectAll(t)(l.start()))
		l.want(azureWithoutPods)
		return true
	})
}

// What another plugin made has not our form yet: it goes one by one, and nothing is swept, since what its pods have
// names nobody.
func TestWhatAnotherPluginMadeIsNotCollectedAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1, c2)
	l.update(func(s *network.State) { s.Networks["azure"].Imported = true })
	methods, err := l.start().called(collectAll(t))
	if err != nil || slices.Contains(methods, "DeleteEndpoints") || slices.Contains(methods, "Sweep") {
		t.Errorf("called: %v, %v", methods, err)
	}
	l.want(azureWithoutPods)
}

// A neighbour names no owner. When record and element are gone, a GC takes it away, and no other one's.
func TestANeighbourThatIsNobodysIsSwept(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1, c2)
	l.Lose(netip.MustParseAddr("10.240.1.1")) // c1's element, and its record
	l.update(func(s *network.State) { s.Networks["azure"].Endpoints.Delete("c1/eth0") })
	l.Lose(netip.MustParseAddr("10.240.1.2")) // c2's element: the record knows it
	l.EndPod("/ns/c1")
	_, _, err := l.start().Collect(t.Context(), "azure", keepOnly("c2"))
	check(t, err)
	if text := l.Host.String(); strings.Contains(text, "neighbour 10.240.1.1 ") || !strings.Contains(text, "neighbour 10.240.1.2 ") {
		t.Errorf("after a GC:\n%s", text)
	}
}

// A state that was lost with pods alive is made again from the host by the next ADD, whatever fails in it, so that a GC
// finds them.
func TestPodsOfALostStateAreFoundAgain(t *testing.T) {
	t.Parallel()
	everyPoint(t, func(t *testing.T, call int, at networktest.Moment) bool {
		l := newLab(t)
		l.add(c1, c2)
		l.forgetState()
		p := l.start()
		p.host.FailAt(call, at, errBoom)
		_, err := p.Add(t.Context(), bridgeMode, pod(c3))
		if err == nil && p.host.Calls() < call {
			return false
		}
		if err != nil {
			wantError(t, err, errBoom)
			l.add(c3)
		}
		for id, address := range addressOf {
			e := l.state().Networks["azure"].Endpoints.Get(id + "/eth0")
			if e == nil || e.State != network.Ready || e.Addresses[0].String() != address || e.Rebuilt != (id != "c3") {
				t.Errorf("the record of %s is %+v", id, e)
			}
		}
		return true
	})
}

// What came into the state meanwhile is newer than what was found on the host.
func TestWhatIsFoundOnTheHostReplacesNoRecord(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c2)
	l.forgetState()
	p := l.start()
	again := pod(c2)
	again.Addresses = prefixes("10.240.1.77/16")
	done := false
	p.host.Hook = func(s networktest.Step) {
		if s.Method == "Endpoints" && s.Moment == networktest.After && !done { // c2 has been found with its old address
			done = true
			l.del(c2)
			if _, err := l.start().Add(t.Context(), bridgeMode, again); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := p.Add(t.Context(), bridgeMode, pod(c1)); err != nil {
		t.Fatal(err)
	}
	if e := l.state().Networks["azure"].Endpoints.Get("c2/eth0"); e == nil || e.Addresses[0].String() != "10.240.1.77/16" {
		t.Errorf("the record of c2 is %+v", e)
	}
}
