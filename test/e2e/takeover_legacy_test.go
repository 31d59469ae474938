//go:build linux

package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/node"
)

// Legacy ebtables are there beside nftables, which does not show them, and stay. They stand here as rules of a table
// that the plugins do not know, with the same hooks and priorities. Each pod, old and new, has its network after the
// takeover, with nothing in its caches.
func TestLegacyEbtablesStayInForce(t *testing.T) {
	t.Parallel()
	if family == "netdev" {
		t.Skip("they come after ours there: the takeover is refused")
	}
	dirs, err := filepath.Glob(filepath.Join(classicDir, "*", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if strings.HasSuffix(dir, "transparent") {
			continue // has none
		}
		t.Run(strings.TrimPrefix(dir, classicDir+"/"), func(t *testing.T) {
			l := newLab(t, classicFabric())
			c := l.classicNode(dir)
			c.legacy()
			for _, p := range c.pods { // the host and one another they find by rules that nftables cannot have (arpreply)
				c.reach("pod", p.NS, "gateway", gateway, ttls[c.mode].fabric)
				c.reach("fabric", c.fabric.Ns(), "pod", p.IP, ttls[c.mode].fromFabric)
			}
			list := c.lab.list(c.n, c.list)
			pods := append([]*node.Pod{c.add(c.n, list), c.add(c.n, list)}, c.pods...)
			l.must(l.forgive()) // until then they sent ARP replies of the fabric back to it
			for _, p := range pods {
				c.podRun(p, "ip neigh flush dev eth0")
			}
			c.run(c.n, "ip neigh flush dev azure0")
			c.matrix(pods, ttls[c.mode])
			for _, p := range pods {
				c.must(p.Del(c.ctx))
			}
			if left := c.leftovers(c.n); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// legacy moves the classic plugin's rules to where nobody finds them.
func (c *classicNode) legacy() {
	c.Helper()
	var rules strings.Builder
	saved := c.run(c.n, "ebtables-nft-save")
	rules.WriteString("table bridge legacy {\n chain pre {\n type filter hook prerouting priority -300; policy accept;\n iifname \"eth0\" " +
		"ether type arp arp operation reply ether daddr set ff:ff:ff:ff:ff:ff accept\n")
	if c.mode == "tunnel" {
		rules.WriteString(" iifname \"az*\" ether daddr set 12:34:56:78:9a:bc accept\n")
	}
	pods := regexp.MustCompile(`--ip-dst (\S+) -j dnat --to-dst (\S+)`).FindAllStringSubmatch(saved, -1)
	if len(pods) != len(c.pods) {
		c.Fatalf("%d rules for pods in\n%s", len(pods), saved)
	}
	for _, p := range pods {
		fmt.Fprintf(&rules, " iifname \"eth0\" ip daddr %s ether daddr set %s accept\n", p[1], p[2])
	}
	rules.WriteString(" }\n chain post {\n type filter hook postrouting priority 300; policy accept;\n oifname \"eth0\" ether saddr & " +
		"01:00:00:00:00:00 == 00:00:00:00:00:00 ether saddr set 00:0d:3a:11:22:33\n oifname \"eth0\" ether type arp arp saddr ether set " +
		"00:0d:3a:11:22:33\n }\n}\n")
	c.run(c.n, "ebtables-nft -t nat -F")
	c.run(c.n, "nft delete table bridge nat")
	c.input(c.n, rules.String(), "nft", "-f", "-")
}
