//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// The five ways of a service (datapath.md) with kube-proxy's NAT on bridged packets, as iptables and as nftables write
// it: to a pod on the same VM, to the client itself, to the own host, to the other VM's pod and host. The backend says
// who it is and whom it sees, so a translation that was left out shows.
func TestServices(t *testing.T) {
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for name, c := range map[string]struct {
			v6      bool
			install func(l *lab, n *node.Node, services map[netip.Addr]netip.Addr)
		}{
			"iptables": {false, (*lab).iptablesProxy},
			"nft":      {false, (*lab).nftProxy},
			"nft IPv6": {true, (*lab).nftProxy},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				l := newLab(t, fabric.DefaultDual(2, 3))
				l.services(mode, c.v6, c.install)
			})
		}
	}
}

const servicePort, backendPort = 80, 8080

func (l *lab) services(mode string, v6 bool, install func(*lab, *node.Node, map[netip.Addr]netip.Addr)) {
	l.Helper()
	families := []string{"ipv4"}
	if v6 {
		families = append(families, "ipv6")
	}
	for _, n := range l.nodes {
		if mode != "transparent" { // nothing is bridged there
			l.run(n, "sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1")
		}
		if v6 {
			l.run(n, "sysctl -qw net.ipv6.conf.all.forwarding=1") // kube-proxy's own precondition
		}
	}
	pods := l.threePods(mode, families)
	client, neighbour, far := pods[0][0], pods[0][1], pods[1][0]
	ways := map[string]struct {
		ns      *fabric.Namespace
		backend netip.Addr
		sees    netip.Addr
	}{
		"a pod on the same VM": {neighbour.NS, neighbour.Addr(v6), client.Addr(v6)},
		"itself":               {client.NS, client.Addr(v6), hostAddr(l.fabric.VMs[0], v6)}, // kube-proxy masquerades it
		"the own host":         {l.fabric.VMs[0].Ns, hostAddr(l.fabric.VMs[0], v6), client.Addr(v6)},
		"the other VM's pod":   {far.NS, far.Addr(v6), client.Addr(v6)},
		"the other VM's host":  {l.fabric.VMs[1].Ns, hostAddr(l.fabric.VMs[1], v6), client.Addr(v6)},
	}
	services := map[netip.Addr]netip.Addr{}
	next := addr("10.0.0.9")
	if v6 {
		next = addr("fd00:10::9")
	}
	of := map[string]netip.Addr{}
	for name, w := range ways {
		next = next.Next()
		services[next], of[name] = w.backend, next
		l.serve(w.ns, netip.AddrPortFrom(w.backend, backendPort))
	}
	install(l, l.nodes[0], services)
	for name, w := range ways {
		got, err := l.ask(client.NS, netip.AddrPortFrom(of[name], servicePort))
		if want := fmt.Sprintf("%s sees %s", w.backend, w.sees); err != nil || got != want {
			l.Errorf("service → %s: %q, %v instead of %q", name, got, err, want)
		}
	}
}

// serve answers TCP connections with the backend's address and the one that it sees.
func (l *lab) serve(ns *fabric.Namespace, at netip.AddrPort) {
	l.Helper()
	var listener net.Listener
	l.must(ns.Do(func() (err error) {
		listener, err = net.Listen("tcp", at.String())
		return err
	}))
	l.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(c, "%s sees %s", hostOf(c.LocalAddr()), hostOf(c.RemoteAddr()))
			_ = c.Close()
		}
	}()
}

func hostOf(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	return host
}

// ask connects and returns what it is told.
func (l *lab) ask(ns *fabric.Namespace, to netip.AddrPort) (string, error) {
	var c net.Conn
	err := ns.Do(func() (err error) {
		c, err = net.DialTimeout("tcp", to.String(), 10*time.Second)
		return err
	})
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// iptablesProxy writes what kube-proxy's iptables mode writes.
func (l *lab) iptablesProxy(n *node.Node, services map[netip.Addr]netip.Addr) {
	l.Helper()
	var b strings.Builder
	b.WriteString(`*nat
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
`)
	i := 0
	for service, backend := range services {
		i++
		fmt.Fprintf(&b, `:KUBE-SVC-%[1]d - [0:0]
:KUBE-SEP-%[1]d - [0:0]
-A KUBE-SERVICES -d %[2]s/32 -p tcp -m tcp --dport %[4]d -j KUBE-SVC-%[1]d
-A KUBE-SVC-%[1]d -j KUBE-SEP-%[1]d
-A KUBE-SEP-%[1]d -s %[3]s/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-%[1]d -p tcp -m tcp -j DNAT --to-destination %[3]s:%[5]d
`, i, service, backend, servicePort, backendPort)
	}
	b.WriteString("COMMIT\n")
	l.input(n, b.String(), "iptables-restore", "--noflush")
}

// nftProxy writes what kube-proxy's nftables mode writes.
func (l *lab) nftProxy(n *node.Node, services map[netip.Addr]netip.Addr) {
	l.Helper()
	var b strings.Builder
	family, bracket := "ip", "%s"
	for service := range services {
		if service.Is6() {
			family, bracket = "ip6", "[%s]"
		}
	}
	fmt.Fprintf(&b, `table %[1]s kube-proxy {
  chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
  chain masquerading { meta mark and 0x4000 == 0 return; meta mark set meta mark xor 0x4000; masquerade fully-random; }
`, family)
	var rules strings.Builder
	i := 0
	for service, backend := range services {
		i++
		fmt.Fprintf(&b, "  chain endpoint-%d { %s saddr %s jump mark-for-masquerade; meta l4proto tcp dnat to %s:%d; }\n", i, family, backend, fmt.Sprintf(bracket, backend), backendPort)
		fmt.Fprintf(&rules, "    %s daddr %s tcp dport %d goto endpoint-%d\n", family, service, servicePort, i)
	}
	fmt.Fprintf(&b, `  chain services {
%s  }
  chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority 100; jump masquerading; }
}
`, rules.String())
	l.input(n, b.String(), "nft", "-f", "-")
}

// input runs a command in the VM with the text as its standard input.
func (l *lab) input(n *node.Node, text string, name string, args ...string) {
	l.Helper()
	cmd := n.VM.Ns.Command(l.ctx, name, args...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.Fatalf("%s: %v: %s\n%s", name, err, out, text)
	}
}
