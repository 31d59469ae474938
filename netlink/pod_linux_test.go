package netlink

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/lab"
)

// pods are connected pods of a VM.
type pods struct {
	*host
	bridge Bridge
	spaces []*fabric.Namespace
}

// connect makes the bridge and connects n pods to it. Without rules they reach nobody but the host.
func connect(t *testing.T, n int) *pods {
	t.Helper()
	p := &pods{host: newHost(t)}
	for i := range n {
		ns, err := p.VM.NewPod(lab.PodPrefixes[i].Addr().String())
		p.Must(err)
		p.spaces = append(p.spaces, ns)
	}
	p.kernel(func(nl *Handle) {
		var err error
		p.bridge, err = nl.EnsureBridge("azure0", "eth0", Lost{})
		p.Must(err)
		for i := range n {
			host, err := nl.AddPod(p.pod(i))
			p.Must(err)
			if host.Name != p.pod(i).HostName || len(host.MAC) != 6 || host.Master != p.bridge.Link.Index {
				t.Errorf("the host end is %+v", host)
			}
		}
	})
	return p
}

func (p *pods) pod(i int) Pod {
	name := string(rune('a' + i))
	return Pod{
		NetNS: p.spaces[i].Path(), IfName: "eth0", HostName: "azv0000000000" + name, Alias: "azure/" + name + "/eth0", Bridge: p.bridge.Link,
		MAC: lab.PodMAC(lab.PodPrefixes[i]), MTU: 1500, Addresses: lab.PodPrefixes[i : i+1],
		Routes: []Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: lab.Gateway}, {Dst: netip.MustParsePrefix("168.63.129.16/32")}},
	}
}

func TestAddPodGivesThePodItsAddressesRoutesAndMTU(t *testing.T) {
	p := connect(t, 1)
	ns := &lab.Host{T: t, VM: &fabric.VM{Ns: p.spaces[0]}}
	p.Same("the pod", ns.Conf("eth0"), `10.240.0.0/16 proto kernel scope link src 10.240.1.1
168.63.129.16 scope link
DEV inet 10.240.1.1/16 scope global DEV\ valid_lft forever preferred_lft forever
broadcast 10.240.255.255 table local proto kernel scope link src 10.240.1.1
default via 10.240.0.1
local 10.240.1.1 table local proto kernel scope host src 10.240.1.1
`)
	for _, part := range []string{"mtu 1500", "0a:58:0a:f0:01:01", "UP"} {
		if text := ns.IP("-o link show eth0"); !strings.Contains(text, part) {
			t.Errorf("the pod's interface has no %s: %s", part, text)
		}
	}
	if text := p.IP("link show azv0000000000a"); !strings.Contains(text, "alias azure/a/eth0") {
		t.Errorf("the host veth is %s", text)
	}
}

// docs/network.md: where each MAC is, is known, so a port learns nothing and no pod gets what is others'.
func TestAPodsPortIsFloodedWithNothing(t *testing.T) {
	p := connect(t, 1)
	p.WantPodPort(p.pod(0).HostName)
}

// docs/network.md: the fabric's MAC is behind the master, and stays there, whatever a pod sends.
func TestThePortOfTheFabricIsPinned(t *testing.T) {
	p := connect(t, 1)
	pinned := regexp.MustCompile(`(?m)^12:34:56:78:9a:bc .*\bsticky\b`)
	if fdb := p.Run("bridge", "-d", "fdb", "show", "dev", "eth0"); !pinned.MatchString(fdb) {
		t.Errorf("the fabric's MAC may go elsewhere: %s", fdb)
	}
	// A port that learns, which ours do not, and a frame under the fabric's MAC: without the mark the bridge would believe
	// it.
	port := p.pod(0).HostName
	p.Run("bridge", "link", "set", "dev", port, "learning", "on")
	p.pip("link set eth0 address 12:34:56:78:9a:bc")
	p.pip("neigh replace 10.240.0.1 lladdr 02:00:00:00:00:01 nud permanent dev eth0")
	_, _ = p.spaces[0].Command(t.Context(), "ping", "-c", "1", "-W", "1", "10.240.0.1").CombinedOutput()
	if fdb := p.Run("bridge", "fdb", "show", "dev", port); strings.Contains(fdb, "12:34:56:78:9a:bc") {
		t.Errorf("a pod took the fabric's MAC: %s", fdb)
	}
	p.Ping(p.VM.Ns, lab.Gateway)
}

