//go:build linux

package e2e

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// calicosName is where Calico looks for a pod of the namespace default with FELIX_INTERFACEPREFIX=azv (libcalico-go,
// VethNameForWorkload).
func calicosName(pod string) string {
	sum := sha1.Sum([]byte("default." + pod))
	return "azv" + hex.EncodeToString(sum[:])[:11]
}

// named is a pod of Kubernetes.
func (l *lab) named(n *node.Node, fields map[string]any, name string) *node.Pod {
	l.Helper()
	p, err := n.NewPod(l.list(n, fields))
	l.must(err)
	p.Name = name
	l.must(p.Add(l.ctx))
	return p
}

// felix are rules as Calico's agent makes them for pods that it knows by their names: their host veths may pass, what
// else begins with azv may not.
func felix(pods ...string) string {
	var b strings.Builder
	b.WriteString("table inet cali {\n chain forward {\n  type filter hook forward priority 0; policy accept;\n  ct state established " +
		"accept\n")
	for _, p := range pods {
		fmt.Fprintf(&b, "  iifname %[1]q accept\n  oifname %[1]q accept\n", calicosName(p))
	}
	b.WriteString("  iifname \"azv*\" counter drop\n  oifname \"azv*\" counter drop\n }\n}\n")
	return b.String()
}

// Calico's rules know pods by the names of their host veths: in transparent mode ours have those. Other interfaces, and
// containers of others than Kubernetes, have not.
func TestCalicoKnowsPodsByTheirNames(t *testing.T) {
	l := newLab(t, fabric.DefaultDual(1, 6))
	n := l.nodes[0]
	fields := map[string]any{"mode": "transparent", "ipam": bothFamilies}
	l.load(n, felix("web-0"))
	p := l.named(n, fields, "web-0")
	if veth(p) != calicosName("web-0") {
		t.Errorf("host veth %s instead of %s", veth(p), calicosName("web-0"))
	}
	for _, v6 := range []bool{false, true} {
		l.reach("fabric", l.fabric.Ns(), "pod", p.Addr(v6), ttls["transparent"].fromFabric)
	}
	l.reach("pod", p.NS, "remote host", remoteHost, ttls["transparent"].fabric)
	l.must(p.Check(l.ctx))

	stranger := l.named(n, fields, "web-1")
	l.silent("stranger", stranger.NS, remoteHost)
	l.silent("fabric", l.fabric.Ns(), stranger.IP)

	second := *p
	second.IfName = "net1"
	l.must(second.Add(l.ctx))
	if veth(&second) == calicosName("web-0") {
		t.Error("the second interface has the pod's name")
	}
	conf := l.conf(n, fields)
	ns, err := n.VM.NewPod("plain")
	l.must(err)
	l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: "plain", NetNS: ns.Path(),
		IfName: "eth0", Conf: conf}))
	for _, c := range []node.Call{
		{Command: "DEL", ContainerID: "plain", IfName: "eth0"}, {Command: "DEL", ContainerID: p.ID, IfName: "net1"},
		{Command: "DEL", ContainerID: p.ID, IfName: "eth0"},
	} {
		c.Plugin, c.Conf = "azure-vnet", conf
		l.wantSuccess(l.exec(n, c)) // without arguments
	}
	l.must(stranger.Del(l.ctx))
	if found := l.leftovers(n); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
	bridged := l.named(l.nodes[0], map[string]any{"name": "other", "mode": "bridge"}, "web-0")
	if veth(bridged) == calicosName("web-0") {
		t.Error("a bridge's port has the pod's name")
	}
}

// The next sandbox of a pod takes the name from the one before, which may still be there, be dead, or be known to
// nobody any more. Each goes by itself, in any order.
func TestTheNewestSandboxHasThePodsName(t *testing.T) {
	t.Parallel()
	for _, former := range []string{"alive", "dead", "forgotten", "known to the state only"} {
		for name, order := range map[string][]int{"first to last": {0, 1}, "last to first": {1, 0}} {
			t.Run(former+" "+name, func(t *testing.T) {
				l := newLab(t, fabric.DefaultDual(1, 6))
				n := l.nodes[0]
				fields := map[string]any{"mode": "transparent", "ipam": bothFamilies}
				old := l.named(n, fields, "web-0")
				switch former {
				case "dead":
					l.must(old.NS.Close())
					l.eventually("the veth of the dead sandbox does not go", func() bool { return !strings.Contains(l.run(n, "ip -br link"), "azv") })
				case "forgotten":
					files, err := filepath.Glob(filepath.Join(n.DataDir(), "azure-vnet.json*"))
					l.must(err)
					for _, f := range files {
						l.must(os.Remove(f))
					}
				case "known to the state only":
					l.run(n, "ip link del "+veth(old))
				}
				there := former == "alive" || former == "forgotten"
				young := l.named(n, fields, "web-0")
				if veth(young) != calicosName("web-0") {
					t.Errorf("host veth %s instead of %s", veth(young), calicosName("web-0"))
				}
				l.must(young.Check(l.ctx))
				pods := []*node.Pod{old, young}
				for _, p := range pods[map[bool]int{true: 0, false: 1}[there]:] {
					for _, v6 := range []bool{false, true} {
						l.reach("fabric", l.fabric.Ns(), "sandbox", p.Addr(v6), ttls["transparent"].fromFabric)
					}
				}
				if links := l.run(n, "ip -br link"); strings.Count(links, "azv") != map[bool]int{true: 2, false: 1}[there] {
					t.Errorf("links:\n%s", links)
				}
				if former == "alive" {
					l.must(old.Check(l.ctx))
					l.podRun(old, "ip addr add "+young.IP.String()+"/32 dev eth0")
					if err := l.ping(old.NS, remoteHost, fabric.PingOptions{Source: young.IP}); err == nil {
						t.Error("the old sandbox sends from an address that is not its own")
					}
					l.podRun(old, "ip addr del "+young.IP.String()+"/32 dev eth0")
				}
				l.must(pods[order[0]].Del(l.ctx))
				if left := pods[order[1]]; left == young || there {
					l.reach("fabric", l.fabric.Ns(), "what is left", left.IP, ttls["transparent"].fromFabric)
					l.must(left.Check(l.ctx))
				}
				l.must(pods[order[1]].Del(l.ctx))
				if found := l.leftovers(n); len(found) > 0 {
					t.Errorf("left: %v", found)
				}
			})
		}
	}
}
