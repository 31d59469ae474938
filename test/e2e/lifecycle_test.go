//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/libcni"
)

// The configuration that the project began with, word for word.
const seedConf = `{
  "cniVersion": "0.2.0",
  "name": "azure",
  "type": "azure-vnet",
  "master": "eth0",
  "bridge": "azure0",
  "logLevel": "info",
  "ipam": {
    "type": "azure-vnet-ipam",
    "environment": "azure"
  }
}`

func TestSeedExampleWorksWordForWord(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	n.Mounts = n.DefaultPaths()
	ns, err := n.VM.NewPod("pod")
	l.must(err)
	call := node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: "c0", NetNS: ns.Path(), IfName: "eth0", Conf: []byte(seedConf)}
	r := l.exec(n, call)
	l.wantSuccess(r)
	var result struct {
		CNIVersion string
		IP4        struct {
			IP, Gateway string
			Routes      []struct{ Dst, GW string }
		}
		DNS struct{ Nameservers []string }
	}
	oneDocument(t, r.Stdout, &result)
	if result.CNIVersion != "0.2.0" || result.IP4.IP != "10.240.1.1/16" || result.IP4.Gateway != "10.240.0.1" || len(result.IP4.Routes) != 1 ||
		result.IP4.Routes[0].Dst != "0.0.0.0/0" || len(result.DNS.Nameservers) != 1 || result.DNS.Nameservers[0] != "168.63.129.16" {
		t.Errorf("result %s", r.Stdout)
	}
	l.reach("pod", ns, "remote host", remoteHost, 64)
	call.Command = "DEL"
	l.wantSuccess(l.exec(n, call))
	if left := l.leftovers(n); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
		if b, err := os.ReadFile(n.LogFile(plugin)); err != nil || strings.Count(string(b), "\n") != 2 {
			t.Errorf("the log of %s has not one line per command: %v\n%s", plugin, err, b)
		}
	}
}

