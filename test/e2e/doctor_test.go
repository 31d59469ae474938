//go:build linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// The schema of "doctor -o json" (docs/cni.md), written down again: a change of the plugin's must show.
type diagnosis struct {
	Healthy  bool
	Findings []finding
}

type finding struct {
	Check, Level, Found, Remedy string
	Owner                       *struct{ Network, ContainerID, IfName string }
}

// ailing is what is not ok.
func (d diagnosis) ailing() (list []finding) {
	for _, f := range d.Findings {
		if f.Level != "ok" {
			list = append(list, f)
		}
	}
	return list
}

// patient is a node with two pods, masquerading and a free pool: doctor has nothing to say about it.
type patient struct {
	*lab
	n      *node.Node
	mode   string
	fields map[string]any
	conf   string // the file for --config
	pods   []*node.Pod
	holder *fabric.Cmd // of a lock
}

// undisturbed are mounts that hide what manages the network of the machine of the tests.
const undisturbed = "mkdir -p /run/systemd && mount -t tmpfs tmpfs /run/systemd && mount -t tmpfs tmpfs /etc/systemd"

func newPatient(t *testing.T, mode string) *patient {
	t.Helper()
	l := newLab(t, fabric.Default(1, 4))
	p := &patient{lab: l, n: l.nodes[0], mode: mode, fields: map[string]any{"mode": mode, "ipMasq": true, "vnetCidrs": "10.240.0.0/16"}}
	p.configure()
	p.pods = []*node.Pod{p.add(), p.add()}
	return p
}

// configure writes the configuration.
func (p *patient) configure() {
	p.Helper()
	p.conf = filepath.Join(p.n.Dir, "10-azure.conf")
	p.must(os.WriteFile(p.conf, p.lab.conf(p.n, p.fields), 0o600))
}

func (p *patient) add() *node.Pod {
	p.Helper()
	return p.lab.add(p.n, p.list(p.n, p.fields))
}

// veth is the host's end of a pod.
func veth(p *node.Pod) string { return p.Result.Interfaces[len(p.Result.Interfaces)-2].Name }

// doctor runs it in both forms, and requires that they agree.
func (p *patient) doctor(mounts string, args ...string) (diagnosis, string) {
	p.Helper()
	if len(args) == 0 && !strings.Contains(mounts, "/etc/cni") {
		args = []string{"--config", p.conf}
	}
	if p.n.Mounts = undisturbed; mounts != "" {
		p.n.Mounts += " && " + mounts
	}
	defer func() { p.n.Mounts = "" }()
	var replies [2]node.Reply
	var errs [2]error
	each(2, func(i int) {
		replies[i], errs[i] = p.n.Operator(p.ctx, "azure-vnet", append([][]string{{"doctor", "-o", "json"}, {"doctor"}}[i], args...)...)
	})
	p.must(errors.Join(errs[:]...))
	programs, people := replies[0], replies[1]
	var d diagnosis
	oneDocument(p.T, programs.Stdout, &d)
	want := 0
	for _, f := range d.ailing() {
		want = max(want, map[string]int{"warning": 1, "failure": 2}[f.Level])
	}
	if programs.Exit != want || people.Exit != want || d.Healthy != (want == 0) {
		p.Errorf("exit %d and %d, healthy %t; found %+v; %s", programs.Exit, people.Exit, d.Healthy, d.ailing(), people.Stderr)
	}
	for _, f := range d.Findings {
		if f.Level != "ok" && f.Level != "warning" && f.Level != "failure" || f.Check == "" || f.Found == "" ||
			(f.Level == "ok") != (f.Remedy == "") {
			p.Errorf("finding %+v", f)
		}
		for _, text := range []string{f.Check, f.Found, f.Remedy} {
			if !strings.Contains(string(people.Stdout), text) {
				p.Errorf("the table lacks %q:\n%s", text, people.Stdout)
			}
		}
	}
	return d, string(people.Stdout)
}

func (p *patient) healthy(mounts string, args ...string) {
	p.Helper()
	if d, _ := p.doctor(mounts, args...); len(d.ailing()) > 0 {
		p.Errorf("doctor is not content: %+v", d.ailing())
	}
}

