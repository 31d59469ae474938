package nft

import (
	"context"
	"net/netip"
	"os"
	"regexp"
	"testing"

	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/lab"
)

// pods are connected pods of a VM.
type pods struct {
	*host
	bridge netlink.Bridge
	spaces []*fabric.Namespace
}

// rtnl runs fn in the VM, with the socket of one command.
func (h *host) rtnl(fn func(nl *netlink.Handle)) {
	h.Helper()
	h.Must(h.VM.Ns.Do(func() error {
		nl, err := netlink.Open(nil)
		if err != nil {
			return err
		}
		defer nl.Close()
		fn(nl)
		return nil
	}))
}

// snapshot is what the plugin remembers of azure0.
func (p *pods) snapshot() (seen []byte) {
	p.rtnl(func(nl *netlink.Handle) {
		b, ok, err := nl.Bridge("azure0", "eth0")
		if !ok || err != nil {
			p.Fatalf("the bridge is ok: %v, %v", ok, err)
		}
		seen, err = nl.Snapshot(b, nil)
		p.Must(err)
	})
	return seen
}

// connect makes the bridge with its rules and connects n pods to it, as the plugin does.
func connect(t *testing.T, n int, change ...func(*Rules)) *pods {
	t.Helper()
	p := &pods{host: newHost(t)}
	for i := range n {
		ns, err := p.VM.NewPod(lab.PodPrefixes[i].Addr().String())
		p.Must(err)
		p.Must(ns.Do(func() error { // the kernel's own chatter would raise the counters of rules
			return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		}))
		p.spaces = append(p.spaces, ns)
	}
	p.kernel(func(nft *Conn) { p.Must(nft.EnsureRules(rulesOf("azure0", change...))) })
	p.rtnl(func(nl *netlink.Handle) {
		var err error
		p.bridge, err = nl.EnsureBridge("azure0", "eth0", netlink.Lost{})
		p.Must(err)
		for i := range n {
			_, err := nl.AddPod(p.pod(i))
			p.Must(err)
		}
	})
	p.kernel(func(nft *Conn) {
		for i := range n {
			p.Must(nft.AddElements(p.element(i)))
		}
	})
	return p
}

func (p *pods) pod(i int) netlink.Pod {
	return netlink.Pod{
		NetNS: p.spaces[i].Path(), IfName: "eth0", HostName: p.element(i).Port, Alias: p.element(i).Comment, Bridge: p.bridge.Link,
		MAC: lab.PodMAC(lab.PodPrefixes[i]), MTU: 1500, Addresses: lab.PodPrefixes[i : i+1],
		Routes: []netlink.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: lab.Gateway}, {Dst: netip.MustParsePrefix("168.63.129.16/32")}},
	}
}

func (*pods) element(i int) Element {
	name := string(rune('a' + i))
	return Element{Scope: Scope{"azure0", FamilyBridge}, Address: lab.PodPrefixes[i].Addr(), MAC: lab.PodMAC(lab.PodPrefixes[i]),
		Port: "azv0000000000" + name, Comment: "azure/" + name + "/eth0"}
}

func (p *pods) pip(args string) {
	p.Helper()
	p.InPod(p.spaces[0], args)
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
			hostAddr := lab.Prefix.Addr()
			for _, to := range []netip.Addr{lab.Gateway, fabric.RemoteHost, fabric.HostAgent, hostAddr} {
				p.Ping(p.spaces[0], to)
			}
			reply, err := p.spaces[0].Ping(t.Context(), lab.PodPrefixes[1].Addr(), fabric.PingOptions{})
			if err != nil || reply.TTL != test.throughTTL {
				t.Errorf("pod to pod: %+v, %v; want TTL %d", reply, err, test.throughTTL)
			}
			p.Ping(p.VM.Ns, lab.PodPrefixes[0].Addr())
			p.Ping(p.VM.Ns, lab.Gateway)
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
			p.Ping(p.spaces[0], fabric.HostAgent) // the way there is open
			for _, port := range []string{"80", "32526"} {
				if test.open {
					p.Must(p.connect(t.Context(), port))
				} else {
					p.wantDropped(port)
				}
			}
			p.Must(p.connect(t.Context(), "53")) // DNS works always
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
		if counted.MatchString(p.NFT("list table bridge azure-vnet")) {
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

func TestPodsOfADeletedBridgeAreConnectedAgain(t *testing.T) {
	p := connect(t, 2)
	lost := netlink.Lost{Host: p.snapshot(),
		Pods: []netlink.Pod{p.pod(0), {HostName: "azv0000000gone", MAC: lab.PodMAC(lab.PodPrefixes[2]), Addresses: lab.PodPrefixes[2:3]},
			p.pod(1)}}
	p.IP("link del azure0")
	p.rtnl(func(nl *netlink.Handle) {
		_, err := nl.EnsureBridge("azure0", "eth0", lost)
		p.Must(err)
	})
	p.rtnl(func(nl *netlink.Handle) {
		b, err := nl.Link("azure0")
		p.Must(err)
		for i := range 2 {
			pod := p.pod(i)
			pod.Bridge = b
			if diff, err := nl.CheckPod(pod); diff.Text != "" || err != nil {
				t.Errorf("pod %d: %+v, %v", i, diff, err)
			}
		}
	})
	for _, to := range []netip.Addr{lab.Gateway, fabric.RemoteHost, lab.Prefix.Addr(), lab.PodPrefixes[1].Addr()} {
		p.Ping(p.spaces[0], to)
	}
	p.Ping(p.VM.Ns, lab.PodPrefixes[0].Addr())
	p.WantPodPort(p.pod(0).HostName)
}
