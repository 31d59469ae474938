package netlink

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// pods are connected pods of a VM.
type pods struct {
	*host
	bridge Bridge
	spaces []*fabric.Namespace
}

// connect makes the bridge with its rules and connects n pods to it, as the plugin does.
func connect(t *testing.T, n int, change ...func(*Rules)) *pods {
	t.Helper()
	p := &pods{host: newHost(t)}
	for i := range n {
		ns, err := p.vm.NewPod(podPrefixes[i].Addr().String())
		p.must(err)
		p.must(ns.Do(func() error { // the kernel's own chatter would raise the counters of rules
			return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		}))
		p.spaces = append(p.spaces, ns)
	}
	p.kernel(func(nl *Handle, nft *NFT) {
		p.must(nft.EnsureRules(rulesOf("azure0", change...)))
		var err error
		p.bridge, err = nl.EnsureBridge("azure0", "eth0", Lost{})
		p.must(err)
		for i := range n {
			host, err := nl.AddPod(p.pod(i))
			p.must(err)
			if host.Name != p.pod(i).HostName || len(host.MAC) != 6 || host.Master != p.bridge.Link.Index {
				t.Errorf("the host end is %+v", host)
			}
			p.must(nft.AddElements(p.element(i)))
		}
	})
	return p
}

func (p *pods) pod(i int) Pod {
	return Pod{
		NetNS: p.spaces[i].Path(), IfName: "eth0", HostName: p.element(i).Port, Alias: p.element(i).Comment, Bridge: p.bridge.Link,
		MAC: podMAC(podPrefixes[i]), MTU: 1500, Addresses: podPrefixes[i : i+1],
		Routes: []Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: gateway}, {Dst: netip.MustParsePrefix("168.63.129.16/32")}},
	}
}

func (*pods) element(i int) Element {
	name := string(rune('a' + i))
	return Element{Scope: Scope{"azure0", FamilyBridge}, Address: podPrefixes[i].Addr(), MAC: podMAC(podPrefixes[i]), Port: "azv0000000000" + name, Comment: "azure/" + name + "/eth0"}
}

func TestPodsReachEverybody(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change     []func(*Rules)
		throughTTL int // of a reply from the other pod of the VM: 63 through the fabric, 64 otherwise
	}{
		"in bridge mode":                    {nil, 64},
		"in tunnel mode":                    {[]func(*Rules){tunnelMode}, 63},
		"in bridge mode with spoofing":      {[]func(*Rules){withoutAntiSpoof}, 64},
		"in tunnel mode with open agent":    {[]func(*Rules){tunnelMode, withHostAgentOpen}, 63},
		"in tunnel mode, everything opened": {[]func(*Rules){tunnelMode, withHostAgentOpen, withoutAntiSpoof}, 63},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, 2, test.change...)
			hostAddr := hostPrefix.Addr()
			for _, to := range []netip.Addr{gateway, fabric.RemoteHost, fabric.HostAgent, hostAddr} {
				p.ping(p.spaces[0], to)
			}
			reply, err := p.spaces[0].Ping(t.Context(), podPrefixes[1].Addr(), fabric.PingOptions{})
			if err != nil || reply.TTL != test.throughTTL {
				t.Errorf("pod to pod: %+v, %v; want TTL %d", reply, err, test.throughTTL)
			}
			p.ping(p.vm.Ns, podPrefixes[0].Addr())
			p.ping(p.vm.Ns, gateway)
		})
	}
}

func TestTheHostAgentsControlPortsAreClosedToPods(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change []func(*Rules)
		open   bool
	}{
		"unless they are opened": {nil, false},
		"in tunnel mode, too":    {[]func(*Rules){tunnelMode}, false},
		"and open if asked for":  {[]func(*Rules){withHostAgentOpen}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, 1, test.change...)
			p.ping(p.spaces[0], fabric.HostAgent) // the way there is open
			for _, port := range []string{"80", "32526"} {
				if test.open {
					p.must(p.connect(t.Context(), port))
				} else {
					p.wantDropped(port)
				}
			}
			p.must(p.connect(t.Context(), "53")) // DNS works always
		})
	}
}