// TestDoctorOnAHealthyNode: nothing to say, and nothing changed; the same where there is no pod yet.
func TestDoctorOnAHealthyNode(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			p := newPatient(t, mode)
			files := func() string {
				var b strings.Builder
				p.must(filepath.WalkDir(p.n.Dir, func(path string, e os.DirEntry, err error) error {
					if err != nil || e.IsDir() {
						return err
					}
					info, err := e.Info()
					fmt.Fprintf(&b, "%s %s %d %s\n", path, info.Mode(), info.Size(), info.ModTime())
					return err
				}))
				return b.String()
			}
			host, before := p.snapshot(p.n), files()
			p.healthy("")
			if after := p.snapshot(p.n); after != host {
				t.Errorf("doctor changed the host from\n%s\nto\n%s", host, after)
			}
			if after := files(); after != before {
				t.Errorf("doctor changed the files from\n%s\nto\n%s", before, after)
			}
			list, err := json.Marshal(map[string]any{"cniVersion": "1.0.0", "name": "azure",
				"plugins": []any{p.n.Conf(p.fields), map[string]string{"type": "portmap"}}})
			p.must(err)
			p.must(os.WriteFile(p.conf+"list", list, 0o600))
			p.healthy("", "--config", p.conf+"list")
			// As a runtime would find it; networkd is there, but has nothing to do with our interfaces.
			p.healthy("mount -t tmpfs tmpfs /etc && mkdir -p /etc/cni/net.d && cp " + p.conf +
				"list /etc/cni/net.d/10-azure.conflist && echo '{}' > /etc/cni/net.d/99-other.conf && mkdir /run/systemd/netif && touch " +
				"/run/systemd/netif/state")
			for _, pod := range p.pods {
				p.must(pod.Del(p.ctx))
			}
			p.healthy("")
			// By the state alone, too.
			p.healthy("", "--data-dir", p.n.DataDir())
		})
	}
}

// The files of docs/host.md are all that doctor wants of networkd.
func TestDoctorIsContentWithTheDocumentedFiles(t *testing.T) {
	p := newPatient(t, "tunnel")
	etc := filepath.Join(t.TempDir(), "systemd")
	p.documented(etc)
	p.must(os.WriteFile(filepath.Join(etc, "network/10-netplan-eth0.network"), []byte("[Match]\nName=eth0\n[Network]\nDHCP=yes\n"), 0o600))
	p.healthy("mkdir /run/systemd/netif && touch /run/systemd/netif/state && mount --bind " + etc + " /etc/systemd")
}

// A node of the classic plugin is told to be one, until the first ADD has taken it over.
func TestDoctorOnANodeOfTheClassicPlugin(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(classicDir, "*", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("%v, %v", dirs, err)
	}
	for _, dir := range dirs {
		t.Run(strings.TrimPrefix(dir, classicDir+"/"), func(t *testing.T) {
			l := newLab(t, classicFabric())
			l.broken = true // the classic rules let out what ours do not
			c := l.classicNode(dir)
			c.list["ipMasq"] = true
			p := &patient{lab: l, n: c.n, mode: c.mode, fields: c.list}
			p.configure()
			d, table := p.doctor("")
			if !slices.ContainsFunc(d.Findings, func(f finding) bool { return f.Check == "takeover" && strings.Contains(f.Remedy, "start a pod") }) {
				t.Errorf("doctor does not see it:\n%s", table)
			}
			p.pods = []*node.Pod{p.add()}
			p.healthy("")
		})
	}
}

// A command under way looks like a fault for a moment.
func TestDoctorLetsCommandsEnd(t *testing.T) {
	p := newPatient(t, "bridge")
	p.holdLock("azure-vnet.lock", "1")
	p.healthy("")
}

// Both families at once; br_netfilter, kube-proxy and a firewall that lets pods pass.
func TestDoctorOnABusyNode(t *testing.T) {
	t.Parallel()
	for _, mode := range all {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 4))
			p := &patient{lab: l, n: l.nodes[0], mode: mode, fields: map[string]any{
				"mode": mode, "ipam": bothFamilies, "ipMasq": true, "acceptForward": true, "ipsToRouteViaHost": []string{"10.0.0.0/16"}}}
			for _, line := range []string{"iptables -P FORWARD DROP", "iptables -t nat -N KUBE-SERVICES",
				"sysctl -qw net.bridge.bridge-nf-call-iptables=1"} {
				l.run(p.n, line)
			}
			p.configure()
			p.pods = []*node.Pod{p.add(), p.add()}
			p.healthy("")
		})
	}
}

