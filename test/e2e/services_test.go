//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// Addresses of load balancers, by family: in the nodes' subnet, and outside of the VNET. They have only VM 1 as a
// backend.
var (
	internalFrontend = map[bool]netip.Addr{false: addr("10.240.0.200"), true: addr("fd00::200")}
	publicFrontend   = map[bool]netip.Addr{false: addr("203.0.113.7"), true: addr("2001:db8::7")}
)

// service is one way that kube-proxy, or portmap, translates an address and port to a backend.
type service struct {
	name    string
	at      netip.AddrPort // invalid address: the node's own, whichever (a node port)
	backend netip.AddrPort
	// masquerade is what policy "Cluster" does for those that come from outside.
	masquerade bool
}

// client is somebody who asks.
type client struct {
	name string
	ns   *fabric.Namespace
	addr netip.Addr
	vm   int // whose kube-proxy translates for it; -1: nobody's on its own side
}

// Everybody reaches every kind of service: by cluster address, node port, host port and load balancer, in the subnet
// and outside, on the client's own node and on another, by TCP and UDP. Who asks, and whom the backend sees, is written
// down for each; the fabric sees no address that is not the node's own.
func TestServices(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, v6 := range []bool{false, true} {
			for _, rules := range []string{"iptables", "nft"} {
				for _, layout := range []string{"", "the host alone", "another subnet"} {
					t.Run(fmt.Sprintf("%s %s IPv6=%v %s", mode, rules, v6, layout), func(t *testing.T) {
						cfg := fabric.DefaultDual(2, 3)
						if layout == "another subnet" {
							podsElsewhere(cfg)
						}
						for _, a := range []netip.Addr{internalFrontend[v6], publicFrontend[v6]} {
							cfg.LoadBalancers = append(cfg.LoadBalancers, fabric.LoadBalancer{Frontend: a, Backends: []string{"vm1"}})
						}
						l := newLab(t, cfg)
						if layout == "the host alone" {
							for _, n := range l.nodes {
								l.singleAddresses(n)
							}
						}
						l.services(mode, rules, v6)
					})
				}
			}
		}
	}
}

// podsElsewhere puts the pods into a subnet that is not the nodes'.
func podsElsewhere(cfg fabric.Config) {
	for i := range cfg.VMs {
		nic := &cfg.VMs[i].NICs[0]
		nic.PodPrefix, nic.PodPrefix6 = netip.MustParsePrefix("10.242.0.0/16"), netip.MustParsePrefix("fd02::/64")
		for k := range nic.Pods {
			nic.Pods[k], nic.Pods6[k] = addr(fmt.Sprintf("10.242.%d.%d", i+1, k+1)), addr(fmt.Sprintf("fd02::%x:%x", i+1, k+1))
		}
	}
}

func (l *lab) services(mode, rules string, v6 bool) {
	l.Helper()
	families := []string{"ipv4"}
	if v6 {
		families = append(families, "ipv6")
	}
	for _, n := range l.nodes {
		// The plugin switches on what it needs.
		l.run(n, "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0")
		if v6 {
			l.run(n, "sysctl -qw net.ipv6.conf.all.forwarding=1") // kube-proxy's own precondition
		}
	}
	pods := l.threePods(mode, families)
	backends := map[string]netip.AddrPort{}
	for name, b := range map[string]struct {
		ns *fabric.Namespace
		at netip.Addr
	}{
		"a pod of VM 1": {pods[0][0].NS, pods[0][0].Addr(v6)},
		"VM 1":          {l.fabric.VMs[0].Ns, hostAddr(l.fabric.VMs[0], v6)},
		"a pod of VM 2": {pods[1][0].NS, pods[1][0].Addr(v6)},
		"VM 2":          {l.fabric.VMs[1].Ns, hostAddr(l.fabric.VMs[1], v6)},
	} {
		backends[name] = netip.AddrPortFrom(b.at, backendPort)
		l.serve(b.ns, backends[name])
		l.serveUDP(b.ns, backends[name])
	}
	services := servicesOf(backends, v6)
	for _, n := range l.nodes {
		l.proxy(n, rules, v6, services)
	}
	clients := []client{
		{"a pod of VM 1", pods[0][1].NS, pods[0][1].Addr(v6), 0},
		{"the backend itself", pods[0][0].NS, pods[0][0].Addr(v6), 0},
		{"VM 1", l.fabric.VMs[0].Ns, hostAddr(l.fabric.VMs[0], v6), 0},
		{"a pod of VM 2", pods[1][1].NS, pods[1][1].Addr(v6), 1},
		{"VM 2", l.fabric.VMs[1].Ns, hostAddr(l.fabric.VMs[1], v6), 1},
		{"a remote host", l.fabric.Ns(), map[bool]netip.Addr{false: fabric.RemoteHost, true: fabric.RemoteHost6}[v6], -1},
	}
	for _, c := range clients {
		for _, s := range services {
			l.asksFor(c, s, v6)
		}
	}
	if !v6 {
		l.probed(services)
	}
	for _, list := range pods {
		for _, p := range list {
			l.must(p.Check(l.ctx))
		}
	}
}