// connect opens a connection from the first pod to a port of the host agent, and closes it.
func (p *pods) connect(ctx context.Context, port string) error {
	c, err := p.spaces[0].Dial(ctx, "tcp", fabric.HostAgent.String()+":"+port)
	if err == nil {
		_ = c.Close()
	}
	return err
}

// wantDropped tries to connect until the rule of the port has counted a packet.
func (p *pods) wantDropped(port string) {
	p.Helper()
	ctx, cancel := context.WithCancel(p.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.connect(ctx, port) }()
	p.waitCounted("host agent port "+port+" ", done)
	cancel()
	if err := <-done; err == nil {
		p.Errorf("the pod reached port %s", port)
	}
}

// waitCounted looks until the rule of that comment has counted a packet. When done has something to say,
// it was not needed.
func (p *pods) waitCounted(rule string, done <-chan error) {
	p.Helper()
	counted := regexp.MustCompile(`counter packets [1-9].* comment "[0-9a-f]{8} ` + rule)
	for range 1000 { // each starts a process: that takes seconds
		if counted.MatchString(p.nft("list chain bridge azure-vnet azure0-from-pod")) {
			return
		}
		select {
		case err := <-done:
			p.Fatalf("%s: the end came before the rule counted anything: %v", rule, err)
		default:
		}
	}
	p.Fatalf("the rule %q counted nothing", rule)
}

func TestAddPodGivesThePodItsAddressesRoutesAndMTU(t *testing.T) {
	p := connect(t, 1)
	ns := &host{T: t, vm: &fabric.VM{Ns: p.spaces[0]}}
	p.same("the pod", ns.conf("eth0"), `10.240.0.0/16 proto kernel scope link src 10.240.1.1
168.63.129.16 scope link
DEV inet 10.240.1.1/16 scope global DEV\ valid_lft forever preferred_lft forever
broadcast 10.240.255.255 table local proto kernel scope link src 10.240.1.1
default via 10.240.0.1
local 10.240.1.1 table local proto kernel scope host src 10.240.1.1
`)
	for _, part := range []string{"mtu 1500", "0a:58:0a:f0:01:01", "UP"} {
		if text := ns.ip("-o link show eth0"); !strings.Contains(text, part) {
			t.Errorf("the pod's interface has no %s: %s", part, text)
		}
	}
	if text := p.ip("link show azv0000000000a"); !strings.Contains(text, "alias azure/a/eth0") {
		t.Errorf("the host veth is %s", text)
	}
}

// docs/network.md: where each MAC is, is known, so a port learns nothing and no pod gets what is others'.
func TestAPodsPortIsFloodedWithNothing(t *testing.T) {
	p := connect(t, 1)
	p.wantPort(p.pod(0).HostName)
}

// wantPort compares a port's settings with those of a pod's, word by word: "mcast_flood off" has "flood off" in it.
func (h *host) wantPort(name string) {
	h.Helper()
	words := strings.Fields(h.run("bridge", "-d", "link", "show", "dev", name))
	for setting, want := range map[string]string{"hairpin": "on", "learning": "off", "flood": "off", "mcast_flood": "off", "bcast_flood": "off"} {
		at := slices.Index(words, setting)
		if at < 0 || at+1 == len(words) || words[at+1] != want {
			h.Errorf("%s of port %s is not %s: %s", setting, name, want, strings.Join(words, " "))
		}
	}
}

