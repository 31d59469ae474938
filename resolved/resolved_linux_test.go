package resolved

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/resolver"
	"github.com/godbus/dbus/v5"
)

const eth0, azure0 = 2, 1 << 20

// start serves a resolved with both links, the first one with settings of every kind.
func start(t *testing.T, change func(*resolver.StandIn)) (*resolver.StandIn, string) {
	t.Helper()
	s := &resolver.StandIn{Exists: func(i int32) bool { return i == eth0 || i == azure0 }}
	if change != nil {
		change(s)
	}
	bus := resolver.StartBus(t, t.TempDir())
	if err := s.Serve(bus); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	set(t, s.SetLinkDNSEx(eth0, []resolver.ServerEx{{Family: 2, Address: []byte{168, 63, 129, 16}},
		{Family: 2, Address: []byte{10, 0, 0, 4}, Port: 853, Name: "dns.example"}}))
	set(t, s.SetLinkDomains(eth0, []resolver.Domain{{Name: "internal.cloudapp.net"}, {Name: "corp.example", RouteOnly: true}}))
	set(t, s.SetLinkDefaultRoute(eth0, false))
	set(t, s.SetLinkLLMNR(eth0, "resolve"))
	set(t, s.SetLinkDNSSEC(eth0, "allow-downgrade"))
	set(t, s.SetLinkDNSSECNegativeTrustAnchors(eth0, []string{"corp.example"}))
	s.Calls()
	return s, bus
}

func set(t *testing.T, err *dbus.Error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// settingsOf are a link's properties as they come over the bus.
func settingsOf(t *testing.T, bus string, index int) map[string]any {
	t.Helper()
	conn, err := connect(t.Context(), bus)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	l, err := (&resolved{t.Context(), conn}).link(index)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]dbus.Variant{}
	if err := l.Call("org.freedesktop.DBus.Properties.GetAll", 0, link).Store(&all); err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	for name, v := range all {
		values[name] = v.Value()
	}
	return values
}

func carry(t *testing.T, bus string, from, to int) error {
	t.Helper()
	s, err := Read(t.Context(), bus, from)
	if err != nil {
		return err
	}
	return Apply(t.Context(), bus, to, s)
}

func carried(t *testing.T, bus string, from, to int) {
	t.Helper()
	if err := carry(t, bus, from, to); err != nil {
		t.Fatal(err)
	}
}

func TestAllSettingsOfALinkAreCarriedThereAndBack(t *testing.T) {
	s, bus := start(t, nil)
	before := settingsOf(t, bus, eth0)
	carried(t, bus, eth0, azure0)
	if got := settingsOf(t, bus, azure0); !reflect.DeepEqual(got, before) {
		t.Errorf("azure0 has %v, eth0 had %v", got, before)
	}
	if got := settingsOf(t, bus, eth0); !reflect.DeepEqual(got, before) {
		t.Errorf("eth0 has %v, had %v", got, before)
	}
	// What is as it should be is not set again, there or on the way back.
	s.Calls()
	carried(t, bus, eth0, azure0)
	carried(t, bus, azure0, eth0)
	if calls := s.Calls(); len(calls) > 0 {
		t.Errorf("set again: %v", calls)
	}
	// What was changed while the bridge was there goes back.
	set(t, s.SetLinkDNS(azure0, []resolver.Server{{Family: 2, Address: []byte{10, 0, 0, 5}}}))
	changed := settingsOf(t, bus, azure0)
	carried(t, bus, azure0, eth0)
	if got := settingsOf(t, bus, eth0); !reflect.DeepEqual(got, changed) {
		t.Errorf("eth0 has %v, azure0 had %v", got, changed)
	}
}

func TestNothingIsCarriedWhereNothingIs(t *testing.T) {
	s, bus := start(t, nil)
	carried(t, bus, azure0, eth0) // a bridge without servers does not empty the master's list
	if calls := s.Calls(); len(calls) > 0 {
		t.Errorf("set: %v", calls)
	}
	carried(t, filepath.Join(t.TempDir(), "no bus"), eth0, azure0)
	s.Close()
	carried(t, resolver.StartBus(t, t.TempDir()), eth0, azure0) // no resolved
}

func TestALinkThatNetworkdManagesIsLeftAlone(t *testing.T) {
	s, bus := start(t, func(s *resolver.StandIn) { s.Managed = func(i int32) bool { return i == azure0 } })
	carried(t, bus, eth0, azure0)
	if calls := s.Calls(); len(calls) > 0 {
		t.Errorf("set: %v", calls)
	}
}

// resolved hears of a new link a moment after the kernel made it.
func TestALinkThatResolvedHasNotHeardOfIsWaitedFor(t *testing.T) {
	var asked atomic.Int32
	_, bus := start(t, func(s *resolver.StandIn) {
		s.Exists = func(i int32) bool { return i == eth0 || asked.Add(1) > 3 }
	})
	carried(t, bus, eth0, azure0)
	if got, want := settingsOf(t, bus, azure0), settingsOf(t, bus, eth0); !reflect.DeepEqual(got, want) {
		t.Errorf("azure0 has %v, eth0 %v", got, want)
	}
}

// Whatever hangs: a link that never comes, a bus that accepts and says nothing.
func TestAllOfItIsBounded(t *testing.T) {
	_, bus := start(t, func(s *resolver.StandIn) { s.Exists = func(i int32) bool { return i == eth0 } })
	silent := filepath.Join(t.TempDir(), "silent")
	l, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for name, bus := range map[string]string{"no such link": bus, "a silent bus": silent} {
		done := make(chan error, 1)
		go func() { done <- carry(t, bus, eth0, azure0) }()
		select {
		case err := <-done:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * patience):
			t.Fatalf("%s: it hangs", name)
		}
	}
}