func TestSeedExampleAsListWithPortmap(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	n.Mounts = n.DefaultPaths()
	list, err := libcni.NetworkConfFromBytes([]byte(`{"cniVersion":"1.1.0","name":"azure","plugins":[
		{"type":"azure-vnet","master":"eth0","bridge":"azure0","logLevel":"info","ipam":{"type":"azure-vnet-ipam","environment":"azure"}},
		{"type":"portmap","capabilities":{"portMappings":true},"snat":true}]}`))
	l.must(err)
	p, err := n.NewPod(list)
	l.must(err)
	p.Ports = []node.Port{{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}
	l.must(p.Add(l.ctx))
	// The other end of a connection to the host's port is the pod.
	server, err := p.NS.Listen("tcp", ":80")
	l.must(err)
	defer func() { _ = server.Close() }()
	go func() {
		c, err := server.Accept()
		if err == nil {
			_, _ = c.Write([]byte("hello"))
			_ = c.Close()
		}
	}()
	c, err := l.fabric.Ns().Dial(l.ctx, "tcp", "10.240.0.4:8080")
	l.must(err)
	got := make([]byte, 5)
	if _, err := c.Read(got); err != nil || string(got) != "hello" {
		t.Errorf("from the host's port: %q, %v", got, err)
	}
	_ = c.Close()
	l.must(p.Check(l.ctx))
	l.must(p.Del(l.ctx))
	if left := l.leftovers(n); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Every version of the specification, with every command that it has.
func TestAllVersions(t *testing.T) {
	l := newLab(t, fabric.Default(1, 10))
	n := l.nodes[0]
	for i, version := range []string{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		p, err := n.NewPod(l.list(n, map[string]any{"cniVersion": version}))
		l.must(err)
		if err := p.Add(l.ctx); err != nil {
			t.Fatalf("%s: ADD: %v", version, err)
		}
		l.reach("pod of "+version, p.NS, "gateway", gateway, 64)
		conf := l.conf(n, map[string]any{"cniVersion": version,
			"cni.dev/valid-attachments": []any{map[string]string{"containerID": p.ID, "ifname": "eth0"}}})
		for _, c := range []struct {
			command string
			since   int
		}{{"CHECK", 4}, {"GC", 6}, {"STATUS", 6}} {
			if c.command == "CHECK" && i >= c.since {
				if err := p.Check(l.ctx); err != nil {
					t.Errorf("%s: CHECK: %v", version, err)
				}
				continue
			}
			r := l.exec(n, node.Call{Plugin: "azure-vnet", Command: c.command, ContainerID: p.ID, NetNS: p.NS.Path(), IfName: "eth0", Conf: conf})
			if i < c.since {
				l.wantError(r, 1)
			} else {
				l.wantSuccess(r)
			}
		}
		if networks, _ := l.state(n); len(networks.Networks[0].Endpoints) != 1 {
			t.Errorf("%s: GC did not keep just the pod: %v", version, networks)
		}
		if err := p.Del(l.ctx); err != nil {
			t.Errorf("%s: DEL: %v", version, err)
		}
	}
	r := l.exec(n, node.Call{Plugin: "azure-vnet", Command: "VERSION"})
	l.wantSuccess(r)
	var v struct{ SupportedVersions []string }
	oneDocument(t, r.Stdout, &v)
	if len(v.SupportedVersions) != 7 {
		t.Errorf("VERSION: %s", r.Stdout)
	}
	if left := l.leftovers(n); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// 128 pods come at once and go at once.
func TestBurst(t *testing.T) {
	const pods = 128
	l := newLab(t, fabric.Default(2, pods))
	n := l.nodes[0]
	list := l.list(n, map[string]any{"mode": "bridge", "logLevel": "info"})
	// Slow enough that everybody comes before the first answer.
	n.VM.Agent.SetFault(ipamtest.Fault{Delay: 500 * time.Millisecond})
	all := make([]*node.Pod, pods)
	for i := range all {
		var err error
		all[i], err = n.NewPod(list)
		l.must(err)
	}
	each(pods, func(i int) {
		if err := all[i].Add(l.ctx); err != nil {
			t.Errorf("ADD of pod %d: %v", i, err)
		}
	})
	if t.Failed() {
		return
	}
	if q := n.VM.Agent.Queries(); q > 2 {
		t.Errorf("the host agent was asked %d times", q)
	}
	holder := map[string]int{}
	for i, p := range all {
		if other, taken := holder[p.IP.String()]; taken {
			t.Errorf("pods %d and %d have %s", other, i, p.IP)
		}
		holder[p.IP.String()] = i
		l.reach("pod", p.NS, "gateway", gateway, 64)
	}
	l.reach("other VM", l.fabric.VMs[1].Ns, "pod", all[pods-1].IP, 63)
	l.reach("pod", all[0].NS, "last pod", all[pods-1].IP, 64)
	networks, pools := l.state(n)
	if len(networks.Networks) != 1 || len(networks.Networks[0].Endpoints) != pods || pools.Pools[0].Used != pods ||
		pools.Pools[0].Available != 0 {
		t.Errorf("state: %d networks, pools %+v", len(networks.Networks), pools.Pools[0].Used)
	}
	each(pods, func(i int) {
		if err := all[i].Del(l.ctx); err != nil {
			t.Errorf("DEL of pod %d: %v", i, err)
		}
	})
	if left := l.leftovers(n); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	l.reach("host", n.VM.Ns, "gateway", gateway, 64)
}

func TestDelIsIdempotentAndNeedsOnlyTheOwner(t *testing.T) {
	l := newLab(t, fabric.Default(1, 5))
	n := l.nodes[0]
	list := l.list(n, nil)
	conf := l.conf(n, nil)
	del := func(p *node.Pod, netns string) node.Reply {
		return l.exec(n, node.Call{Plugin: "azure-vnet", Command: "DEL", ContainerID: p.ID, NetNS: netns, IfName: "eth0", Conf: conf})
	}
	for name, end := range map[string]func(p *node.Pod) string{
		"with its namespace":            func(p *node.Pod) string { return p.NS.Path() },
		"with an empty CNI_NETNS":       func(*node.Pod) string { return "" },
		"after the namespace has gone":  func(p *node.Pod) string { path := p.NS.Path(); l.must(p.NS.Close()); return path },
		"with a namespace of that name": func(*node.Pod) string { return "/var/run/netns/never-was" },
	} {
		p := l.add(n, list)
		netns := end(p)
		for try := range 3 { // no prevResult, and again, and again
			if r := del(p, netns); r.Exit != 0 || len(r.Stdout) > 0 {
				t.Errorf("DEL %s, time %d: exit %d, %s", name, try+1, r.Exit, r.Stdout)
			}
		}
		if left := l.leftovers(n); len(left) > 0 {
			t.Errorf("DEL %s left: %v", name, left)
		}
	}
	stranger, err := n.NewPod(list)
	l.must(err)
	living := l.add(n, list)
	l.wantSuccess(del(stranger, stranger.NS.Path()))
	l.reach("living pod", living.NS, "gateway", gateway, 64)
	l.must(living.Check(l.ctx))
}

// Without any state, DEL still finds what the host has of the owner.
func TestDelWithoutState(t *testing.T) {
	l := newLab(t, fabric.Default(1, 5))
	n := l.nodes[0]
	list := l.list(n, nil)
	gone, living := l.add(n, list), l.add(n, list)
	files, err := os.ReadDir(n.DataDir())
	l.must(err)
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "azure-vnet.json") {
			l.must(os.Remove(n.DataDir() + "/" + f.Name()))
		}
	}
	l.must(gone.Del(l.ctx))
	var other []string
	for _, left := range l.leftovers(n) {
		if !strings.Contains(left, living.ID) {
			other = append(other, left)
		}
	}
	want := 1 + 1 + 1 + 4 // the living pod's link, neighbour, fdb entry and four elements
	if family == "netdev" {
		want++ // its chain
	}
	if len(other) != want {
		t.Errorf("on the host: %v", other)
	}
	l.reach("living pod", living.NS, "gateway", gateway, 64)
}

func TestAddAgainIsRefusedAndHarmless(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	p := l.add(n, l.list(n, nil))
	call := node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: p.ID, NetNS: p.NS.Path(), IfName: "eth0", Conf: l.conf(n, nil)}
	l.wantError(l.exec(n, call), 103)
	// The same container in another namespace, and another container in the same one.
	other, err := n.NewPod(p.List)
	l.must(err)
	call.NetNS = other.NS.Path()
	l.wantError(l.exec(n, call), 103)
	call.ContainerID, call.NetNS = other.ID, p.NS.Path()
	l.wantError(l.exec(n, call), 103)
	l.reach("pod", p.NS, "gateway", gateway, 64)
	l.must(p.Check(l.ctx))
	if _, pools := l.state(n); pools.Pools[0].Used != 1 {
		t.Errorf("%d addresses are in use instead of 1", pools.Pools[0].Used)
	}
}

