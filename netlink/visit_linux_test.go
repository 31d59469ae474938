package netlink

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestVisitOfAPod(t *testing.T) {
	p := connect(t, 1)
	p.Must(p.VM.Ns.Do(func() error {
		v, err := VisitPod(p.spaces[0].Path())
		p.Must(err)
		defer v.End()
		for name, want := range map[string]bool{"eth0": true, "lo": true, "eth1": false} {
			if got, err := v.Has(name); got != want || err != nil {
				t.Errorf("%s exists: %v, %v", name, got, err)
			}
		}
		if _, err := VisitPod("/etc/hostname"); err == nil {
			t.Error("a file that is no namespace gives no error")
		}
		if _, err := VisitPod("/run/netns/no-such"); !errors.Is(err, ErrNetNS) {
			t.Errorf("a namespace that is not there: %v", err)
		}
		return nil
	}))
}

// AddPod goes on with the socket of a visit, once, if the path still leads to that namespace.
func TestAVisitIsOfOneNamespace(t *testing.T) {
	p := connect(t, 2)
	p.Must(p.VM.Ns.Do(func() error {
		for _, test := range []struct {
			name string
			path string
			same bool
		}{
			{"by its path", p.spaces[0].Path(), true},
			{"by another path", filepath.Join("/proc/self/root", p.spaces[0].Path()), true},
			{"another namespace", p.spaces[1].Path(), false},
		} {
			v, err := VisitPod(p.spaces[0].Path())
			p.Must(err)
			opened := v.inPod
			ns, err := namespace(test.path)
			p.Must(err)
			defer ns.Close()
			h, err := v.goOn(ns)
			p.Must(err)
			defer h.Close()
			if (h == opened) != test.same {
				t.Errorf("%s: it goes on with the visit's socket: %v", test.name, h == opened)
			}
			if again, err := v.goOn(ns); err != nil || again == opened {
				t.Errorf("%s: a visit that is over goes on: %v", test.name, err)
			} else {
				again.Close()
			}
			l, err := h.Link("eth0")
			p.Must(err)
			if have, err := h.Addresses(l); err != nil || test.same != (have[0] == p.pod(0).Addresses[0]) {
				t.Errorf("%s: it is in the pod with %v, %v", test.name, have, err)
			}
		}
		return nil
	}))
}