// servicesOf are all kinds, one port each where the address is the same.
func servicesOf(backends map[string]netip.AddrPort, v6 bool) (list []service) {
	cluster := addr("10.0.0.9")
	if v6 {
		cluster = addr("fd00:10::9")
	}
	port := uint16(30000)
	for _, name := range []string{"a pod of VM 1", "VM 1", "a pod of VM 2", "VM 2"} {
		cluster = cluster.Next()
		port++
		list = append(list,
			service{"cluster address → " + name, netip.AddrPortFrom(cluster, servicePort), backends[name], false},
			service{"node port → " + name, netip.AddrPortFrom(netip.Addr{}, port), backends[name], true},
			service{"internal load balancer → " + name, netip.AddrPortFrom(internalFrontend[v6], port), backends[name], true},
			service{"public load balancer → " + name, netip.AddrPortFrom(publicFrontend[v6], port), backends[name], true})
	}
	pod := backends["a pod of VM 1"]
	return append(list,
		service{"host port, or local node port", netip.AddrPortFrom(netip.Addr{}, 30100), pod, false},
		service{"internal load balancer, local", netip.AddrPortFrom(internalFrontend[v6], 30100), pod, false},
		service{"public load balancer, local", netip.AddrPortFrom(publicFrontend[v6], 30100), pod, false})
}

const servicePort, backendPort = 80, 8080

// asksFor lets a client ask for a service, which it does at VM 1 if it is a node's.
func (l *lab) asksFor(c client, s service, v6 bool) {
	l.Helper()
	vm1 := hostAddr(l.fabric.VMs[0], v6)
	at, translator := s.at, c.vm
	switch {
	case !at.Addr().IsValid():
		at, translator = netip.AddrPortFrom(vm1, s.at.Port()), 0
	case c.vm < 0 && !s.masquerade && strings.HasPrefix(s.name, "cluster"):
		return // cluster addresses are nobody's outside
	case c.vm < 0:
		translator = 0 // the load balancer's backend
	}
	sees := c.addr
	// What is for the translating node itself does not pass its POSTROUTING.
	if own := hostAddr(l.fabric.VMs[translator], v6); (s.masquerade || s.backend.Addr() == c.addr) && s.backend.Addr() != own {
		sees = own
	}
	want := fmt.Sprintf("%s sees %s", s.backend.Addr(), sees)
	for _, network := range []string{"tcp", "udp"} {
		if got, err := l.ask(c.ns, network, at, netip.Addr{}); err != nil || got != want {
			l.Errorf("%s → %s by %s at %s: %q, %v instead of %q", c.name, s.name, network, at, got, err, want)
		}
	}
}

// probed lets the load balancer ask whether its backend lives.
func (l *lab) probed(services []service) {
	l.Helper()
	for _, s := range services {
		if s.at.Addr().IsValid() || s.backend.Addr() != services[0].backend.Addr() {
			continue
		}
		at := netip.AddrPortFrom(hostAddr(l.fabric.VMs[0], false), s.at.Port())
		if got, err := l.ask(l.fabric.Ns(), "tcp", at, fabric.HostAgent); err != nil || !strings.HasPrefix(got, s.backend.Addr().String()) {
			l.Errorf("probe of %s: %q, %v", s.name, got, err)
		}
	}
}