func TestCheckNamesTheDifference(t *testing.T) {
	t.Parallel()
	type difference = struct {
		breakIt []string // in the VM, or with "pod" first in the pod
		want    string
	}
	differences := map[string]difference{
		"host veth down":     {[]string{"ip", "link", "set", "{veth}", "down"}, "is down"},
		"host veth off":      {[]string{"ip", "link", "set", "{veth}", "nomaster"}, "not a port"},
		"neighbour":          {[]string{"ip", "neigh", "del", "{ip}", "dev", "azure0"}, "neighbour"},
		"rules":              {[]string{"nft", "flush", "chain", family, "azure-vnet", "azure0-from-pod"}, "rules"},
		"ruleset":            {[]string{"nft", "flush", "ruleset"}, "rules"},
		"element":            {[]string{"nft", "flush", "map", family, "azure-vnet", "azure0-pods4"}, "elements"},
		"anti-spoofing":      {[]string{"nft", "flush", "set", family, "azure-vnet", "azure0-owned4"}, "elements"},
		"known to the host":  {[]string{"nft", "flush", "map", "inet", "azure-vnet", "azure0-known4"}, "elements"},
		"pod's route":        {[]string{"pod", "ip", "route", "del", "default"}, "route"},
		"pod's address":      {[]string{"pod", "ip", "addr", "flush", "dev", "eth0"}, "address"},
		"pod's MTU":          {[]string{"pod", "ip", "link", "set", "eth0", "mtu", "9000"}, "MTU"},
		"pod's MAC":          {[]string{"pod", "ip", "link", "set", "eth0", "address", "02:00:00:00:00:01"}, "MAC"},
		"pod's interface":    {[]string{"pod", "ip", "link", "set", "eth0", "down"}, "is down"},
		"interface is gone":  {[]string{"pod", "ip", "link", "set", "eth0", "name", "eth7"}, "is missing"},
		"bridge is gone":     {[]string{"ip", "link", "del", "azure0"}, "bridge"},
		"bridge MAC":         {[]string{"ip", "link", "set", "azure0", "address", "02:00:00:00:00:02"}, "bridge"},
		"host veth is gone":  {[]string{"ip", "link", "del", "{veth}"}, "host veth"},
		"address on master":  {[]string{"ip", "addr", "add", "10.240.0.4/16", "dev", "eth0"}, "master"},
		"master is detached": {[]string{"ip", "link", "set", "eth0", "nomaster"}, "master"},
	}
	if family == "netdev" {
		differences["pod's chain"] = difference{[]string{"nft", "flush", "chain", "netdev", "azure-vnet", "azure0-{veth}"}, "chain"}
	}
	for name, c := range differences {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 3))
			n := l.nodes[0]
			p := l.add(n, l.list(n, nil))
			l.must(p.Check(l.ctx))
			l.broken = true
			ns, cmd := n.VM.Ns, c.breakIt
			if cmd[0] == "pod" {
				ns, cmd = p.NS, cmd[1:]
			}
			line := strings.NewReplacer("{veth}", p.Result.Interfaces[1].Name, "{ip}", p.IP.String()).Replace(strings.Join(cmd, " "))
			args := strings.Fields(line)
			if out, err := ns.Command(l.ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v %s", line, err, out)
			}
			if err := p.Check(l.ctx); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("after %q CHECK says %v", line, err)
			}
		})
	}
}

