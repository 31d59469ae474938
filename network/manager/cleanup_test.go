package manager_test

import (
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/networktest"
	"github.com/Azure/azure-container-networking/store"
)

// twoNetworks are front on eth0 with c1, which switched forwarding on, and back on eth1 with c2.
func twoNetworks(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	for i, name := range []string{"front", "back"} {
		o := []network.Owner{c1, c2}[i]
		o.Network = name
		e := pod(o)
		e.Addresses = prefixes([]string{"10.240.1.1/16", "10.241.1.2/16"}[i])
		if _, err := l.start().Add(t.Context(), bridgeMode, e); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// What one of two networks changed on the host the other one still needs. Who goes last gives it back.
func TestCleanupOfOneNetworkLeavesTheOther(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"front", "back"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			l := twoNetworks(t)
			if n, err := l.start().Cleanup(t.Context(), first); n != 1 || err != nil {
				t.Fatalf("%d endpoints, %v", n, err)
			}
			if first == "front" {
				l.want(`
					network back: bridge on azure3 of eth1 (00:0d:3a:00:00:02, mtu 1500), [10.241.0.0/16], ip_forward was "0"
					  ready c2/eth0: azv4477f7ab0e4 0a:58:0a:f1:01:02, pod-c2 in /ns/c2, [10.241.1.2/16]
					host
					  ip_forward
					  bridge azure3 of eth1: bridge, anti-spoof
					  veth azv4477f7ab0e4 on azure3: eth0 of back/c2/eth0 in /ns/c2, 0a:58:0a:f1:01:02, mtu 1500, [10.241.1.2/16], 0.0.0.0/0 by 10.240.0.1
					  element of azure3: 10.241.1.2 is 0a:58:0a:f1:01:02 at azv4477f7ab0e4, for back/c2/eth0
				`)
			}
			second := map[string]string{"front": "back", "back": "front"}[first]
			if n, err := l.start().Cleanup(t.Context(), second); n != 1 || err != nil {
				t.Fatalf("%d endpoints, %v", n, err)
			}
			l.want("host")
		})
	}
}

// A cleanup that fails anywhere is done again, and then nothing is left.
func TestCleanupThatFailsAnywhereIsDoneAgain(t *testing.T) {
	t.Parallel()
	everyPoint(t, func(t *testing.T, call int, at networktest.Moment) bool {
		l := twoNetworks(t)
		p := l.start()
		p.host.FailAt(call, at, errBoom)
		_, err := p.Cleanup(t.Context(), "front")
		if err == nil && p.host.Calls() < call {
			return false
		}
		if err != nil {
			wantError(t, err, errBoom)
		}
		for _, name := range []string{"front", "back"} {
			if _, err := l.start().Cleanup(t.Context(), name); err != nil {
				t.Errorf("once more, network %s: %v", name, err)
			}
		}
		l.want("host")
		return true
	})
}

// Each bridge goes with what the host had on that one: a former one's is not known any more. (The host refuses any
// other.)
func TestCleanupTakesFormerBridgesWithoutTodaysSnapshot(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1)
	l.update(func(s *network.State) { // as it is when the ADD after a change was killed
		s.Networks["azure"].Former = []network.Former{{Master: "eth1", Bridge: "br1"}}
	})
	p := l.start()
	var gone []string
	p.host.Hook = func(s networktest.Step) {
		if s.Method == "DeleteNetwork" && s.Moment == networktest.After {
			gone = append(gone, s.Network.Bridge)
		}
	}
	if _, err := p.Cleanup(t.Context(), "azure"); err != nil || len(gone) != 2 || gone[1] != "br1" {
		t.Errorf("%v are gone, %v", gone, err)
	}
	l.want("host")
}

func (l *lab) update(change func(*network.State)) {
	l.Helper()
	err := store.New(store.Options[network.State]{Path: l.path}).Update(l.Context(), func(s *network.State) error {
		change(s)
		return nil
	})
	check(l.T, err)
}