// A fault that an operator meets: how it comes, what doctor has to say, and what cures it.
type fault struct {
	modes  []string       // bridge if empty
	fields map[string]any // further configuration, before the pods are made
	plant  []string       // commands; see patient.fill
	by     func(p *patient)
	mounts string
	args   []string // for doctor

	check, level string
	names        string // what is named
	remedy       string // part of the remedy
	// cure is a command of the remedy's, word for word, "REPAIR" for azure-vnet repair with what comes before it,
	// "MOUNTED" for the whole remedy where the mounts are, "HOST" for the remedy itself, or "" if it is no command.
	cure string
	then func(p *patient) // what the remedy leaves to do
}

var all = []string{"bridge", "tunnel", "transparent"}

func (p *patient) fill(text string) string {
	return strings.NewReplacer("{veth}", veth(p.pods[0]), "{ip}", p.pods[0].IP.String(), "{id}", p.pods[0].ID, "{family}", family, "{mac}",
		p.n.VM.Config.NICs[0].MAC.String(), "{dir}", p.n.DataDir(), "{conf}", p.conf).Replace(text)
}

func (p *patient) sh(line string) {
	p.Helper()
	if out, err := p.n.VM.Ns.Command(p.ctx, "/bin/sh", "-c", line).CombinedOutput(); err != nil {
		p.Fatalf("%s: %v: %s", line, err, out)
	}
}

