//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// cloudInit are mounts under which the host has cloud-init, with its files in a folder of the node's; no test may write
// into the machine's own /etc.
func cloudInit(n *node.Node) string {
	etc := filepath.Join(n.Dir, "etc")
	return fmt.Sprintf("mkdir -p %s/cloud/cloud.cfg.d && mount --bind %s /etc", etc, etc)
}

// hostRelease runs azure-vnet host release.
func (l *lab) hostRelease(n *node.Node, args ...string) node.Reply {
	l.Helper()
	defer func(was string) { n.Mounts = was }(n.Mounts)
	n.Mounts = cloudInit(n)
	r, err := n.Operator(l.ctx, "azure-vnet", append([]string{"host", "release", "--data-dir", n.DataDir()}, args...)...)
	l.must(err)
	return r
}

// released runs it, and wants success; it returns what it says.
func (l *lab) released(n *node.Node, args ...string) string {
	l.Helper()
	r := l.hostRelease(n, append(args, "--yes")...)
	l.wantSuccess(r)
	return string(r.Stdout)
}

// fails is an ADD that must fail, of a pod that comes and goes.
func (l *lab) fails(n *node.Node, fields map[string]any, code uint, names ...string) {
	l.Helper()
	ns, err := n.VM.NewPod("refused")
	l.must(err)
	defer func() { l.must(ns.Close()) }()
	call := node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: "refused", NetNS: ns.Path(), IfName: "eth0", Conf: l.conf(n, fields)}
	e := l.wantError(l.exec(n, call), code)
	for _, name := range names {
		if !strings.Contains(e.Msg+"; "+e.Details, name) {
			l.Errorf("%q is not named in %q; %q", name, e.Msg, e.Details)
		}
	}
	call.Command = "DEL"
	l.wantSuccess(l.exec(n, call))
}

// reachable wants the pods to reach everything, and everything them.
func (l *lab) reachable(mode string, n *node.Node, pods ...*node.Pod) {
	l.Helper()
	ttl := ttls[mode]
	for i, p := range pods {
		for _, v6 := range []bool{false, true} {
			if !p.Addr(v6).IsValid() {
				continue
			}
			from, remote := "pod "+p.Addr(v6).String(), remoteHost
			if v6 {
				remote = fabric.RemoteHost6
			}
			l.reach(from, p.NS, "remote host", remote, ttl.fabric)
			l.reach(from, p.NS, "own host", hostAddr(n.VM, v6), ttl.ownHost)
			l.reach("own host", n.VM.Ns, "pod", p.Addr(v6), ttl.fromHost)
			l.reach("fabric", l.fabric.Ns(), "pod", p.Addr(v6), ttl.fromFabric)
			if other := pods[(i+1)%len(pods)]; other != p && other.Addr(v6).IsValid() {
				l.reach(from, p.NS, "pod of this host", other.Addr(v6), ttl.samePod)
			}
			l.reach("host", n.VM.Ns, "remote host", remote, 64)
		}
	}
}

