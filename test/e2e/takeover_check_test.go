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

// What only looks at a node of the classic plugin changes none of its files, so the way back stays free; and it finds its pods as they
// should be, or not. Some runtimes begin with a CHECK.
func TestLookingAtANodeOfTheClassicPluginTakesNothingOver(t *testing.T) {
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
			if code := l.wantError(c.check(&node.Pod{Node: c.n, ID: c.pods[0].ID, NS: c.pods[1].NS, IfName: "eth0", IP: c.pods[1].IP}), 104); !strings.Contains(code.Msg, c.pods[0].IP.String()) {
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