// serve answers TCP connections with the backend's address and the one that it sees.
func (l *lab) serve(ns *fabric.Namespace, at netip.AddrPort) {
	l.Helper()
	listener, err := ns.Listen("tcp", at.String())
	l.must(err)
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

// serveUDP does the same with packets.
func (l *lab) serveUDP(ns *fabric.Namespace, at netip.AddrPort) {
	l.Helper()
	conn, err := ns.ListenPacket("udp", at.String())
	l.must(err)
	l.Cleanup(func() { _ = conn.Close() })
	go func() {
		var b [64]byte
		for {
			_, from, err := conn.ReadFrom(b[:])
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(fmt.Appendf(nil, "%s sees %s", at.Addr(), hostOf(from)), from)
		}
	}()
}

func hostOf(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	return host
}

// ask sends something and returns what it is told. as is the address that the client takes for itself; invalid leaves
// that to the kernel.
func (l *lab) ask(ns *fabric.Namespace, network string, to netip.AddrPort, as netip.Addr) (string, error) {
	var c net.Conn
	err := ns.Do(func() (err error) {
		d := net.Dialer{Timeout: patience}
		switch local := netip.AddrPortFrom(as, 0); {
		case as.IsValid() && network == "tcp":
			d.LocalAddr = net.TCPAddrFromAddrPort(local)
		case as.IsValid():
			d.LocalAddr = net.UDPAddrFromAddrPort(local)
		}
		c, err = d.Dial(network, to.String())
		return err
	})
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if network == "udp" {
		if _, err := c.Write([]byte("who?")); err != nil {
			return "", err
		}
	}
	b := make([]byte, 200)
	n, err := c.Read(b)
	return string(b[:n]), err
}

// proxy writes what kube-proxy writes on a node.
func (l *lab) proxy(n *node.Node, rules string, v6 bool, services []service) {
	l.Helper()
	if rules == "nft" {
		l.load(n, nftProxy(v6, services))
		return
	}
	command := map[bool]string{false: "iptables-restore", true: "ip6tables-restore"}[v6]
	l.input(n, iptablesProxy(services), command, "--noflush")
}

func iptablesProxy(services []service) string {
	var b strings.Builder
	b.WriteString(`*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
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
	for i, s := range services {
		fmt.Fprintf(&b, ":KUBE-SVC-%[1]d - [0:0]\n:KUBE-SEP-%[1]d - [0:0]\n", i)
		for _, proto := range []string{"tcp", "udp"} {
			if s.at.Addr().IsValid() {
				fmt.Fprintf(&b, "-A KUBE-SERVICES -d %s -p %s --dport %d -j KUBE-SVC-%d\n", s.at.Addr(), proto, s.at.Port(), i)
			} else {
				fmt.Fprintf(&b, "-A KUBE-NODEPORTS -p %s --dport %d -j KUBE-SVC-%d\n", proto, s.at.Port(), i)
			}
			fmt.Fprintf(&b, "-A KUBE-SEP-%d -p %s -j DNAT --to-destination %s\n", i, proto, s.backend)
		}
		if s.masquerade {
			fmt.Fprintf(&b, "-A KUBE-SVC-%d -j KUBE-MARK-MASQ\n", i)
		}
		fmt.Fprintf(&b, "-A KUBE-SVC-%[1]d -j KUBE-SEP-%[1]d\n-I KUBE-SEP-%[1]d -s %[2]s -j KUBE-MARK-MASQ\n", i, s.backend.Addr())
	}
	b.WriteString("-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\nCOMMIT\n")
	return b.String()
}

func nftProxy(v6 bool, services []service) string {
	family := map[bool]string{false: "ip", true: "ip6"}[v6]
	var b, cluster, nodes strings.Builder
	fmt.Fprintf(&b, `table %[1]s kube-proxy {
  chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
  chain masquerading { meta mark and 0x4000 == 0 return; meta mark set meta mark xor 0x4000; masquerade fully-random; }
`, family)
	for i, s := range services {
		masquerade := ""
		if s.masquerade {
			masquerade = "jump mark-for-masquerade; "
		}
		fmt.Fprintf(&b, "  chain endpoint-%d { %s%s saddr %s jump mark-for-masquerade; meta l4proto { tcp, udp } dnat to %s; }\n", i, masquerade,
			family, s.backend.Addr(), s.backend)
		if s.at.Addr().IsValid() {
			fmt.Fprintf(&cluster, "    %s daddr %s meta l4proto { tcp, udp } th dport %d goto endpoint-%d\n", family, s.at.Addr(), s.at.Port(), i)
		} else {
			fmt.Fprintf(&nodes, "    fib daddr type local meta l4proto { tcp, udp } th dport %d goto endpoint-%d\n", s.at.Port(), i)
		}
	}
	fmt.Fprintf(&b, `  chain services {
%s%s  }
  chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority 100; jump masquerading; }
}
`, cluster.String(), nodes.String())
	return b.String()
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

// The master sends back what it got, or node ports of other nodes' pods would end there. Nothing else goes back to the
// fabric: no group frames of its own, and nothing for a MAC that nobody here has.
func TestNothingIsEchoed(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 3))
			n := l.nodes[0]
			p := l.add(n, l.list(n, map[string]any{"mode": mode}))
			port, err := l.fabric.Ns().Frames("f1")
			l.must(err)
			defer func() { _ = port.Close() }()
			virtual, err := net.ParseMAC(fabric.VirtualMAC)
			l.must(err)
			mark := []byte("echo, echo, echo!!")
			for _, dst := range []string{"ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01", "01:00:5e:00:00:01", "0a:58:0a:f0:01:63"} {
				to, err := net.ParseMAC(dst)
				l.must(err)
				l.must(port.Send(ether(to, virtual, 0x0800, packet4(remoteHost, addr("10.240.1.99"), udp, 0, udpPacket(1, 2, mark)))))
			}
			l.reach("fabric", l.fabric.Ns(), "pod", p.IP, ttls[mode].fromFabric)
			for {
				frame, err := port.Receive(l.ctx)
				l.must(err)
				if bytes.Contains(frame, mark) {
					t.Errorf("came back: %x", frame)
				}
				if len(frame) > 34 && frame[12] == 8 && frame[13] == 0 && frame[23] == 1 { // the ping's answer
					break
				}
			}
		})
	}
}
