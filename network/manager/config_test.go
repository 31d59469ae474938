package manager_test

import (
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/networktest"
)

func TestModeAndProtectionMayChangeWhilePodsLiveOnTheNetwork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1)
	if _, err := l.start().Add(t.Context(), network.Config{Mode: network.ModeTunnel, Settings: network.Settings{AllowHostAgent: true}},
		pod(c2)); err != nil {
		t.Fatal(err)
	}
	if text := l.Host.String(); !strings.Contains(text, "bridge azure2 of eth0: tunnel, host-agent\n") {
		t.Errorf("the host is\n%s", text)
	}
	if n := l.state().Networks["azure"]; n.Mode != network.ModeTunnel || n.AntiSpoof || !n.AllowHostAgent || n.Endpoints.Len() != 2 {
		t.Errorf("the record is %+v", n)
	}
}

func TestMasterAndBridgeDoNotChangeUnderLivePods(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]network.Config{
		"another master":            {Mode: network.ModeBridge, Master: "eth1"},
		"another bridge":            {Mode: network.ModeBridge, Bridge: "br0"},
		"the bridge's other master": {Mode: network.ModeBridge, Master: "eth1", Bridge: "azure2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.add(c1)
			before := l.String()
			p := l.start()
			p.host.Hook = func(s networktest.Step) { t.Errorf("the host was touched: %s", s.Method) }
			_, err := p.Add(t.Context(), c, pod(c2))
			wantError(t, err, network.ErrConflict)
			for _, part := range []string{"1 endpoints", "master eth0, bridge azure2", "cleanup"} {
				if err != nil && !strings.Contains(err.Error(), part) {
					t.Errorf("%v does not say %q", err, part)
				}
			}
			l.want(before)
		})
	}
}

func TestMasterAndBridgeChangeWhenThePodsAreGone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config network.Config
		want   string
	}{
		"another bridge": {network.Config{Mode: network.ModeBridge, Bridge: "br0"}, `
			network azure: bridge on br0 of eth0 (00:0d:3a:00:00:01, mtu 1500), [10.240.0.0/16], ip_forward was "0"
			host
			  ip_forward
			  bridge br0 of eth0: bridge`},
		"another master, and the bridge that is named after it": {network.Config{Mode: network.ModeBridge, Master: "eth1"}, `
			network azure: bridge on azure3 of eth1 (00:0d:3a:00:00:02, mtu 1500), [10.240.0.0/16], ip_forward was "0"
			host
			  ip_forward
			  bridge azure3 of eth1: bridge`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everyPoint(t, func(t *testing.T, call int, at networktest.Moment) bool {
				l := newLab(t)
				l.add(c1)
				l.del(c1)
				p := l.start()
				p.host.KillAt(call, at)
				alive := p.host.Run(func() {
					if _, err := p.Add(t.Context(), test.config, pod(c1)); err != nil {
						t.Error(err)
					}
				})
				if _, err := l.start().Add(t.Context(), test.config, pod(c2)); err != nil {
					t.Error(err)
				}
				l.del(c1, c2)
				l.want(test.want)
				if n := l.state().Networks["azure"]; len(n.Former) > 0 {
					t.Errorf("former bridges are still to be taken away: %v", n.Former)
				}
				return !alive
			})
		})
	}
}

func TestABridgeDoesNotChangeItsMasterEvenWithoutPods(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1)
	l.del(c1)
	_, err := l.start().Add(t.Context(), network.Config{Mode: network.ModeBridge, Master: "eth1", Bridge: "azure2"}, pod(c1))
	wantError(t, err, network.ErrConflict)
	l.want(azureWithoutPods)
}

func TestAFormerBridgeThatAnotherNetworkUsesStays(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1)
	other := network.Owner{Network: "other", ContainerID: "c2", IfName: "eth0"}
	e := pod(c2)
	e.Owner = other
	if _, err := l.start().Add(t.Context(), bridgeMode, e); err != nil {
		t.Fatal(err)
	}
	l.del(c1)
	before := l.Host.String()
	c := bridgeMode
	c.Bridge = "br0"
	_, err := l.start().Add(t.Context(), c, pod(c1))
	wantError(t, err, network.ErrConflict) // eth0 can be a port of one bridge only
	same(t, l.Host.String(), before)
}

// Without "master" the network stays where it is, whatever else carries the subnet by now.
func TestTheMasterOfAKnownNetworkIsNotLookedForAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1)
	e := pod(c2)
	e.Addresses = prefixes("10.241.1.2/16") // eth1's subnet
	n, err := l.start().Add(t.Context(), bridgeMode, e)
	if err != nil || n.Master != "eth0" {
		t.Errorf("network %+v, error %v", n, err)
	}
	if n := l.state().Networks["azure"]; len(n.Prefixes) != 2 {
		t.Errorf("prefixes are %v", n.Prefixes)
	}
}

func TestAddKeepsTheMACThatItIsGiven(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := pod(c1)
	e.MAC = "02:00:00:00:00:07"
	if _, err := l.start().Add(t.Context(), bridgeMode, e); err != nil ||
		!strings.Contains(l.Host.String(), "10.240.1.1 is 02:00:00:00:00:07 at") {
		t.Errorf("error %v, the host is\n%s", err, l.Host)
	}
}
