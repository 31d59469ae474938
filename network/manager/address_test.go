package manager_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// refused is what there is of an ADD that is refused for its address: nothing.
func (l *lab) refused(c network.Config, e *network.Endpoint, whose string) {
	l.Helper()
	before := l.String()
	_, err := l.start().addTo(l, c, e)
	wantError(l.T, err, network.ErrAddress)
	if err == nil || !strings.Contains(err.Error(), whose) || !strings.Contains(err.Error(), e.Addresses[0].Addr().String()) {
		l.Errorf("%v does not name %q", err, whose)
	}
	if after := l.String(); after != before {
		l.Errorf("the refusal changed\n%s\nto\n%s", before, after)
	}
}

// addTo is an ADD on a host with addresses of its own.
func (p process) addTo(l *lab, c network.Config, e *network.Endpoint) (*network.Network, error) {
	p.OnHost = func(v4, v6 bool) (map[netip.Addr]string, error) {
		host := map[netip.Addr]string{}
		for text, at := range map[string]string{"10.240.0.4": "azure0", "172.17.0.1": "docker0", "10.240.1.9": "lo", "fd00::4": "azure0"} {
			if a := netip.MustParseAddr(text); a.Is4() && v4 || a.Is6() && v6 {
				host[a] = at
			}
		}
		return host, nil
	}
	return p.Add(l.Context(), c, e)
}

var transparentMode = network.Config{Mode: network.ModeTransparent, Master: "eth0", Settings: network.Settings{AntiSpoof: true}}

// Whoever the IPAM plugin is: an address that is somebody else's is refused before anything is touched.
func TestAddRefusesAnAddressOfSomebodyElse(t *testing.T) {
	t.Parallel()
	for address, whose := range map[string]string{
		"10.240.0.4/16":           "the host's own, on azure0",
		"10.240.0.4/32":           "the host's own, on azure0",
		"10.240.1.9/16":           "the host's own, on lo",
		"172.17.0.1/16":           "the host's own, on docker0",
		"fd00::4/64":              "the host's own, on azure0",
		"10.240.0.1/16":           "gateway",
		"10.240.0.1/32":           "the gateway which the pod is to use",
		"10.240.7.1/24":           "that of the gateway of 10.240.7.0/24",
		"10.240.0.0/16":           "the subnet 10.240.0.0/16 itself",
		"10.240.255.255/16":       "the broadcast address of 10.240.0.0/16",
		"fd00::1/64":              "that of the gateway of fd00::/64",
		"fd00::/64":               "the subnet fd00::/64 itself",
		"168.63.129.16/32":        "Azure's host agent",
		"fe80::1234:5678:9abc/64": "Azure's router",
		"169.254.1.1/16":          "next hop of pods",
		"fe80::1/64":              "next hop of pods",
		"169.254.169.254/32":      "one link only",
		"fe80::5/64":              "one link only",
		"127.0.0.5/8":             "not that of any single host",
		"::1/128":                 "not that of any single host",
		"0.0.0.0/0":               "not that of any single host",
		"::/0":                    "not that of any single host",
		"224.0.0.5/4":             "not that of any single host",
		"ff02::1/128":             "not that of any single host",
		"255.255.255.255/32":      "not that of any single host",
	} {
		for _, c := range []network.Config{bridgeMode, transparentMode} {
			t.Run(strings.ReplaceAll(address, "/", "_")+" "+string(c.Mode), func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				c.Master = "eth0"
				e := pod(c1)
				e.Addresses = prefixes(address)
				l.refused(c, e, whose)
			})
		}
	}
}

// The IPAM plugin's gateway counts without a route by it, too.
func TestAddRefusesTheGatewaysAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := pod(c1)
	e.Addresses, e.Routes, e.Gateways = prefixes("10.240.3.3/32"), nil, []netip.Addr{netip.MustParseAddr("10.240.3.3")}
	l.refused(bridgeMode, e, "the gateway which the pod is to use")
	e.Gateways = nil
	if _, err := l.start().addTo(l, bridgeMode, e); err != nil {
		t.Error(err)
	}
}

func TestAddRefusesAnotherPodsAddress(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]network.Owner{"of the same network": c2,
		"of another network": {Network: "second", ContainerID: "c2", IfName: "eth0"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.add(c1)
			e := pod(other)
			e.Addresses = prefixes(addressOf["c1"])
			l.refused(bridgeMode, e, "azure/c1/eth0")
			l.del(c1)
			if _, err := l.start().addTo(l, bridgeMode, e); err != nil {
				t.Error(err)
			}
		})
	}
}

// An address that begins like another's is not that one.
func TestAddTakesAnAddressLikeAnothers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := pod(c1)
	e.Addresses = prefixes("10.240.1.11/16")
	if _, err := l.start().addTo(l, bridgeMode, e); err != nil {
		t.Fatal(err)
	}
	l.add(c2)
	e = pod(c3)
	e.Addresses = prefixes("10.240.1.1/16")
	if _, err := l.start().addTo(l, bridgeMode, e); err != nil {
		t.Error(err)
	}
}

// What an interrupted ADD of the same owner left is its own.
func TestAddAfterAnInterruptedOneKeepsItsAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.interrupt(c1)
	e := pod(c2)
	e.Addresses = prefixes(addressOf["c1"])
	l.refused(bridgeMode, e, "azure/c1/eth0")
	if _, err := l.start().addTo(l, bridgeMode, pod(c1)); err != nil {
		t.Error(err)
	}
}

// A record whose pod ended without a DEL holds nothing.
func TestAddTakesADeadPodsAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1)
	e := pod(c2)
	e.Addresses = prefixes(addressOf["c1"])
	p := l.start()
	there := true
	p.Interface = func(name string) (platform.Interface, bool, error) {
		if name == c1.HostIfName() {
			return platform.Interface{Name: name}, there, nil
		}
		for _, i := range nics() {
			if i.Name == name {
				return i, true, nil
			}
		}
		return platform.Interface{}, false, nil
	}
	if _, err := p.addTo(l, bridgeMode, e); err == nil {
		t.Fatal("a living pod's address is given")
	}
	there = false
	if _, err := p.addTo(l, bridgeMode, e); err != nil {
		t.Error(err)
	}
}