// cloud-init's default: all that Azure assigned to the NIC is on the host before the first pod comes. No pod gets such
// an address, everybody says why, and after the remedy all of them are pods'.
func TestTheHostHasAllAddresses(t *testing.T) {
	t.Parallel()
	for _, mode := range all {
		for _, dual := range []bool{false, true} {
			t.Run(fmt.Sprint(mode, " dual ", dual), func(t *testing.T) {
				cfg := fabric.Default(1, 3)
				fields := map[string]any{"mode": mode}
				if dual {
					cfg = fabric.DefaultDual(1, 3)
					fields["ipam"] = bothFamilies
				}
				l := newLab(t, cfg)
				n, nic := l.nodes[0], l.nodes[0].VM.Config.PrimaryNIC()
				for i, a := range nic.Pods {
					l.run(n, fmt.Sprintf("ip addr add %s/%d dev eth0", a, []int{16, 32}[i%2]))
				}
				for i, a := range nic.Pods6 {
					l.run(n, fmt.Sprintf("ip addr add %s/%d dev eth0 nodad", a, []int{64, 128}[i%2]))
				}
				before := l.hostConf(n)
				l.fails(n, fields, 100, "no free address", "3 addresses, 0 in use, 3 on the host's eth0", "cloud-init",
					"cloud-netconfig", "azure-vnet host release")
				status := node.Call{Plugin: "azure-vnet", Command: "STATUS", Conf: l.conf(n, fields)}
				if e := l.wantError(l.exec(n, status), 50); !strings.Contains(e.Msg, "3 on the host's eth0") ||
					!strings.Contains(e.Details, "azure-vnet host release") {
					t.Errorf("STATUS says %q; %q", e.Msg, e.Details)
				}
				if left := l.leftovers(n); len(left) > 0 || l.hostConf(n) != before {
					t.Errorf("left: %v; the host's configuration was\n%s\nand is\n%s", left, before, l.hostConf(n))
				}
				l.ailing(n, fields, "eth0 of the host has "+nic.Pods[0].String())
				said := l.released(n)
				for _, a := range slices.Concat(nic.Pods, nic.Pods6) {
					if !strings.Contains(said, a.String()) {
						t.Errorf("host release does not say %s:\n%s", a, said)
					}
				}
				l.released(n)
				list := l.list(n, fields)
				pods := []*node.Pod{l.add(n, list), l.add(n, list), l.add(n, list)}
				l.reachable(mode, n, pods...)
				l.wantSuccess(l.exec(n, status)) // pods have all there is, as they shall
				l.ailing(n, fields, "")
			})
		}
	}
}

// ailing wants doctor to name one thing of host-addresses, or nothing if that is "".
func (l *lab) ailing(n *node.Node, fields map[string]any, names string) {
	l.Helper()
	defer func(was string) { n.Mounts = was }(n.Mounts)
	n.Mounts = cloudInit(n)
	conf := filepath.Join(n.Dir, "doctor.conf")
	l.must(os.WriteFile(conf, l.conf(n, fields), 0o600))
	r, err := n.Operator(l.ctx, "azure-vnet", "doctor", "-o", "json", "--config", conf)
	l.must(err)
	var d diagnosis
	oneDocument(l.T, r.Stdout, &d)
	found := ""
	for _, f := range d.ailing() {
		if f.Check == "host-addresses" {
			found += f.Found + "; " + f.Remedy
		}
	}
	if names == "" && found != "" || !strings.Contains(found, names) || names != "" &&
		!strings.Contains(found, "azure-vnet host release --yes") {
		l.Errorf("doctor says %q, not %q", found, names)
	}
}

