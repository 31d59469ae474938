//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/node"
)

// What only looks at a node of the classic plugin changes none of its files, so the way back stays free; and it finds
// its pods as they should be, or not. Some runtimes begin with a CHECK.
func TestLookingAtANodeOfTheClassicPluginTakesNothingOver(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(classicDir, "*", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		t.Run(strings.TrimPrefix(dir, classicDir+"/"), func(t *testing.T) {
			l := newLab(t, classicFabric())
			c := l.classicNode(dir)
			l.must(l.forgive())
			c.broken = true // the classic rules send ARP replies of the fabric back to it
			files := []string{filepath.Join(c.n.DataDir(), "azure-vnet.json"), filepath.Join(c.n.DataDir(), "azure-vnet-ipam.json")}
			c.inUse(files[1])
			before := l.read(files[0]) + l.read(files[1])
			l.wantSuccess(l.exec(c.n, node.Call{Plugin: "azure-vnet", Command: "STATUS", Conf: l.conf(c.n, c.list)}))
			for _, p := range c.pods {
				l.wantSuccess(c.check(p))
			}
			if code := l.wantError(c.check(&node.Pod{Node: c.n, ID: c.pods[0].ID, NS: c.pods[1].NS, IfName: "eth0", IP: c.pods[1].IP}),
				104); !strings.Contains(code.Msg, c.pods[0].IP.String()) {
				t.Errorf("the result is of another pod: %s", code.Msg)
			}
			c.podRun(c.pods[2], "ip addr flush dev eth0")
			l.wantError(c.check(c.pods[2]), 104)
			l.state(c.n)
			l.findings(c.n)
			if after := l.read(files[0]) + l.read(files[1]); after != before {
				t.Errorf("the files were changed to\n%s", after)
			}
		})
	}
}

// inUse marks every address of the classic plugin's file as in use, though nobody has it.
func (c *classicNode) inUse(file string) {
	c.Helper()
	text := strings.ReplaceAll(c.read(file), `"InUse": false`, `"InUse": true`)
	c.must(os.WriteFile(file, []byte(text), 0o600))
}

// check is a CHECK with the result that the classic plugin gave the runtime.
func (c *classicNode) check(p *node.Pod) node.Reply {
	c.Helper()
	conf := map[string]any{"cniVersion": "0.4.0", "prevResult": map[string]any{
		"cniVersion": "0.4.0", "interfaces": []any{map[string]any{"name": "eth0"}},
		"ips":    []any{map[string]any{"version": "4", "address": p.IP.String() + "/16", "gateway": "10.240.0.1"}},
		"routes": []any{map[string]any{"dst": "0.0.0.0/0", "gw": "10.240.0.1"}},
	}}
	for k, v := range c.list {
		conf[k] = v
	}
	text, err := json.Marshal(c.n.Conf(conf))
	c.must(err)
	return c.exec(c.n, node.Call{Plugin: "azure-vnet", Command: "CHECK", ContainerID: p.ID, NetNS: p.NS.Path(), IfName: p.IfName, Conf: text})
}

// Azure's CNS and network policy manager ask the network plugin which pods there are; scripts ask for its version.
// Before a takeover and after.
func TestProgramsAskAsTheyAskTheClassicPlugin(t *testing.T) {
	l := newLab(t, classicFabric())
	c := l.classicNode(filepath.Join(classicDir, "v1.4.59", "transparent"))
	l.must(l.forgive())
	ask := func(pods ...*node.Pod) {
		t.Helper()
		r := l.exec(c.n, node.Call{Plugin: "azure-vnet", Command: "GET_ENDPOINT_STATE", Conf: l.conf(c.n, c.list)})
		l.wantSuccess(r)
		var said struct {
			ContainerInterfaces map[string]struct {
				PodName, PodNamespace, ContainerID string
				IPAddresses                        []struct {
					IP   string
					Mask []byte
				}
			}
		}
		oneDocument(t, r.Stdout, &said)
		if len(said.ContainerInterfaces) != len(pods) {
			t.Errorf("%d endpoints, not %d: %s", len(said.ContainerInterfaces), len(pods), r.Stdout)
		}
		for _, p := range pods {
			e := said.ContainerInterfaces[p.ID[:8]+"-eth0"]
			if e.ContainerID != p.ID || e.PodNamespace != "default" || e.PodName == "" || len(e.IPAddresses) != 1 ||
				e.IPAddresses[0].IP != p.IP.String() || len(e.IPAddresses[0].Mask) != 4 {
				t.Errorf("of %s it says %+v", p.ID, e)
			}
		}
	}
	ask(c.pods...)
	fresh := c.add(c.n, l.list(c.n, c.list))
	ask(append([]*node.Pod{fresh}, c.pods...)...)
	version, err := c.n.Operator(l.ctx, "azure-vnet", "--version")
	l.must(err)
	if !strings.Contains(string(version.Stdout), "\nAzure CNI Version ") {
		t.Errorf("--version says %s", version.Stdout)
	}
}