// GC removes what the runtime does not know any more, and only from its own network.
func TestGC(t *testing.T) {
	l := newLab(t, fabric.Default(1, 8))
	n := l.nodes[0]
	list := l.list(n, nil)
	keep, drop := l.add(n, list), l.add(n, list)
	gc := func(attachments any) node.Reply {
		conf := l.conf(n, map[string]any{"cni.dev/valid-attachments": attachments})
		return l.exec(n, node.Call{Plugin: "azure-vnet", Command: "GC", Conf: conf})
	}
	l.wantError(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "GC", Conf: l.conf(n, nil)}), 7)
	l.wantSuccess(gc([]any{map[string]string{"containerID": keep.ID, "ifname": "eth0"}}))
	networks, pools := l.state(n)
	if len(networks.Networks[0].Endpoints) != 1 || networks.Networks[0].Endpoints[0].ContainerID != keep.ID || pools.Pools[0].Used != 1 {
		t.Errorf("after GC: %+v %+v", networks, pools)
	}
	if err := drop.Check(l.ctx); err == nil {
		t.Error("the collected pod passes CHECK")
	}
	l.reach("kept pod", keep.NS, "gateway", gateway, 64)
	l.wantSuccess(gc(json.RawMessage("null"))) // none is valid
	if left := l.leftovers(n); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// An element that a lost pod left looks like that of the pod which has its address now: GC of the lost one must
// not take it away.
func TestGCSparesAnAddressThatWasGivenAgain(t *testing.T) {
	t.Parallel()
	const elements = "add element %[3]s azure-vnet azure0-pods4 { %[1]s comment \"azure/lost/eth0\" : %[2]s }\n"
	const owned = "add element %[3]s azure-vnet azure0-owned4 { \"azv0123456789a\" . %[2]s . %[1]s comment \"azure/lost/eth0\" }\n"
	for name, left := range map[string]string{"map element": elements, "all elements": elements + owned} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 8))
			n := l.nodes[0]
			list := l.list(n, nil)
			first := l.add(n, list)
			l.load(n, fmt.Sprintf(left, "10.240.1.2", "0a:58:0a:f0:01:02", family))
			heir := l.add(n, list)
			if heir.IP != addr("10.240.1.2") {
				t.Fatalf("the pod has %s", heir.IP)
			}
			valid := []any{map[string]string{"containerID": first.ID, "ifname": "eth0"}, map[string]string{"containerID": heir.ID, "ifname": "eth0"}}
			l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "GC",
				Conf: l.conf(n, map[string]any{"cni.dev/valid-attachments": valid})}))
			l.reach("pod", heir.NS, "gateway", gateway, 64)
			l.reach("fabric", l.fabric.Ns(), "pod", heir.IP, 64)
			// CHECK finds the lost one's name, and puts the heir's there.
			if err := heir.Check(l.ctx); err == nil || !strings.Contains(err.Error(), "repaired just now") {
				t.Errorf("CHECK: %v", err)
			}
			l.must(heir.Check(l.ctx))
			l.reach("pod", heir.NS, "gateway", gateway, 64)
			l.reach("fabric", l.fabric.Ns(), "pod", heir.IP, 64)
		})
	}
}