// Some are on the host, wherever and whenever they came there: the others are given.
func TestTheHostHasSomeAddresses(t *testing.T) {
	t.Parallel()
	for _, mode := range all {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 6))
			n := l.nodes[0]
			fields := map[string]any{"mode": mode, "ipam": bothFamilies}
			list := l.list(n, fields)
			l.run(n, "ip addr add 10.240.1.1/16 dev eth0")
			first := l.add(n, list)
			at := "eth0"
			if mode != "transparent" {
				at = "azure0"
			}
			for _, line := range []string{
				"ip addr add 10.240.1.3/32 dev lo", "ip addr add 10.240.1.4/16 dev " + at, "ip addr add fd00::1:2/128 dev eth0 nodad",
				"ip addr add fd00::1:3/64 dev " + at + " nodad",
			} {
				l.run(n, line)
			}
			second := l.add(n, list)
			third := l.add(n, list)
			for _, c := range []struct {
				p  *node.Pod
				v4 string
				v6 string
			}{{first, "10.240.1.2", "fd00::1:1"}, {second, "10.240.1.5", "fd00::1:4"}, {third, "10.240.1.6", "fd00::1:5"}} {
				if c.p.Addr(false) != addr(c.v4) || c.p.Addr(true) != addr(c.v6) {
					t.Errorf("a pod has %s and %s instead of %s and %s", c.p.Addr(false), c.p.Addr(true), c.v4, c.v6)
				}
			}
			l.reachable(mode, n, first, second, third)
			l.fails(n, fields, 100, "6 addresses, 3 in use", "1 on the host's lo", "azure-vnet host release")
			for _, asked := range []string{"10.240.1.1", "10.240.1.3", "10.240.1.4", "10.240.0.4"} {
				l.fails(n, map[string]any{"mode": mode, "ipam": map[string]any{"type": "azure-vnet-ipam", "ipAddress": asked}}, 7, asked,
					"the host itself has", "is configured on ")
			}
			log := l.read(n.LogFile("azure-vnet"))
			if !strings.Contains(log, "addresses that the host itself has") || !strings.Contains(log, "10.240.1.3") {
				t.Errorf("the log does not name what is not given:\n%s", log)
			}
			l.ailing(n, fields, "10.240.1.3/32")
			// What the host loses with its bridge is its own all the same, and comes back before an address is given.
			if mode != "transparent" {
				for _, damage := range []string{"ip link set azure0 down", "ip link del azure0"} {
					l.must(third.Del(l.ctx))
					l.run(n, damage)
					third = l.add(n, list)
					if third.Addr(false) != addr("10.240.1.6") || third.Addr(true) == addr("fd00::1:2") || third.Addr(true) == addr("fd00::1:3") {
						t.Errorf("after %s a pod has %s and %s", damage, third.Addr(false), third.Addr(true))
					}
					l.reachable(mode, n, first, second, third)
				}
			}
			l.released(n)
			l.ailing(n, fields, "")
			// The first three may believe that the host has what are pods' addresses now: it has spoken to them from these.
			l.reachable(mode, n, first, second, third, l.add(n, list), l.add(n, list), l.add(n, list))
		})
	}
}

// A pod that had its address before the host had it, too, keeps it, and has its network back as soon as the host has it
// no more.
func TestTheHostHasAPodsAddress(t *testing.T) {
	t.Parallel()
	for _, mode := range all {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 3))
			l.broken = true // the pod and the host speak for one address
			n := l.nodes[0]
			fields := map[string]any{"mode": mode, "ipam": bothFamilies}
			list := l.list(n, fields)
			first := l.add(n, list)
			l.run(n, "ip addr add 10.240.1.1/16 dev eth0")
			l.run(n, "ip addr add fd00::1:1/64 dev eth0 nodad")
			second := l.add(n, list)
			if second.IP != addr("10.240.1.2") || second.Addr(true) != addr("fd00::1:2") {
				t.Errorf("the next pod has %s and %s", second.IP, second.Addr(true))
			}
			if _, pools := l.state(n); !strings.Contains(fmt.Sprint(pools), "{10.240.1.1 azure "+first.ID) {
				t.Errorf("the address is not the pod's any more: %+v", pools)
			}
			l.ailing(n, fields, "the pods that have 10.240.1.1, fd00::1:1 already are cut off")
			l.released(n)
			l.reachable(mode, n, first, second)
			l.must(first.Check(l.ctx))
			l.ailing(n, fields, "")
			// Nor does it come back with the bridge.
			if mode != "transparent" {
				l.run(n, "ip link del azure0")
			}
			third := l.add(n, list)
			l.reachable(mode, n, first, second, third)
			l.ailing(n, fields, "")
		})
	}
}