var faults = map[string]fault{
	"a value of the configuration is wrong": {
		by:    func(p *patient) { p.fields["mtu"] = "large"; p.configure() },
		check: "configuration", level: "failure", names: "mtu", remedy: "correct the file",
	},
	"the configuration is no JSON": {
		plant: []string{"echo '{' > {conf}"}, args: []string{"--config", "{conf}", "--data-dir", "{dir}"},
		check: "configuration", level: "failure", names: "no JSON", remedy: "correct the file",
	},
	"another configuration comes first": {
		mounts: "mount -t tmpfs tmpfs /etc/cni 2>/dev/null || { mount -t tmpfs tmpfs /etc && mkdir /etc/cni; }; mkdir /etc/cni/net.d && echo " +
			"'{}' > /etc/cni/net.d/05-other.conf && cp {conf} /etc/cni/net.d/", args: []string{"--data-dir", "{dir}"},
		check: "configuration", level: "failure", names: "05-other.conf", remedy: "mv /etc/cni/net.d/05-other.conf", cure: "MOUNTED",
	},
	"the master does not exist": {
		by:    func(p *patient) { p.fields["name"], p.fields["master"] = "other", "eth7"; p.configure() },
		check: "master", level: "failure", names: "eth7", remedy: "set \"master\"",
	},
	"the master is down": {
		plant: []string{"ip link set eth0 down"}, check: "master", level: "failure", names: "eth0 is down", remedy: "ip link set eth0 up",
		cure: "ip link set eth0 up",
	},
	"the host's addresses are gone": {
		modes: []string{"bridge", "tunnel"}, plant: []string{"ip addr flush dev azure0"}, check: "bridge", level: "failure",
		names: "not one of a family", remedy: "azure-vnet repair --config {conf}", cure: "REPAIR",
	},
	"the subnet's address is gone": {
		modes: []string{"transparent"}, plant: []string{"ip addr flush dev eth0"}, check: "master", level: "failure",
		names: "10.240.0.0/16", remedy: "dhclient eth0",
	},
	"the bridge lost an address": {
		plant: []string{"ip addr add 10.99.0.1/24 dev azure0"},
		by:    func(p *patient) { p.pods = append(p.pods, p.add()); p.run(p.n, "ip addr del 10.99.0.1/24 dev azure0") },
		check: "bridge", level: "warning", names: "10.99.0.1/24", remedy: "ip addr add 10.99.0.1/24 dev azure0",
		cure: "ip addr add 10.99.0.1/24 dev azure0",
	},
	"the bridge lost an address that nobody wants": {
		plant: []string{"ip addr add 10.99.0.1/24 dev azure0"},
		by:    func(p *patient) { p.pods = append(p.pods, p.add()); p.run(p.n, "ip addr del 10.99.0.1/24 dev azure0") },
		check: "bridge", level: "warning", names: "10.99.0.1/24", remedy: "; else: ", cure: "REPAIR",
	},
	"something else has the bridge's name": {
		plant: []string{"ip link del azure0", "ip link add azure0 type veth peer name other0"}, check: "bridge", level: "failure",
		names: "azure0 is a veth", remedy: "ip link del azure0; ", cure: "REPAIR",
	},
	"the bridge is deleted": {
		modes: []string{"bridge", "tunnel"}, plant: []string{"ip link del azure0"}, check: "bridge", level: "failure", names: "azure0 is gone",
		remedy: "azure-vnet repair --config {conf}", cure: "REPAIR",
	},
	"the bridge is down": {
		plant: []string{"ip link set azure0 down"}, check: "bridge", level: "failure", names: "azure0 is down",
		remedy: "azure-vnet repair --config {conf}", cure: "REPAIR",
	},
	"the bridge has another MAC": {
		plant: []string{"ip link set azure0 address 02:00:00:00:00:02"}, check: "bridge", level: "failure", names: "02:00:00:00:00:02",
		remedy: "azure-vnet repair --config {conf}", cure: "REPAIR",
	},
	"the bridge has another MTU": {
		plant: []string{"ip link set azure0 mtu 1400"}, check: "bridge", level: "failure", names: "MTU 1400",
		remedy: "azure-vnet repair --config {conf}", cure: "REPAIR",
	},
	"the address is back on the master": {
		plant: []string{"ip addr add 10.240.0.4/16 dev eth0"}, check: "bridge", level: "failure", names: "10.240.0.4/16",
		remedy: "azure-vnet repair --config {conf}", cure: "REPAIR",
	},
	"the host has addresses of pods": {
		modes: all, plant: []string{"ip addr add 10.240.1.3/16 dev eth0", "ip addr add 10.240.1.4/32 dev lo"},
		check: "host-addresses", level: "failure",
		names: "eth0 of the host has 10.240.1.3/16", remedy: "azure-vnet host release --yes", cure: "HOST",
	},
	"the host has the address of a pod": {
		modes: all, plant: []string{"ip addr add {ip}/32 dev lo"}, check: "host-addresses", level: "failure",
		names: "lo of the host has {ip}/32", remedy: "azure-vnet host release --yes", cure: "HOST",
	},
	"the master is no port": {
		plant: []string{"ip link set eth0 nomaster"}, check: "bridge", level: "failure", names: "eth0 is not a port",
		remedy: "azure-vnet repair --config {conf}", cure: "REPAIR",
	},
	"the master is a port of another bridge": {
		plant: []string{"ip link add br9 type bridge", "ip link set eth0 master br9"}, check: "bridge", level: "failure", names: "br9",
		remedy: "ip link set eth0 nomaster; ", cure: "REPAIR",
	},
	"the rules are flushed": {
		modes: all, plant: []string{"nft flush ruleset"}, check: "rules", level: "failure", names: "azure-vnet",
		remedy: "azure-vnet repair --config {conf}", cure: "REPAIR",
	},
	"IP forwarding is off": {
		modes: all, plant: []string{"sysctl -qw net.ipv4.ip_forward=0"}, check: "ip-forward", level: "failure", names: "net.ipv4.ip_forward",
		remedy: "sysctl -w net.ipv4.ip_forward=1", cure: "sysctl -w net.ipv4.ip_forward=1",
	},
	"IPv6 forwarding is off": {
		modes: all, fields: map[string]any{"ipam": bothFamilies}, plant: []string{"sysctl -qw net.ipv6.conf.all.forwarding=0"},
		check: "ip-forward", level: "failure",
		names: "net.ipv6.conf.all.forwarding", remedy: "sysctl -w", cure: "sysctl -w net.ipv6.conf.all.forwarding=1",
	},
	"FORWARD drops (nftables)": {
		modes: all, plant: []string{"nft add table ip filter",
			"nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy drop; }'"},
		check: "firewall", level: "failure", names: "FORWARD", remedy: "\"acceptForward\": true",
		then: func(p *patient) { p.accept("ip", "filter", "FORWARD") },
	},
	"FORWARD drops (iptables-nft)": {
		plant: []string{"iptables -P FORWARD DROP"}, check: "firewall", level: "failure", names: "FORWARD", remedy: "acceptForward",
		then: func(p *patient) { p.fields["acceptForward"] = true; p.configure(); p.readd() },
	},
	"a rule of FORWARD rejects": {
		plant: []string{"iptables -A FORWARD -j REJECT"}, check: "firewall", level: "failure", names: "FORWARD",
		remedy: "nft insert rule ip filter FORWARD",
		then:   func(p *patient) { p.accept("ip", "filter", "FORWARD") },
	},
	"a firewall knows the master, and not the bridge": {
		plant: []string{"nft add table inet filter", "nft add chain inet filter input '{ type filter hook input priority 0; policy drop; }'",
			"nft add rule inet filter input iifname eth0 accept", "nft add rule inet filter input ct state established accept"},
		check: "firewall", level: "failure", names: "lets in what comes by eth0, and drops the rest: with the bridge it comes by azure0",
		remedy: "nft insert rule inet filter input iifname \"azure0\" accept",
		cure:   "nft insert rule inet filter input iifname \"azure0\" accept",
	},
	"legacy iptables": {
		plant: []string{"iptables-legacy -P FORWARD DROP"}, check: "firewall", level: "warning", names: "legacy iptables",
		remedy: "iptables-legacy -S FORWARD",
	},
	"br_netfilter was switched off": {
		plant: []string{"sysctl -qw net.bridge.bridge-nf-call-ip6tables=0"},
		check: "services", level: "failure", names: "bridge-nf-call-ip6tables is 0", remedy: "sysctl -w net.bridge.bridge-nf-call-ip6tables=1",
		cure: "sysctl -w net.bridge.bridge-nf-call-ip6tables=1",
	},
	"the host agent is cut off": {
		plant: []string{"ip route add prohibit 168.63.129.16"}, check: "host-agent", level: "warning", names: "168.63.129.16", remedy: "curl",
	},
	"the pool is exhausted": {
		by:    func(p *patient) { p.pods = append(p.pods, p.add(), p.add()) },
		check: "pools", level: "failure", names: "0 of 4", remedy: "assign more addresses",
		then: func(p *patient) { p.must(p.pods[3].Del(p.ctx)) },
	},
	"a process holds the lock": {
		by: func(p *patient) { p.holdLock("azure-vnet.lock", "600") }, check: "locks", level: "failure", names: "azure-vnet.lock",
		remedy: "frees the lock", cure: "KILL",
	},
	"a process holds the lock of addresses": {
		by: func(p *patient) { p.holdLock("azure-vnet-ipam.lock", "600") }, check: "locks", level: "failure", names: "sleep", remedy: "kill",
	},
	"a veth is nobody's": {
		plant: []string{"ip link add azv0123456789a type veth peer name x0"}, check: "leftovers", level: "warning", names: "azv0123456789a",
		remedy: "ip link del azv0123456789a", cure: "ip link del azv0123456789a",
	},
	"a veth is of a pod that is not known": {
		modes: all, plant: []string{"ip link add azv0123456789a type veth peer name x0", "ip link set azv0123456789a alias azure/gone/eth0"},
		check: "leftovers", level: "warning", names: "azure/gone/eth0", remedy: "CNI_COMMAND=DEL CNI_CONTAINERID=gone",
		then: func(p *patient) { p.run(p.n, "ip link del azv0123456789a") },
	},
	"an element is of a pod that is not known": {
		plant: []string{"nft add element {family} azure-vnet azure0-pods4 '{ 10.240.0.77 comment \"azure/gone/eth0\" : 0a:58:0a:f0:00:4d }'"},
		check: "leftovers", level: "warning", names: "10.240.0.77", remedy: "CNI_COMMAND=DEL", cure: "DEL",
	},
	"a port is of a pod that is not known": {
		plant: []string{"nft add element {family} azure-vnet azure0-ports '{ azv0123456789a comment \"azure/gone/eth0\" }'"},
		check: "leftovers", level: "warning", names: "azv0123456789a", remedy: "CNI_COMMAND=DEL", cure: "DEL",
	},
	"a port is nobody's": {
		plant: []string{"nft add element {family} azure-vnet azure0-ports '{ azv0123456789a }'"},
		check: "leftovers", level: "warning", names: "azv0123456789a", remedy: "nft delete element {family} azure-vnet azure0-ports",
		cure: "nft delete element {family} azure-vnet azure0-ports '{ \"azv0123456789a\" }'",
	},
	"a neighbour is of no pod": {
		plant: []string{"ip neigh add 10.240.0.77 lladdr 0a:58:0a:f0:00:4d dev azure0 nud permanent"},
		check: "leftovers", level: "warning", names: "10.240.0.77", remedy: "ip neigh del 10.240.0.77 dev azure0",
		cure: "ip neigh del 10.240.0.77 dev azure0",
	},
	"an address is reserved for nobody": {
		modes: []string{"bridge", "transparent"}, by: func(p *patient) {
			p.wantSuccess(p.exec(p.n, node.Call{Plugin: "azure-vnet-ipam", Command: "ADD", ContainerID: "gone", IfName: "eth0",
				NetNS: p.pods[0].NS.Path(), Conf: p.lab.conf(p.n, p.fields)}))
		},
		check: "addresses", level: "warning", names: "azure/gone/eth0", remedy: "CNI_COMMAND=DEL", cure: "DEL",
	},
	"the address of a pod is not reserved": {
		by: func(p *patient) {
			p.wantSuccess(p.exec(p.n, node.Call{Plugin: "azure-vnet-ipam", Command: "DEL", ContainerID: p.pods[0].ID, IfName: "eth0",
				Conf: p.lab.conf(p.n, p.fields)}))
		},
		check: "addresses", level: "failure", names: "{ip}", remedy: "restart the pod", then: func(p *patient) { p.must(p.pods[0].Del(p.ctx)) },
	},
	"the address of a pod is reserved for another one": {
		by: func(p *patient) {
			p.wantSuccess(p.exec(p.n, node.Call{Plugin: "azure-vnet-ipam", Command: "DEL", ContainerID: p.pods[0].ID, IfName: "eth0",
				Conf: p.lab.conf(p.n, p.fields)}))
			p.wantSuccess(p.exec(p.n, node.Call{Plugin: "azure-vnet-ipam", Command: "ADD", ContainerID: "another", IfName: "eth0",
				NetNS: p.pods[0].NS.Path(), Args: "IP=" + p.pods[0].IP.String(), Conf: p.lab.conf(p.n, p.fields)}))
		},
		check: "addresses", level: "failure", names: "{ip} of azure/{id}/eth0 is not reserved", remedy: "restart the pod",
	},
	"a pod lost its veth": {
		modes: all, plant: []string{"ip link del {veth}"}, check: "endpoints", level: "failure", names: "{veth}", remedy: "restart it",
		then: func(p *patient) { p.must(p.pods[0].Del(p.ctx)) },
	},
	"a pod lost its elements": {
		plant: []string{"nft delete element {family} azure-vnet azure0-pods4 '{ {ip} }'"}, check: "endpoints", level: "failure", names: "{ip}",
		remedy: "azure-vnet repair", cure: "REPAIR",
	},
	"a pod lost its route": {
		modes: []string{"transparent"}, plant: []string{"ip route del {ip} dev {veth}"}, check: "endpoints", level: "failure",
		names: "route to {ip}", remedy: "azure-vnet repair", cure: "REPAIR",
	},
	"a pod lost its address": {
		by:    func(p *patient) { p.must(p.pods[0].NS.Command(p.ctx, "ip", "addr", "flush", "dev", "eth0").Run()) },
		check: "endpoints", level: "failure", names: "default/pod-", remedy: "restart it",
	},
	"a pod's namespace is gone": {
		modes: all, by: func(p *patient) { p.must(p.pods[0].NS.Close()) }, check: "endpoints", level: "warning", names: "{id}",
		remedy: "CNI_COMMAND=DEL", cure: "DEL",
	},
	"an ADD did not end": {
		plant: []string{"sed -i '0,/\"ready\"/s//\"pending\"/' {dir}/azure-vnet.json"}, check: "endpoints", level: "warning",
		names: "did not end", remedy: "CNI_COMMAND=DEL", cure: "DEL",
	},
	"rules of the classic plugin": {
		plant: []string{"ebtables-nft -t nat -A PREROUTING -p IPv4 -i eth0 --ip-dst 10.240.0.99 -j dnat --to-dst 02:00:00:00:00:99"},
		check: "other-plugins", level: "warning", names: "ebtables", remedy: "ebtables-nft -t nat -F", cure: "ebtables-nft -t nat -F",
	},
	"legacy ebtables": {
		mounts: "mount -t tmpfs tmpfs /sys/module && mkdir /sys/module/ebtable_nat", check: "other-plugins", level: "warning",
		names: "ebtable_nat", remedy: "ebtables-legacy -t nat -L",
	},
	"the state is truncated": {
		plant: []string{"truncate -s 9 {dir}/azure-vnet.json"}, check: "state", level: "warning",
		names: "azure-vnet.json is damaged", remedy: "start a pod",
	},
	"state and mirror are damaged": {
		plant: []string{"truncate -s 9 {dir}/azure-vnet-ipam.json {dir}/azure-vnet-ipam.json.bak"}, check: "state", level: "failure",
		names: "azure-vnet-ipam.json", remedy: "start a pod",
	},
	"the state is of a newer version": {
		plant: []string{"sed -i 's/\"schema\":3/\"schema\":9/' {dir}/azure-vnet.json"}, check: "state", level: "failure",
		names: "version 9", remedy: "upgrade",
	},
	"a damaged state was set aside": {
		plant: []string{"touch {dir}/azure-vnet.json.corrupt-20261101T101112Z"}, check: "state", level: "warning", names: "2026-11-01T10:11:12Z",
		remedy: "rm {dir}/azure-vnet.json.corrupt-20261101T101112Z", cure: "rm {dir}/azure-vnet.json.corrupt-20261101T101112Z",
	},
	"everybody may read the state": {
		plant: []string{"chmod 644 {dir}/azure-vnet.json"}, check: "state", level: "warning", names: "-rw-r--r--", remedy: "chmod 600",
		cure: "chmod 600 {dir}/azure-vnet.json",
	},
	"the folder is missing": {
		args: []string{"--config", "{conf}", "--data-dir", "{dir}/none"}, check: "data-dir", level: "failure", names: "{dir}/none",
		remedy: "mkdir -p {dir}/none",
	},
	"the folder is read-only": {
		mounts: "mount --bind {dir} {dir} && mount -o remount,ro,bind {dir}", check: "data-dir", level: "failure", names: "read-only",
		remedy: "mount -o remount,rw",
	},
	"the disk is full": {
		mounts: "mkdir -p {dir}-full && mount -t tmpfs -o size=512k tmpfs {dir}-full && cp -a {dir}/. {dir}-full",
		args:   []string{"--config", "{conf}", "--data-dir", "{dir}-full"},
		check:  "data-dir", level: "failure", names: "no room", remedy: "df {dir}-full",
	},
	"the log is a folder": {
		by: func(p *patient) { p.fields["logFile"] = p.n.Dir; p.configure() }, check: "log", level: "warning",
		names: "not a file", remedy: "logFile",
	},
	"the log cannot be written": {
		by: func(p *patient) { p.fields["logFile"] = "/none/azure-vnet.log"; p.configure() }, check: "log", level: "warning",
		names: "/none/azure-vnet.log", remedy: "logFile",
	},
	"another bridge in the configuration": {
		by:    func(p *patient) { p.fields["bridge"] = "azure9"; p.configure() },
		check: "configuration", level: "failure", names: "azure9", remedy: "put the configuration back",
	},
	"an attachment that nobody may paste into a shell": {
		plant: []string{"ip link add azv0123456789a type veth peer name x0", "ip link set azv0123456789a alias \"azure/'; true; '/eth0\""},
		check: "leftovers", level: "warning", names: "azv0123456789a", remedy: "let the runtime collect garbage",
	},
}