// docs/network.md: the fabric's MAC is behind the master, and stays there, whatever a pod sends.
func TestThePortOfTheFabricIsPinned(t *testing.T) {
	p := connect(t, 1)
	pinned := regexp.MustCompile(`(?m)^12:34:56:78:9a:bc .*\bsticky\b`)
	if fdb := p.run("bridge", "-d", "fdb", "show", "dev", "eth0"); !pinned.MatchString(fdb) {
		t.Errorf("the fabric's MAC may go elsewhere: %s", fdb)
	}
	// A port that learns, which ours do not, and a frame under the fabric's MAC: without the mark the bridge would believe it.
	port := p.pod(0).HostName
	p.run("bridge", "link", "set", "dev", port, "learning", "on")
	p.run("nft", "flush", "ruleset") // anti-spoofing would drop it
	p.pip("link set eth0 address 12:34:56:78:9a:bc")
	p.pip("neigh replace 10.240.0.1 lladdr 02:00:00:00:00:01 nud permanent dev eth0")
	_, _ = p.spaces[0].Command(t.Context(), "ping", "-c", "1", "-W", "1", "10.240.0.1").CombinedOutput()
	if fdb := p.run("bridge", "fdb", "show", "dev", port); strings.Contains(fdb, "12:34:56:78:9a:bc") {
		t.Errorf("a pod took the fabric's MAC: %s", fdb)
	}
	p.ping(p.vm.Ns, gateway)
}