// The source does not say which address is the primary one, or another one than the host has: the host keeps its own,
// and no pod gets it.
func TestTheSourceListsTheHostsOwnAddress(t *testing.T) {
	t.Parallel()
	for _, mode := range all {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 3))
			n := l.nodes[0]
			nic := n.VM.Config.PrimaryNIC()
			n.VM.Agent.SetInterfaces(ipamtest.Interface{MAC: nic.MAC, Primary: true, Subnets: []ipamtest.Subnet{
				{Prefix: nic.Prefix, Secondary: append([]netip.Addr{nic.Address}, nic.Pods...)}}})
			fields := map[string]any{"mode": mode}
			l.run(n, "ip addr add 10.240.1.2/16 dev eth0")
			list := l.list(n, fields)
			pods := []*node.Pod{l.add(n, list)}
			if mode != "transparent" {
				l.run(n, "ip link del azure0")
			}
			pods = append(pods, l.add(n, list))
			l.fails(n, fields, 100, "4 addresses, 2 in use", "azure-vnet host release")
			l.ailing(n, fields, "10.240.1.2/16")
			if said := l.released(n); !strings.Contains(said, "10.240.0.4/16 stays on ") || !strings.Contains(said, "10.240.1.2/16 is off ") {
				t.Errorf("host release says\n%s", said)
			}
			pods = append(pods, l.add(n, list))
			l.reachable(mode, n, pods...)
			l.ailing(n, fields, "")
			l.fails(n, fields, 100, "4 addresses, 3 in use")
		})
	}
}

// host release says who uses the addresses, asks, and does nothing without an answer; the host's own addresses and
// routes stay, whatever came first.
func TestHostReleaseAsks(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	for _, line := range []string{
		"ip addr flush dev eth0", "ip addr add 10.240.1.1/16 dev eth0", "ip addr add 10.240.1.2/16 dev eth0",
		"ip addr add 10.240.0.4/16 dev eth0",
		"ip route add default via 10.240.0.1 src 10.240.1.2",
		"sysctl -qw net.ipv4.conf.all.promote_secondaries=0 net.ipv4.conf.eth0.promote_secondaries=0",
	} {
		l.run(n, line)
	}
	conf := filepath.Join(n.Dir, "10-azure.conf")
	l.must(os.WriteFile(conf, l.conf(n, nil), 0o600))
	listener, err := n.VM.Ns.Listen("tcp", "10.240.1.1:8080")
	l.must(err)
	defer func() { l.must(listener.Close()) }()
	before := l.snapshot(n)
	r := l.hostRelease(n, "--config", conf) // there is no state yet: the source is asked
	if r.Exit != 1 || l.snapshot(n) != before {
		t.Errorf("without an answer: exit %d, %s", r.Exit, r.Stdout)
	}
	for _, text := range []string{"10.240.1.1/16 on eth0", "tcp 10.240.1.1:8080, listening", "10.240.1.2/16 on eth0",
		"route default by 10.240.0.1", "15-azure-vnet.cfg", "Go on? [y/N]"} {
		if !strings.Contains(string(r.Stdout), text) {
			t.Errorf("%q is not said:\n%s", text, r.Stdout)
		}
	}
	if _, err := os.Stat(filepath.Join(n.Dir, "etc/cloud/cloud.cfg.d/15-azure-vnet.cfg")); err == nil {
		t.Error("cloud-init is told without an answer")
	}
	l.released(n, "--config", conf)
	if got := l.run(n, "ip -4 -o addr show dev eth0"); strings.Count(got, "inet ") != 1 || !strings.Contains(got, "10.240.0.4/16") {
		t.Errorf("the host has\n%s", got)
	}
	if got := strings.TrimSpace(l.run(n, "sysctl -n net.ipv4.conf.eth0.promote_secondaries")); got != "0" {
		t.Errorf("promote_secondaries is %s", got)
	}
	l.reach("host", n.VM.Ns, "gateway", gateway, 64)
	l.reach("host", n.VM.Ns, "remote host", remoteHost, 64)
	told := l.read(filepath.Join(n.Dir, "etc/cloud/cloud.cfg.d/15-azure-vnet.cfg"))
	if !strings.HasSuffix(told, "\ndatasource:\n  Azure:\n    apply_network_config_for_secondary_ips: false\n") {
		t.Errorf("cloud-init is told\n%s", told)
	}
	if r := l.hostRelease(n, "--config", conf); r.Exit != 0 || !strings.Contains(string(r.Stdout), "no address to release") {
		t.Errorf("once more: exit %d, %s", r.Exit, r.Stdout)
	}
}