// holdLock holds a lock as another process would, for some seconds, at most until the test ends.
func (p *patient) holdLock(file, seconds string) {
	p.Helper()
	cmd := p.n.VM.Ns.Command(p.ctx, "flock", "-F", filepath.Join(p.n.DataDir(), file), "sh", "-c", "echo held; exec sleep "+seconds)
	out, err := cmd.StdoutPipe()
	p.must(err)
	p.must(cmd.Start())
	p.holder = cmd
	p.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	said := make([]byte, 5)
	if _, err := out.Read(said); err != nil {
		p.Fatal(err)
	}
}

// accept does what the remedy for a chain says.
func (p *patient) accept(family, table, chain string) {
	p.Helper()
	name := "azure0"
	if p.mode == "transparent" {
		name = "azv*"
	}
	for _, dir := range []string{"iifname", "oifname"} {
		p.sh(fmt.Sprintf("nft insert rule %s %s %s %s '\"%s\"' accept", family, table, chain, dir, name))
	}
}

// readd makes all pods anew: settings of a network are the same for all.
func (p *patient) readd() {
	p.Helper()
	for _, pod := range p.pods {
		p.must(pod.Del(p.ctx))
	}
	p.pods = []*node.Pod{p.add()}
}

// TestDoctorFindsWhatOperatorsMeet plants each fault, wants it named with its remedy, and doctor content after the
// cure.
func TestDoctorFindsWhatOperatorsMeet(t *testing.T) {
	t.Parallel()
	for name, f := range faults {
		modes := f.modes
		if modes == nil {
			modes = []string{"bridge"}
		}
		for _, mode := range modes {
			t.Run(name+" "+mode, func(t *testing.T) {
				p := newPatientWith(t, mode, f.fields)
				p.broken = true // what is broken on purpose may send what it should not
				p.suffer(f)
			})
		}
	}
}

