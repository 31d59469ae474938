//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/Azure/azure-container-networking/test/traffic"
)

// neighbour is a program that manages the network of a quiet machine.
type neighbour struct {
	files  map[string]string
	starts string         // its unit, "" if it is none
	fields map[string]any // of the network configuration
	harms  []string       // what is done on the machine
}

const (
	profile = "[connection]\nid=eth0\nuuid=5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=manual\naddress1=10.240.0.4/16,10.240.0.1\n[ipv6]\nmethod=disabled\n"
	byName  = "[Match]\nName=eth0\n[Network]\nLinkLocalAddressing=no\nAddress=10.240.0.4/16\nGateway=10.240.0.1\n"
	byMAC   = "[Match]\nMACAddress=00:0d:3a:00:00:01\n[Network]\nLinkLocalAddressing=no\nAddress=10.240.0.4/16\nGateway=10.240.0.1\n"
)

// Nothing of docs/host.md's files is there: what they prevent is healed.
var neighbours = map[string]neighbour{
	"nobody": {harms: []string{"nft flush ruleset", "systemctl restart nftables", "systemctl reload nftables", "{bridge}ip link del azure0",
		"{bridge}ip addr flush dev azure0", "sysctl -qw net.ipv4.ip_forward=0"}},
	"systemd-networkd by name": {starts: "systemd-networkd",
		harms: []string{"systemctl restart systemd-networkd", "{bridge}ip link del azure0"},
		files: map[string]string{"etc/systemd/network/10-netplan-eth0.network": byName}},
	"systemd-networkd by MAC": {starts: "systemd-networkd", harms: []string{"systemctl restart systemd-networkd", "networkctl reload"},
		files: map[string]string{"etc/systemd/network/10-netplan-eth0.network": byMAC}},
	"NetworkManager": {starts: "NetworkManager",
		harms: []string{"systemctl restart NetworkManager", "nmcli connection up eth0", "{bridge}ip link del azure0"},
		files: map[string]string{"etc/NetworkManager/system-connections/eth0.nmconnection": profile,
			"etc/systemd/system/dbus-org.freedesktop.hostname1.service": ""}}, // masked: it does not start here, and is waited for
	"NetworkManager with its own profile": {starts: "NetworkManager",
		harms: []string{"systemctl restart NetworkManager", "{bridge}ip link del azure0"},
		files: map[string]string{"etc/systemd/system/dbus-org.freedesktop.hostname1.service": ""}}, // it takes the NIC, and tries DHCP for ever
	"firewalld": {starts: "firewalld", fields: map[string]any{"acceptForward": true},
		harms: []string{"firewall-cmd --reload", "systemctl restart firewalld", "nft flush ruleset"}},
}

// On a machine that starts no pod any more, and whose network is put in disorder by its real managers, a connection of
// a pod goes on.
func TestAQuietNodeHeals(t *testing.T) {
	t.Parallel()
	for name, who := range neighbours {
		for _, mode := range []string{"bridge", "tunnel", "transparent"} {
			t.Run(mode+" "+name, func(t *testing.T) {
				cfg := fabric.Default(2, 4)
				cfg.VMs[0].NICs[0].Veth = true // of a macvlan NetworkManager believes that somebody else made it
				newLab(t, cfg).heals(mode, who)
			})
		}
	}
}

func (l *lab) heals(mode string, who neighbour) {
	l.Helper()
	l.broken = true // without rules pods' frames leave as they are
	m, pods := l.quiet(mode, who)
	if said := m.sh("SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no azure-vnet-repair.service"); said != "" {
		l.Errorf("systemd-analyze says of the unit: %s", said)
	}
	m.sh("systemctl enable --now azure-vnet-repair")
	for i, harm := range who.harms {
		if strings.HasPrefix(harm, "{bridge}") && mode == "transparent" {
			continue
		}
		m.suffer(pods[0], strings.TrimPrefix(harm, "{bridge}"), 7000+i)
	}
	l.live(m.n, mode, pods...) // CHECK has nothing to repair
	l.Logf("the watch: %s", m.sh("grep -E 'VmRSS|RssAnon' /proc/$(systemctl show -P MainPID azure-vnet-repair)/status"))
}

// quiet is a machine that somebody else manages, with two pods and no ADD to come.
func (l *lab) quiet(mode string, who neighbour) (*machine, []*node.Pod) {
	l.Helper()
	n := l.nodes[0]
	fields := map[string]any{"mode": mode}
	for k, v := range who.fields {
		fields[k] = v
	}
	m := l.boot(n, fields, who.files)
	if who.starts != "" {
		m.sh("systemctl start " + who.starts)
		l.eventually("nobody configures eth0", func() bool { return strings.Contains(l.run(n, "ip route show default"), gateway.String()) })
	}
	list := l.list(n, fields)
	return m, []*node.Pod{l.add(n, list), l.add(n, list)}
}

