//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// classicDamage is what happens to the classic plugin's files: a full disk, a power loss, an operator's rm.
var classicDamage = map[string]func(c *classicNode, networks, addresses string){
	"empty": func(c *classicNode, networks, _ string) { c.must(os.WriteFile(networks, nil, 0o600)) },
	"half": func(c *classicNode, networks, _ string) {
		c.must(os.Truncate(networks, int64(len(c.read(networks))/2)))
	},
	"NUL":     func(c *classicNode, networks, _ string) { c.must(os.WriteFile(networks, make([]byte, 4096), 0o600)) },
	"deleted": func(c *classicNode, networks, _ string) { c.must(os.Remove(networks)) },
	"both deleted": func(c *classicNode, networks, addresses string) {
		c.must(os.Remove(networks))
		c.must(os.Remove(addresses))
	},
}

// The classic plugin's state is gone, its pods live. The first ADD finds them on the host: they keep their network, the
// new pod has one, no address is given twice, GC leaves them, DEL takes all of them away, with the classic plugin's
// rules. Before that, doctor wants none of them dead.
func TestDamagedStateOfTheClassicPlugin(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(classicDir, "*", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		for name, damage := range classicDamage {
			if !strings.Contains(dir, "v1.4.59") && name != "both deleted" { // of which it is the version that counts
				continue
			}
			t.Run(strings.TrimPrefix(dir, classicDir+"/")+" "+name, func(t *testing.T) {
				l := newLab(t, classicFabric())
				c := l.classicNode(dir)
				before := ttls[c.mode]
				if c.mode == "tunnel" { // even what is for the host goes through the fabric
					before.ownHost = 63
				}
				c.matrix(c.pods, before)
				l.must(l.forgive())
				for _, p := range c.pods {
					l.occupy(p.NS) // as a container does
				}
				damage(c, filepath.Join(c.n.DataDir(), "azure-vnet.json"), filepath.Join(c.n.DataDir(), "azure-vnet-ipam.json"))
				if name == "deleted" {
					c.list["bridge"] = nil // which is the classic plugin's default, and not ours
				} else {
					c.list["bridge"] = "azure0"
				}
				c.survives()
			})
		}
	}
}

func (c *classicNode) survives() {
	c.Helper()
	for _, f := range c.findings(c.n) {
		if strings.Contains(f.Remedy, "ip link del") || strings.Contains(f.Remedy, "DEL") && f.Check == "leftovers" {
			c.Errorf("doctor wants a live pod dead: %+v", f)
		}
	}
	stream := c.stream(c.pods[1].NS, c.fabric.Ns(), remoteHost)
	list := c.lab.list(c.n, c.list)
	fresh := c.add(c.n, list)
	if slices.ContainsFunc(c.pods, func(p *node.Pod) bool { return p.IP == fresh.IP }) {
		c.Fatalf("%s was given again", fresh.IP)
	}
	all := append(slices.Clone(c.pods), fresh)
	c.matrix(all, ttls[c.mode])
	c.gc(all)
	c.matrix(all, ttls[c.mode])
	stream.flows()
	for _, p := range c.pods {
		c.wantSuccess(c.check(p))
	}
	for _, p := range all {
		c.must(p.Del(c.ctx))
	}
	if left := c.leftovers(c.n); len(left) > 0 {
		c.Errorf("left: %v", left)
	}
	if rules := c.run(c.n, "ebtables-nft-save"); strings.Contains(rules, "-A ") {
		c.Errorf("rules of ebtables are left:\n%s", rules)
	}
}

// The first command after the loss is a DEL: it takes that pod away, and leaves the others.
func TestDelWhereTheClassicStateIsLost(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1.4.59/bridge", "v1.4.59/tunnel", "v1.0.33/transparent"} {
		t.Run(version, func(t *testing.T) {
			l := newLab(t, classicFabric())
			c := l.classicNode(filepath.Join(classicDir, version))
			l.must(l.forgive())
			l.broken = true // the classic rules are there for a while
			for _, p := range c.pods {
				l.occupy(p.NS)
			}
			l.must(os.Remove(filepath.Join(c.n.DataDir(), "azure-vnet.json")))
			gone := c.pods[0]
			l.must(gone.Del(l.ctx))
			for _, what := range []string{"ip neigh show nud permanent", "ip route", "ebtables-nft-save"} {
				if seen := l.run(c.n, what); strings.Contains(seen, gone.IP.String()+" ") && !strings.Contains(seen, "arpreply-mac 12:34") {
					t.Errorf("%s: something of %s is left:\n%s", what, gone.IP, seen)
				}
			}
			if links := l.run(c.n, "ip -br link"); strings.Count(links, "azv") != len(c.pods)-1 {
				t.Errorf("host veths are\n%s", links)
			}
			c.pods = c.pods[1:]
			c.survives()
		})
	}
}

// gc is a GC that names all these pods.
func (c *classicNode) gc(pods []*node.Pod) {
	c.Helper()
	valid := []any{}
	for _, p := range pods {
		valid = append(valid, map[string]string{"containerID": p.ID, "ifname": "eth0"})
	}
	conf := map[string]any{"cni.dev/valid-attachments": valid}
	for k, v := range c.list {
		conf[k] = v
	}
	c.wantSuccess(c.exec(c.n, node.Call{Plugin: "azure-vnet", Command: "GC", Conf: c.conf(c.n, conf)}))
}

// A pod of which the other end cannot be found may be alive: nothing is touched, and who it is about is named.
func TestNothingIsTakenOverWhereAPodCannotBeFound(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	for _, line := range []string{
		"ip link add azure0 type bridge", "ip link add azv0123456789a type veth peer name eth9", "ip link set azv0123456789a master azure0",
	} {
		l.run(n, line)
	}
	// Its namespace lives in nothing but a file descriptor.
	away := n.VM.Ns.Command(l.ctx, "unshare", "-n", "sleep", "3600")
	l.must(away.Start())
	path := filepath.Join("/proc", strconv.Itoa(away.Process.Pid), "ns/net")
	for same(path, n.VM.Ns.Path()) {
		l.must(l.ctx.Err())
	}
	fd, err := os.Open(path)
	l.must(err)
	defer func() { _ = fd.Close() }()
	l.run(n, "ip link set eth9 netns "+strconv.Itoa(away.Process.Pid))
	l.must(away.Process.Kill())
	_ = away.Wait()
	p, err := n.NewPod(l.list(n, map[string]any{"mode": "bridge"}))
	l.must(err)
	before := l.snapshot(n)
	said := l.wantError(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: p.ID, NetNS: p.NS.Path(), IfName: "eth0",
		Conf: l.conf(n, map[string]any{"mode": "bridge"})}), 106)
	if !strings.Contains(said.Msg, "azv0123456789a") {
		t.Errorf("the message does not name the veth: %s", said.Msg)
	}
	if after := l.snapshot(n); after != before {
		t.Errorf("the host was changed:\n%s", differ(before, after))
	}
}

func same(a, b string) bool {
	one, err := os.Stat(a)
	other, oerr := os.Stat(b)
	return err == nil && oerr == nil && os.SameFile(one, other)
}