func newPatientWith(t *testing.T, mode string, fields map[string]any) *patient {
	t.Helper()
	if fields == nil {
		return newPatient(t, mode)
	}
	l := newLab(t, fabric.DefaultDual(1, 4))
	p := &patient{lab: l, n: l.nodes[0], mode: mode, fields: map[string]any{"mode": mode, "ipMasq": true, "vnetCidrs": "10.240.0.0/16"}}
	for k, v := range fields {
		p.fields[k] = v
	}
	p.configure()
	p.pods = []*node.Pod{p.add(), p.add()}
	return p
}

func (p *patient) suffer(f fault) {
	p.Helper()
	for _, line := range f.plant {
		p.sh(p.fill(line))
	}
	names := p.fill(f.names)
	if f.by != nil {
		f.by(p)
	}
	var args []string
	for _, a := range f.args {
		args = append(args, p.fill(a))
	}
	d, table := p.doctor(p.fill(f.mounts), args...)
	at := slices.IndexFunc(d.Findings, func(g finding) bool {
		return g.Check == f.check && g.Level == f.level && strings.Contains(g.Found, names) && strings.Contains(g.Remedy, p.fill(f.remedy))
	})
	if at < 0 {
		p.Fatalf("doctor does not say %s of %s, naming %q, with the remedy %q:\n%s", f.level, f.check, names, p.fill(f.remedy), table)
	}
	switch cure := p.fill(f.cure); cure {
	case "":
		if f.then == nil {
			return
		}
	case "REPAIR":
		p.sh(regexp.MustCompile(`(ip link [^;]*; )?[^ ]*/azure-vnet repair( --[a-z-]+ [^ ;]+)*`).FindString(d.Findings[at].Remedy))
	case "KILL":
		p.sh(regexp.MustCompile(`kill -9 \d+`).FindString(d.Findings[at].Remedy))
		_ = p.holder.Wait()
	case "HOST":
		p.n.Mounts = cloudInit(p.n)
		out, err := p.n.Command(p.ctx, "/bin/sh", "-c", d.Findings[at].Remedy).CombinedOutput()
		if p.n.Mounts = ""; err != nil {
			p.Fatalf("%s: %v: %s", d.Findings[at].Remedy, err, out)
		}
	case "MOUNTED":
		p.healthy(p.fill(f.mounts)+" && "+d.Findings[at].Remedy, args...)
	case "DEL":
		_, line, _ := strings.Cut(d.Findings[at].Remedy, ": ")
		p.sh(line)
	default:
		if !strings.Contains(d.Findings[at].Remedy, cure) {
			p.Fatalf("the remedy is %q, not %q", d.Findings[at].Remedy, cure)
		}
		p.sh(cure)
	}
	if f.then != nil {
		f.then(p)
	}
	p.healthy("")
}