// A pod in three networks keeps the default route of the first, then that of the second.
func TestEachFurtherNetworkYieldsToThoseBefore(t *testing.T) {
	p := &pods{host: newHost(t)}
	ns, err := p.VM.NewPod("pod")
	p.Must(err)
	p.spaces = append(p.spaces, ns)
	p.bridge = p.ensureBridge()
	for i := range 3 {
		pod := p.pod(0)
		pod.IfName, pod.HostName = "eth"+string(rune('0'+i)), "azv"+string(rune('0'+i))
		pod.MAC, pod.Addresses, pod.Routes = lab.PodMAC(lab.PodPrefixes[i]), lab.PodPrefixes[i:i+1], pod.Routes[:1]
		p.kernel(func(nl *Handle) {
			_, err := nl.AddPod(pod)
			p.Must(err)
			if diff, err := nl.CheckPod(pod); diff.Text != "" || err != nil {
				t.Errorf("%s: %+v, %v", pod.IfName, diff, err)
			}
		})
	}
	out, err := ns.Command(t.Context(), "ip", "-4", "route", "show", "default").CombinedOutput()
	const want = "default via 10.240.0.1 dev eth0\ndefault via 10.240.0.1 dev eth1 metric 2000\ndefault via 10.240.0.1 dev eth2 metric 2001\n"
	if got := strings.ReplaceAll(string(out), " \n", "\n"); err != nil || got != want {
		t.Errorf("the default routes are %v\n%swant\n%s", err, got, want)
	}
}

func TestAddPodRefusesWhatIsThereAlready(t *testing.T) {
	p := connect(t, 1)
	before := p.IP("-o link")
	ns, err := p.VM.NewPod("another")
	p.Must(err)
	p.kernel(func(nl *Handle) {
		again := p.pod(0)
		if _, err := nl.AddPod(again); !errors.Is(err, ErrExists) {
			t.Errorf("the same pod again: %v", err)
		}
		again.HostName = "azv0000000000z"
		if _, err := nl.AddPod(again); !errors.Is(err, ErrExists) {
			t.Errorf("another host veth, the same interface in the pod: %v", err)
		}
		again.HostName, again.NetNS = p.pod(0).HostName, ns.Path()
		if _, err := nl.AddPod(again); !errors.Is(err, ErrExists) {
			t.Errorf("the same host veth, another pod: %v", err)
		}
		again.NetNS = "/nowhere"
		if _, err := nl.AddPod(again); err == nil || !strings.Contains(err.Error(), "/nowhere") {
			t.Errorf("no such namespace: %v", err)
		}
	})
	p.Same("the links", p.IP("-o link"), before)
	p.kernel(func(nl *Handle) {
		if diff, err := nl.CheckPod(p.pod(0)); diff.Text != "" || err != nil {
			t.Errorf("the pod that was there: %+v, %v", diff, err)
		}
	})
}

func TestDeletePodRemovesEverythingAndIsSuccessTwice(t *testing.T) {
	h := newHost(t)
	h.ensureBridge()
	clean := h.IP("-o link") + h.IP("neigh show nud permanent") + h.Run("bridge", "fdb")
	p := &pods{host: h}
	ns, err := h.VM.NewPod("pod")
	h.Must(err)
	p.spaces = append(p.spaces, ns)
	h.kernel(func(nl *Handle) {
		p.bridge, _, err = nl.Bridge("azure0", "eth0")
		h.Must(err)
		_, err = nl.AddPod(p.pod(0))
		h.Must(err)
		addrs := []netip.Addr{lab.PodPrefixes[0].Addr()}
		for range 2 {
			h.Must(nl.DeletePod("azv0000000000a", "azure0", addrs))
		}
		h.Must(nl.DeletePod("azv0000000000a", "nobridge", addrs))
		h.Must(nl.DeletePod("azv0000000000a", "", nil))
	})
	h.Same("links, neighbours and fdb", h.IP("-o link")+h.IP("neigh show nud permanent")+h.Run("bridge", "fdb"), clean)
}