func TestHostReleaseIsAskedTheWrongWay(t *testing.T) {
	l := newLab(t, fabric.Default(1, 2))
	n := l.nodes[0]
	n.Mounts = cloudInit(n)
	for line, says := range map[string]string{"host": `no command "host"`, "host take": `no command "host take"`,
		"host release now": `"now" is one word too many`, "host release --network azure": "no option --network",
		"release": `no command "release"`} {
		r, err := n.Operator(l.ctx, "azure-vnet", strings.Fields(line)...)
		l.must(err)
		if r.Exit != 2 || len(r.Stdout) > 0 || !strings.Contains(string(r.Stderr), says) {
			t.Errorf("%s: exit %d, %q, %q", line, r.Exit, r.Stdout, r.Stderr)
		}
	}
	if r := l.hostRelease(n, "--yes", "--config", "/none"); r.Exit != 1 || !strings.Contains(string(r.Stderr), "/none") {
		t.Errorf("a configuration that is not there: exit %d, %s%s", r.Exit, r.Stdout, r.Stderr)
	}
	n.VM.Agent.SetInterfaces()
	if r := l.hostRelease(n, "--yes"); r.Exit != 1 || !strings.Contains(string(r.Stderr), "lists no NIC") {
		t.Errorf("without anything known: exit %d, %s%s", r.Exit, r.Stdout, r.Stderr)
	}
	n.VM.Agent.SetFault(ipamtest.Fault{Status: 500})
	if r := l.hostRelease(n, "--yes"); r.Exit != 1 || !strings.Contains(string(r.Stderr), "500") {
		t.Errorf("without an answer: exit %d, %s%s", r.Exit, r.Stdout, r.Stderr)
	}
}

// anyIPAM is an IPAM plugin that gives what it is told to: {"type": "any", "result": …}.
const anyIPAM = `#!/bin/sh
conf=$(cat)
[ "$CNI_COMMAND" = ADD ] && printf '%s' "$conf" | python3 -c 'import json,sys; print(json.dumps(json.load(sys.stdin)["ipam"]["result"]))'
exit 0
`

func (l *lab) anyIPAM(n *node.Node) {
	l.Helper()
	dir := filepath.Join(n.Dir, "bin")
	l.must(os.MkdirAll(dir, 0o755))
	l.must(os.WriteFile(filepath.Join(dir, "any"), []byte(anyIPAM), 0o755))
	n.Path = append(slices.Clone(n.Path), dir)
}

// anyAddress is the configuration for it.
func anyAddress(mode, address, gateway string) map[string]any {
	ip := map[string]string{"address": address}
	route := map[string]string{"dst": "0.0.0.0/0"}
	if p := netip.MustParsePrefix(address); p.Addr().Is6() {
		route["dst"] = "::/0"
	}
	if gateway != "" {
		ip["gateway"] = gateway
	}
	result := map[string]any{"cniVersion": "1.1.0", "ips": []any{ip}, "routes": []any{route}}
	return map[string]any{"mode": mode, "ipam": map[string]any{"type": "any", "result": result}}
}

