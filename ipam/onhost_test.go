package ipam

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

// onHost makes the host have these addresses itself, on an interface.
func (r *rig) onHost(at string, texts ...string) {
	host := HostAddrs{}
	for _, a := range addrs(r.T, texts...) {
		host[a] = at
	}
	r.Manager.OnHost = func(v4, v6 bool) (map[netip.Addr]string, error) {
		asked := HostAddrs{}
		for a := range host {
			if a.Is4() && v4 || a.Is6() && v6 {
				asked[a] = host[a]
			}
		}
		return asked, nil
	}
}

func TestWhatTheHostHasIsNotGiven(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6", "10.240.0.7", "fd00::5", "fd00::6")
	said := &bytes.Buffer{}
	r.Log = slog.New(slog.NewTextHandler(said, nil))
	r.onHost("eth0", "10.240.0.4", "10.240.0.5", "10.240.0.7", "fd00::5")
	r.give("a", "10.240.0.6")
	if got := said.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "[10.240.0.5 10.240.0.7]") {
		t.Errorf("the log says %q", got)
	}
	r.refuse("b", ErrOnlyOnHost, "no free address", "10.240.0.0/16 of eth0: 3 addresses, 1 in use, 2 on the host's eth0")
	if err := r.Status(t.Context(), Request{}); !errors.Is(err, ErrOnlyOnHost) || !strings.Contains(err.Error(), "2 on the host's eth0") {
		t.Errorf("STATUS says %v", err)
	}
	if got, err := r.Allocate(t.Context(), []Request{{Owner: Owner{"azure", "c", "eth0"}, IPv6: true}}); err != nil ||
		got[0].Address != addr("fd00::6") {
		t.Errorf("%v, %v", got, err)
	}
	// Once it is off the host, it is for containers.
	r.onHost("eth0", "10.240.0.4", "10.240.0.7")
	r.give("b", "10.240.0.5")
	if err := r.Status(t.Context(), Request{}); !errors.Is(err, ErrOnlyOnHost) {
		t.Errorf("STATUS says %v", err)
	}
	r.onHost("eth0", "10.240.0.4")
	if err := r.Status(t.Context(), Request{}); err != nil {
		t.Errorf("STATUS says %v", err)
	}
}

func TestWhatTheHostHasIsNotGivenWhenAskedFor(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6")
	r.give("warm", "10.240.0.5")
	r.onHost("azure0", "10.240.0.4", "10.240.0.6")
	for a, want := range map[string]error{"10.240.0.6": ErrOnHost, "10.240.0.4": ErrNotListed} {
		_, err := r.Allocate(t.Context(), []Request{{Owner: Owner{"azure", "a", "eth0"}, Address: addr(a)}})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), a) || !strings.Contains(err.Error(), "the host itself has") ||
			!strings.Contains(err.Error(), "is configured on azure0") {
			t.Errorf("%s: %v", a, err)
		}
	}
}

// What was given before the host had it stays its owner's: nobody else gets it, and its owner is told.
func TestWhatTheHostHasStaysItsOwners(t *testing.T) {
	r := newRig(t, "10.240.0.5", "10.240.0.6")
	r.give("a", "10.240.0.5")
	r.onHost("eth0", "10.240.0.5")
	r.refuse("a", ErrOnHost, "10.240.0.5, which azure/a/eth0 holds, is configured on eth0")
	r.give("b", "10.240.0.6")
	r.refuse("c", ErrExhausted, "2 addresses, 2 in use")
	if err := r.Check(t.Context(), Owner{"azure", "a", "eth0"}, addrs(t, "10.240.0.5")); err != nil {
		t.Error(err)
	}
	if err := func() error { _, err := r.allocate("c"); return err }(); errors.Is(err, ErrOnlyOnHost) {
		t.Errorf("what is in use counts as free: %v", err)
	}
}

func TestWithoutTheHostsAddressesNothingIsGiven(t *testing.T) {
	r := newRig(t, "10.240.0.5")
	unknown := errors.New("no answer")
	r.OnHost = func(bool, bool) (map[netip.Addr]string, error) { return nil, unknown }
	r.refuse("a", unknown)
	if err := r.Status(t.Context(), Request{}); !errors.Is(err, unknown) {
		t.Errorf("STATUS says %v", err)
	}
}