// suffer does something to the machine, and requires that the pod's connection goes on, and that doctor is content.
func (m *machine) suffer(p *node.Pod, harm string, port int) {
	m.Helper()
	remote := m.fabric.VMs[1]
	var s *traffic.Stream
	m.eventually("the pod does not reach outside", func() (ok bool) { // whoever has just started may be at work yet
		var err error
		s, err = traffic.OpenStream(m.ctx, p.NS, remote.Ns, netip.AddrPortFrom(hostAddr(remote, false), uint16(port)).String())
		return err == nil
	})
	defer s.Close()
	talks := func() {
		m.Helper()
		before, _ := s.Answers()
		m.eventually(harm+": the connection does not go on", func() bool {
			now, err := s.Answers()
			m.must(err)
			return now > before+100
		})
	}
	talks()
	s.Longest()
	m.sh(harm)
	talks()
	said := ""
	defer func() {
		if m.Failed() {
			m.Logf("doctor says %s", said)
		}
	}()
	m.eventually(harm+": doctor is not content", func() bool { // from outside the machine, where the pods' namespaces have names
		r, err := m.n.Operator(m.ctx, "azure-vnet", "doctor", "--config", filepath.Join(m.n.Dir, "machine/etc/cni/net.d/10-azure.conf"))
		m.must(err)
		said = string(r.Stdout)
		return said != "" && !regexp.MustCompile(`(?m)^failure`).MatchString(said)
	})
	talks()
	m.Logf("%s: %v without an answer", harm, s.Longest().Round(1e6))
}

// A watch ends when somebody says so, and when another azure-vnet is installed in place of its own, which it sees by
// the next change.
func TestAWatchEnds(t *testing.T) {
	t.Parallel()
	for how, end := range map[string]func(l *lab, program string, watch *fabric.Cmd){
		"by a signal": func(l *lab, _ string, watch *fabric.Cmd) { l.must(watch.Process.Signal(syscall.SIGTERM)) },
		"by another version": func(l *lab, program string, _ *fabric.Cmd) {
			l.must(os.WriteFile(program+".new", []byte("another"), 0o755))
			l.must(os.Rename(program+".new", program))
			l.run(l.nodes[0], "ip link add some type veth peer name thing")
		},
	} {
		t.Run(how, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 4))
			n := l.nodes[0]
			pod := l.add(n, l.list(n, nil))
			program := filepath.Join(n.Dir, "azure-vnet")
			l.run(n, "cp "+filepath.Join(binaries, "azure-vnet")+" "+
				program) // by another process: one of this one's children could still have it open for writing
			watch := n.VM.Ns.Command(l.ctx, program, "repair", "--watch", "--config", l.confFile(n))
			out, err := watch.StdoutPipe()
			l.must(err)
			var complaints bytes.Buffer
			watch.Stderr = &complaints
			l.must(watch.Start())
			lines := make(chan string)
			go func() {
				line, _ := bufio.NewReader(out).ReadString('\n')
				lines <- line
			}()
			// What is done between a look and its repair is put right without a word.
			for said := ""; said == ""; {
				select {
				case said = <-lines:
					if !strings.HasPrefix(said, "repaired: pod default/") {
						t.Fatalf("it says %q; %s", said, &complaints)
					}
				default:
					if strings.Contains(l.run(n, "ip link show "+veth(pod)), " master ") {
						l.run(n, "ip link set "+veth(pod)+" nomaster")
					}
				}
			}
			end(l, program, watch)
			if err := watch.Wait(); err != nil {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}

// What doctor says of a program that manages the host's network is done on a live machine, with the program running and
// nobody else to repair: pods go on, and doctor is content.
func TestDoctorsRemediesForManagersWorkOnALiveNode(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"systemd-networkd by name", "systemd-networkd by MAC", "NetworkManager"} {
		for _, mode := range []string{"bridge", "tunnel"} {
			t.Run(mode+" "+name, func(t *testing.T) {
				cfg := fabric.Default(2, 4)
				cfg.VMs[0].NICs[0].Veth = true
				newLab(t, cfg).remedies(mode, neighbours[name])
			})
		}
	}
}

func (l *lab) remedies(mode string, who neighbour) {
	l.Helper()
	l.broken = true
	m, pods := l.quiet(mode, who)
	done := 0
	for _, f := range m.doctor().ailing() {
		if f.Check == "host-network" {
			m.suffer(pods[0], f.Remedy, 7100+done)
			done++
		}
	}
	if done == 0 {
		l.Fatal("doctor has nothing to say about it")
	}
	for _, f := range m.doctor().ailing() {
		if f.Check == "host-network" || f.Level == "failure" {
			l.Errorf("afterwards doctor says %+v", f)
		}
	}
	// What it was for is nothing that takes the pods off; the address that networkd puts on the master moves again.
	m.sh("systemctl enable --now azure-vnet-repair")
	m.suffer(pods[0], "systemctl restart "+who.starts, 7200)
	l.live(m.n, mode, pods...)
}

func (m *machine) doctor() (d diagnosis) {
	m.Helper()
	out, _ := m.command("/opt/cni/bin/azure-vnet", "doctor", "-o", "json").Output() // exits with 1 if it finds something
	oneDocument(m.T, out, &d)
	return d
}