// Whatever IPAM plugin it is: an address of somebody else's is refused, nothing is left, and everybody keeps the
// network.
func TestAddressesOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	for _, mode := range all {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(2, 3))
			n := l.nodes[0]
			l.anyIPAM(n)
			l.run(n, "sysctl -qw net.ipv6.conf.default.accept_dad=0") // a bridge is as it is from the beginning
			l.run(n, "ip addr add 10.240.1.3/32 dev lo")
			warm := l.add(n, l.list(n, map[string]any{"mode": mode, "ipam": bothFamilies}))
			before := l.snapshot(n)
			for _, c := range []struct{ address, gateway, names string }{
				{"10.240.0.4/16", "10.240.0.1", "10.240.0.4 is the host's own, on "},
				{"10.240.0.4/32", "10.240.0.1", "10.240.0.4 is the host's own, on "},
				{"10.240.1.3/16", "10.240.0.1", "10.240.1.3 is the host's own, on lo"},
				{"fd00::4/64", "", "fd00::4 is the host's own, on "},
				{"10.240.0.1/16", "10.240.0.1", "10.240.0.1 is that of the gateway"},
				{"10.240.0.1/16", "", "10.240.0.1 is that of the gateway"},
				{"168.63.129.16/32", "10.240.0.1", "168.63.129.16 is that of Azure's host agent"},
				{"169.254.1.1/16", "", "169.254.1.1 is that of the next hop"},
				{"fe80::1234:5678:9abc/64", "", "fe80::1234:5678:9abc is that of Azure's router"},
				{"fe80::1/64", "", "fe80::1 is that of the next hop"},
				{"127.0.0.5/8", "", "127.0.0.5 is not that of any single host"},
				{"224.0.0.9/4", "", "224.0.0.9 is not that of any single host"},
				{"0.0.0.0/0", "", "0.0.0.0 is not that of any single host"},
				{warm.Addr(false).String() + "/16", "10.240.0.1", warm.Addr(false).String() + " is that of another pod, azure/" + warm.ID},
				{warm.Addr(true).String() + "/64", "", warm.Addr(true).String() + " is that of another pod, azure/" + warm.ID},
			} {
				for _, network := range []string{"azure", "second"} {
					fields := anyAddress(mode, c.address, c.gateway)
					fields["name"] = network
					l.fails(n, fields, 7, c.names, "let the IPAM plugin leave it out")
				}
			}
			if after := l.snapshot(n); after != before {
				t.Errorf("the host was\n%s\nand is\n%s", before, after)
			}
			l.reachable(mode, n, warm)
			// What nobody has is the pod's.
			p := l.add(n, l.list(n, anyAddress(mode, "10.240.1.2/16", "10.240.0.1")))
			l.reachable(mode, n, p)
			l.must(p.Del(l.ctx))
		})
	}
}

// host-local over the subnet, as in every example, gives the node's own address to the third pod.
func TestHostLocalOverTheSubnetSparesTheHost(t *testing.T) {
	t.Parallel()
	for _, mode := range all {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 3))
			l.broken = true // the addresses that host-local gives are not the NIC's
			n := l.nodes[0]
			data := filepath.Join(n.Dir, "host-local")
			fields := map[string]any{"mode": mode, "ipam": map[string]any{"type": "host-local", "dataDir": data,
				"ranges": []any{[]any{map[string]any{"subnet": "10.240.0.0/16", "rangeStart": "10.240.0.3"}}},
				"routes": []any{map[string]any{"dst": "0.0.0.0/0"}}}}
			list := l.list(n, fields)
			l.add(n, list)
			l.fails(n, fields, 7, "10.240.0.4 is the host's own", "host-local")
			third := l.add(n, list)
			if third.IP != addr("10.240.0.5") {
				t.Errorf("the next pod has %s", third.IP)
			}
			l.reach("host", n.VM.Ns, "gateway", gateway, 64)
			var given []string
			entries, err := os.ReadDir(filepath.Join(data, "azure"))
			l.must(err)
			for _, e := range entries {
				given = append(given, e.Name())
			}
			if b, _ := json.Marshal(given); !strings.Contains(string(b), `"10.240.0.3","10.240.0.5"`) || strings.Contains(string(b), "10.240.0.4") {
				t.Errorf("host-local has given %s", b)
			}
		})
	}
}