// The log has one line per command, with who, what and how long.
func TestLogHasOneLinePerCommand(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	p := l.add(n, l.list(n, map[string]any{"logLevel": "info"}))
	l.must(p.Check(l.ctx))
	l.must(p.Del(l.ctx))
	b, err := os.ReadFile(n.LogFile("azure-vnet"))
	l.must(err)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 6 { // both plugins write to the file that the configuration names
		t.Fatalf("%d lines instead of 6:\n%s", len(lines), b)
	}
	for _, want := range []string{"command=ADD", "containerID=" + p.ID, "ifName=eth0", "network=azure",
		fmt.Sprintf("pod=default/pod-%s", p.ID[:8]), "addresses=[" + p.IP.String() + "/16]", "duration="} {
		if !strings.Contains(lines[1], want) {
			t.Errorf("%q is missing in %s", want, lines[1])
		}
	}
}

// In transparent mode the set of addresses knows no MAC: an element that is there alone names its owner and no more,
// and is collected all the same.
func TestGCOfAnAddressWithoutMAC(t *testing.T) {
	l := newLab(t, fabric.DefaultDual(1, 8))
	n := l.nodes[0]
	fields := map[string]any{"mode": "transparent", "ipam": map[string]any{"type": "azure-vnet-ipam", "families": []string{"ipv4", "ipv6"}}}
	p := l.add(n, l.list(n, fields))
	l.must(p.Del(l.ctx))
	l.load(n, `add element inet azure-vnet eth0-pods4 { 10.240.1.7 comment "azure/lost/eth0" }
add element inet azure-vnet eth0-pods6 { fd00::1:7 comment "azure/lost/eth0" }
`)
	fields["cni.dev/valid-attachments"] = []any{}
	l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "GC", Conf: l.conf(n, fields)}))
	if left := l.leftovers(n); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Whatever part of a lost pod's elements somebody left, its owner is found by it, and a GC takes it away.
func TestGCOfAPartOfAPod(t *testing.T) {
	t.Parallel()
	parts := map[string]string{
		"the way to it": "add element {family} azure-vnet azure0-pods4 { 10.240.1.7 comment \"azure/lost/eth0\" : 0a:58:0a:f0:01:07 }",
		"its copy":      "add element inet azure-vnet azure0-known4 { 10.240.1.7 comment \"azure/lost/eth0\" : 0a:58:0a:f0:01:07 }",
		"what it may send": "add element {family} azure-vnet azure0-owned4 { \"azv0123456789a\" . 0a:58:0a:f0:01:07 . 10.240.1.7 comment " +
			"\"azure/lost/eth0\" }",
		"its port": "add element {family} azure-vnet azure0-ports { \"azv0123456789a\" comment \"azure/lost/eth0\" }",
	}
	for name, part := range parts {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 8))
			n := l.nodes[0]
			p := l.add(n, l.list(n, nil))
			l.must(p.Del(l.ctx))
			l.load(n, strings.ReplaceAll(part, "{family}", family)+"\n")
			l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "GC",
				Conf: l.conf(n, map[string]any{"cni.dev/valid-attachments": []any{}})}))
			if left := l.leftovers(n); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// When a pod's veth, its elements and its record are gone, its neighbours on the bridge name nobody, and go all the
// same.
func TestGCOfANeighbourThatNobodyHas(t *testing.T) {
	l := newLab(t, fabric.Default(1, 8))
	n := l.nodes[0]
	p := l.add(n, l.list(n, map[string]any{"mode": "bridge"}))
	l.run(n, "ip neigh add 10.240.1.7 lladdr 0a:58:0a:f0:01:07 dev azure0 nud permanent")
	gc := func(valid ...any) {
		l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "GC",
			Conf: l.conf(n, map[string]any{"mode": "bridge", "cni.dev/valid-attachments": append([]any{}, valid...)})}))
	}
	gc(map[string]string{"containerID": p.ID, "ifname": "eth0"})
	for _, left := range l.leftovers(n) {
		if strings.Contains(left, "10.240.1.7") {
			t.Errorf("left: %s", left)
		}
	}
	l.must(p.Check(l.ctx)) // has its own neighbour
	gc()
	if left := l.leftovers(n); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