// A node that another plugin serves by now still has what the classic plugin made: its state is gone, and so are its
// pods but for one.
func TestCleanupOfWhatTheClassicPluginLeft(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, classicFabric())
			before := l.hostConf(l.nodes[0])
			c := l.classicNode(filepath.Join(classicDir, "v1.4.59", mode))
			l.must(l.forgive())
			l.broken = true // without a plugin the classic rules stay for a while
			for _, f := range []string{"azure-vnet.json", "azure-vnet-ipam.json"} {
				l.must(os.Remove(filepath.Join(c.n.DataDir(), f)))
			}
			l.run(c.n, "ip link add azv0123456789a type veth peer name azv0123456789b") // of an ADD that was killed
			clean := func(args ...string) node.Reply {
				t.Helper()
				r, err := c.n.Operator(l.ctx, "azure-vnet", append([]string{"cleanup", "--classic", "--data-dir", c.n.DataDir()}, args...)...)
				l.must(err)
				return r
			}
			if r := clean("--yes"); r.Exit == 0 {
				t.Fatalf("pods live, and it says %s", r.Stdout)
			}
			for _, p := range c.pods {
				c.podRun(p, "ip link del eth0")
			}
			l.wantSuccess(clean("--dry-run"))
			if links := l.run(c.n, "ip -br link"); !strings.Contains(links, "azv0123456789a") {
				t.Errorf("a dry run changed the host:\n%s", links)
			}
			r := clean("--yes")
			l.wantSuccess(r)
			for _, what := range []string{"ip -br link", "ip route", "ebtables-nft-save"} {
				if left := l.run(c.n, what); strings.Contains(left, "azv") || strings.Contains(left, "azure0") || strings.Contains(left, "-A ") {
					t.Errorf("left:\n%s\nit said %s", left, r.Stdout)
				}
			}
			if after := l.hostConf(c.n); after != before {
				t.Errorf("the host differs:\n%s", differ(before, after))
			}
		})
	}
}

// The pod's next sandbox comes first of all: it gets the host veth's name by which Calico knows the pod, from one that
// the classic plugin made. Both have their network until the old one goes.
func TestTheNextSandboxOfAPodOfTheClassicPlugin(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1.0.33", "v1.4.59", "v1.6.48"} {
		t.Run(version, func(t *testing.T) {
			l := newLab(t, classicFabric())
			c := l.classicNode(filepath.Join(classicDir, version, "transparent"))
			l.must(l.forgive())
			next := l.named(c.n, c.list, "pod0")
			if veth(next) != calicosName("pod0") {
				t.Errorf("the new sandbox has %s instead of %s", veth(next), calicosName("pod0"))
			}
			for _, p := range append([]*node.Pod{next}, c.pods...) {
				l.reach("pod", p.NS, "gateway", gateway, ttls[c.mode].fabric)
				l.reach("fabric", l.fabric.Ns(), "pod", p.IP, ttls[c.mode].fromFabric)
			}
			l.must(c.pods[0].Del(l.ctx))
			l.reach("pod", next.NS, "gateway", gateway, ttls[c.mode].fabric)
			for _, p := range append([]*node.Pod{next}, c.pods[1:]...) {
				l.must(p.Del(l.ctx))
			}
			if left := l.leftovers(c.n); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