func TestDoctorIsAskedTheWrongWay(t *testing.T) {
	l := newLab(t, fabric.Default(1, 2))
	for _, args := range [][]string{{"doctor", "-o", "xml"}, {"doctor", "a", "b"}, {"doctor", "--level", "bad"},
		{"doctor", "--network", "azure"}, {"doctors"}, {"doctor", "--config"}} {
		r, err := l.nodes[0].Operator(l.ctx, "azure-vnet", args...)
		l.must(err)
		if r.Exit != 2 || len(r.Stdout) > 0 || !strings.Contains(string(r.Stderr), "How it is used: azure-vnet ") {
			t.Errorf("%v: exit %d, %q, %q", args, r.Exit, r.Stdout, r.Stderr)
		}
	}
	r, err := l.nodes[0].Operator(l.ctx, "azure-vnet", "doctor", "-o", "json", "--config", "/none")
	l.must(err)
	var keys struct{ Findings []map[string]json.RawMessage }
	oneDocument(t, r.Stdout, &keys)
	if r.Exit != 2 || len(keys.Findings) == 0 {
		t.Errorf("exit %d: %s", r.Exit, r.Stdout)
	}
	for _, f := range keys.Findings {
		for k := range f {
			if !slices.Contains([]string{"check", "level", "found", "remedy", "owner"}, k) {
				t.Errorf("key %q", k)
			}
		}
	}
}