func TestCheckPodNamesTheFirstDifference(t *testing.T) {
	t.Parallel()
	for want, damage := range map[string]func(*pods){
		"":                                    func(*pods) {},
		"host veth azv0000000000a is missing": func(p *pods) { p.IP("link del azv0000000000a") },
		"host veth azv0000000000a is not a port of bridge azure0":        func(p *pods) { p.IP("link set azv0000000000a nomaster") },
		"host veth azv0000000000a is down":                               func(p *pods) { p.IP("link set azv0000000000a down") },
		"neighbour 10.240.1.1 at 0a:58:0a:f0:01:01 is missing on azure0": func(p *pods) { p.IP("neigh del 10.240.1.1 dev azure0") },
		"neighbour 10.240.1.1 at 0a:58:0a:f0:01:01 is missing on azure0 ": func(p *pods) {
			p.IP("neigh replace 10.240.1.1 lladdr 02:00:00:00:00:01 nud permanent dev azure0")
		},
		"neighbour 10.240.1.1 at 0a:58:0a:f0:01:01 is missing on azure0  ": func(p *pods) {
			p.IP("neigh replace 10.240.1.1 lladdr 0a:58:0a:f0:01:01 nud reachable dev azure0")
		},
		"fdb entry 0a:58:0a:f0:01:01 is missing on azv0000000000a": func(p *pods) {
			p.Run("bridge", "fdb", "del", "0a:58:0a:f0:01:01", "dev", "azv0000000000a", "master")
		},
		"interface eth0 is missing in the pod": func(p *pods) {
			p.pip("link set eth0 down")
			p.pip("link set eth0 name eth9")
			p.pip("link set eth9 up")
		},
		"interface eth0 is down in the pod": func(p *pods) { p.pip("link set eth0 down") },
		"interface eth0 has MAC 02:00:00:00:00:01 instead of 0a:58:0a:f0:01:01": func(p *pods) {
			p.pip("link set eth0 address 02:00:00:00:00:01")
		},
		"interface eth0 has MTU 9000 instead of 1500": func(p *pods) { p.pip("link set eth0 mtu 9000") },
		"address 10.240.1.1/16 is missing on eth0 in the pod": func(p *pods) {
			p.pip("addr add 10.240.1.1/24 dev eth0")
			p.pip("addr del 10.240.1.1/16 dev eth0")
		},
		"route 0.0.0.0/0 by 10.240.0.1 is missing in the pod": func(p *pods) { p.pip("route replace default via 10.240.0.9") },
		"route 168.63.129.16/32 is missing in the pod":        func(p *pods) { p.pip("route del 168.63.129.16") },
		"route 168.63.129.16/32 is missing in the pod ": func(p *pods) {
			p.pip("route del 168.63.129.16")
			p.pip("route add 168.63.129.16 dev eth0 table 100")
		},
		"route 168.63.129.16/32 is missing in the pod  ": func(p *pods) {
			p.pip("link add other type veth peer name other-peer")
			p.pip("link set other up")
			p.pip("route replace 168.63.129.16 dev other")
		},
	} {
		t.Run("says "+want, func(t *testing.T) {
			p := connect(t, 1)
			damage(p)
			p.kernel(func(nl *Handle) {
				if got, err := nl.CheckPod(p.pod(0)); err != nil || got.Text != strings.TrimRight(want, " ") {
					t.Errorf("got %+v, %v; want %q", got, err, want)
				}
			})
		})
	}
}

func (p *pods) pip(args string) {
	p.Helper()
	p.InPod(p.spaces[0], args)
}

func TestCheckPodOfANamespaceThatIsGoneIsAnError(t *testing.T) {
	p := connect(t, 1)
	gone := p.pod(0)
	gone.NetNS = "/nowhere"
	p.kernel(func(nl *Handle) {
		if diff, err := nl.CheckPod(gone); err == nil {
			t.Errorf("difference %+v, no error", diff)
		}
	})
}

func TestAnIPv6AddressOfAPodIsUsableAtOnce(t *testing.T) {
	t.Parallel()
	p := &pods{host: &host{Host: &lab.Host{T: t, VM: fabric.Start(t, fabric.DefaultDual(1, 1)).VMs[0]}}}
	ns, err := p.VM.NewPod("pod")
	p.Must(err)
	p.spaces = append(p.spaces, ns)
	p.bridge = p.ensureBridge()
	pod := p.pod(0)
	pod.Addresses = lab.Prefixes("fd00::1:1/64")
	pod.Routes = []Route{{Dst: netip.MustParsePrefix("::/0"), GW: netip.MustParseAddr("fd00::1")}}
	p.kernel(func(nl *Handle) {
		_, err := nl.AddPod(pod)
		p.Must(err)
		if diff, err := nl.CheckPod(pod); diff.Text != "" || err != nil {
			t.Errorf("difference %+v, %v", diff, err)
		}
	})
	out, err := ns.Command(t.Context(), "ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "global").CombinedOutput()
	if err != nil || strings.Contains(string(out), "tentative") || !strings.Contains(string(out), "fd00::1:1/64") {
		t.Errorf("%v: %s", err, out)
	}
}