// A pod in three networks keeps the default route of the first, then that of the second.
func TestEachFurtherNetworkYieldsToThoseBefore(t *testing.T) {
	p := &pods{host: newHost(t)}
	ns, err := p.vm.NewPod("pod")
	p.must(err)
	p.spaces = append(p.spaces, ns)
	p.bridge = p.ensureBridge()
	for i := range 3 {
		pod := p.pod(0)
		pod.IfName, pod.HostName = "eth"+string(rune('0'+i)), p.element(i).Port
		pod.MAC, pod.Addresses, pod.Routes = podMAC(podPrefixes[i]), podPrefixes[i:i+1], pod.Routes[:1]
		p.kernel(func(nl *Handle, _ *NFT) {
			_, err := nl.AddPod(pod)
			p.must(err)
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
	before := p.ip("-o link")
	ns, err := p.vm.NewPod("another")
	p.must(err)
	p.kernel(func(nl *Handle, _ *NFT) {
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
	p.same("the links", p.ip("-o link"), before)
	p.ping(p.spaces[0], gateway)
}

func TestPodInterfaceExists(t *testing.T) {
	p := connect(t, 1)
	p.must(p.vm.Ns.Do(func() error {
		for name, want := range map[string]bool{"eth0": true, "lo": true, "eth1": false} {
			if got, err := PodInterfaceExists(p.spaces[0].Path(), name); got != want || err != nil {
				t.Errorf("%s exists: %v, %v", name, got, err)
			}
		}
		if _, err := PodInterfaceExists("/etc/hostname", "eth0"); err == nil {
			t.Error("a file that is no namespace gives no error")
		}
		return nil
	}))
}

func TestDeletePodRemovesEverythingAndIsSuccessTwice(t *testing.T) {
	h := newHost(t)
	h.ensureBridge()
	clean := h.ip("-o link") + h.ip("neigh show nud permanent") + h.run("bridge", "fdb")
	p := &pods{host: h}
	ns, err := h.vm.NewPod("pod")
	h.must(err)
	p.spaces = append(p.spaces, ns)
	h.kernel(func(nl *Handle, _ *NFT) {
		p.bridge, _, err = nl.Bridge("azure0", "eth0")
		h.must(err)
		_, err = nl.AddPod(p.pod(0))
		h.must(err)
		addrs := []netip.Addr{podPrefixes[0].Addr()}
		for range 2 {
			h.must(nl.DeletePod("azv0000000000a", "azure0", addrs))
		}
		h.must(nl.DeletePod("azv0000000000a", "nobridge", addrs))
		h.must(nl.DeletePod("azv0000000000a", "", nil))
	})
	h.same("links, neighbours and fdb", h.ip("-o link")+h.ip("neigh show nud permanent")+h.run("bridge", "fdb"), clean)
}

func TestCheckPodNamesTheFirstDifference(t *testing.T) {
	t.Parallel()
	for want, damage := range map[string]func(*pods){
		"":                                    func(*pods) {},
		"host veth azv0000000000a is missing": func(p *pods) { p.ip("link del azv0000000000a") },
		"host veth azv0000000000a is not a port of bridge azure0":          func(p *pods) { p.ip("link set azv0000000000a nomaster") },
		"host veth azv0000000000a is down":                                 func(p *pods) { p.ip("link set azv0000000000a down") },
		"neighbour 10.240.1.1 at 0a:58:0a:f0:01:01 is missing on azure0":   func(p *pods) { p.ip("neigh del 10.240.1.1 dev azure0") },
		"neighbour 10.240.1.1 at 0a:58:0a:f0:01:01 is missing on azure0 ":  func(p *pods) { p.ip("neigh replace 10.240.1.1 lladdr 02:00:00:00:00:01 nud permanent dev azure0") },
		"neighbour 10.240.1.1 at 0a:58:0a:f0:01:01 is missing on azure0  ": func(p *pods) { p.ip("neigh replace 10.240.1.1 lladdr 0a:58:0a:f0:01:01 nud reachable dev azure0") },
		"fdb entry 0a:58:0a:f0:01:01 is missing on azv0000000000a":         func(p *pods) { p.run("bridge", "fdb", "del", "0a:58:0a:f0:01:01", "dev", "azv0000000000a", "master") },
		"interface eth0 is missing in the pod": func(p *pods) {
			p.pip("link set eth0 down")
			p.pip("link set eth0 name eth9")
			p.pip("link set eth9 up")
		},
		"interface eth0 is down in the pod":                                     func(p *pods) { p.pip("link set eth0 down") },
		"interface eth0 has MAC 02:00:00:00:00:01 instead of 0a:58:0a:f0:01:01": func(p *pods) { p.pip("link set eth0 address 02:00:00:00:00:01") },
		"interface eth0 has MTU 9000 instead of 1500":                           func(p *pods) { p.pip("link set eth0 mtu 9000") },
		"address 10.240.1.1/16 is missing on eth0 in the pod":                   func(p *pods) { p.pip("addr add 10.240.1.1/24 dev eth0"); p.pip("addr del 10.240.1.1/16 dev eth0") },
		"route 0.0.0.0/0 by 10.240.0.1 is missing in the pod":                   func(p *pods) { p.pip("route replace default via 10.240.0.9") },
		"route 168.63.129.16/32 is missing in the pod":                          func(p *pods) { p.pip("route del 168.63.129.16") },
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
			p.kernel(func(nl *Handle, _ *NFT) {
				if got, err := nl.CheckPod(p.pod(0)); err != nil || got.Text != strings.TrimRight(want, " ") {
					t.Errorf("got %+v, %v; want %q", got, err, want)
				}
			})
		})
	}
}

func (p *pods) pip(args string) {
	p.Helper()
	p.inPod(p.spaces[0], args)
}

func TestCheckPodOfANamespaceThatIsGoneIsAnError(t *testing.T) {
	p := connect(t, 1)
	gone := p.pod(0)
	gone.NetNS = "/nowhere"
	p.kernel(func(nl *Handle, _ *NFT) {
		if diff, err := nl.CheckPod(gone); err == nil {
			t.Errorf("difference %+v, no error", diff)
		}
	})
}

func TestAnIPv6AddressOfAPodIsUsableAtOnce(t *testing.T) {
	t.Parallel()
	p := &pods{host: &host{T: t, vm: fabric.Start(t, fabric.DefaultDual(1, 1)).VMs[0]}}
	ns, err := p.vm.NewPod("pod")
	p.must(err)
	p.spaces = append(p.spaces, ns)
	p.bridge = p.ensureBridge()
	pod := p.pod(0)
	pod.Addresses = prefixes("fd00::1:1/64")
	pod.Routes = []Route{{Dst: netip.MustParsePrefix("::/0"), GW: netip.MustParseAddr("fd00::1")}}
	p.kernel(func(nl *Handle, _ *NFT) {
		_, err := nl.AddPod(pod)
		p.must(err)
		if diff, err := nl.CheckPod(pod); diff.Text != "" || err != nil {
			t.Errorf("difference %+v, %v", diff, err)
		}
	})
	out, err := ns.Command(t.Context(), "ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "global").CombinedOutput()
	if err != nil || strings.Contains(string(out), "tentative") || !strings.Contains(string(out), "fd00::1:1/64") {
		t.Errorf("%v: %s", err, out)
	}
}
