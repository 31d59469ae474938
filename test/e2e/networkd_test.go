//go:build linux

package e2e

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/Azure/azure-container-networking/test/resolver"
)

const networkd = "/lib/systemd/systemd-networkd"

// documented reads the configuration files out of docs/host.md: each follows its path, in backquotes.
func (l *lab) documented(dir string) {
	l.Helper()
	text := l.read("../../docs/host.md")
	found := regexp.MustCompile("(?s)`/etc/systemd/([^`]+)`.*?```ini\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(found) != 3 {
		l.Fatalf("docs/host.md has %d files for networkd", len(found))
	}
	for _, m := range found {
		path := filepath.Join(dir, m[1])
		l.must(os.MkdirAll(filepath.Dir(path), 0o755))
		l.must(os.WriteFile(path, []byte(m[2]), 0o600))
	}
}

// networkd is a command that runs it in the VM.
func (l *lab) networkd(n *node.Node, etc string) *fabric.Cmd {
	l.Helper()
	l.must(filepath.WalkDir(etc, func(path string, _ os.DirEntry, err error) error { // networkd is not root
		return errors.Join(err, os.Chmod(path, 0o755))
	}))
	// Without udev, which it believes of a read-only /sys, links count as ready at once.
	script := `set -e; mount --make-rprivate /; mkdir -p /run/systemd; mount -t tmpfs -o mode=0777 tmpfs /run/systemd; mkdir -p -m 0777 /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chmod 0777 /run/systemd/netif; mount --bind "$1" /etc/systemd; mount -t sysfs -o ro sysfs /sys; exec "$2" 2>&1`
	cmd := n.VM.Ns.Command(l.ctx, "/bin/sh", "-c", script, "sh", etc, networkd)
	cmd.Env = []string{"SYSTEMD_LOG_LEVEL=debug", "SYSTEMD_LOG_TARGET=console", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	return cmd
}

// startNetworkd runs networkd in the VM until the test ends.
func (l *lab) startNetworkd(n *node.Node, etc string) {
	l.Helper()
	cmd := l.networkd(n, etc)
	out, err := os.Create(filepath.Join(n.Dir, "networkd.log"))
	l.must(err)
	cmd.Stdout = out
	resolver.Start(l, cmd.Cmd, cmd.Start)
	l.Cleanup(func() {
		_ = out.Close()
		if l.Failed() {
			said := l.read(out.Name())
			l.Logf("networkd says: %s", said[max(0, len(said)-20000):])
		}
	})
	l.configured(n)
}

// restartNetworkd runs networkd in the VM until it has configured eth0, and stops it.
func (l *lab) restartNetworkd(n *node.Node, etc string) {
	l.Helper()
	cmd := l.networkd(n, etc)
	out, err := cmd.StdoutPipe()
	l.must(err)
	resolver.Start(l, cmd.Cmd, cmd.Start)
	said := &strings.Builder{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "eth0: State changed: configuring -> configured") {
			l.must(cmd.Process.Signal(syscall.SIGTERM))
		}
	}
	if !strings.Contains(said.String(), "configuring -> configured") {
		l.Fatalf("networkd did not configure eth0: %s", said)
	}
}

// networkd starts anew while pods live, with a file for the master that matches the bridge's MAC, too, as netplan's do.
// With the files of docs/host.md the bridge and its port stay as they are, and the next ADD moves what came back.
func TestNetworkdLeavesTheBridgeAlone(t *testing.T) {
	if _, err := os.Stat(networkd); err != nil {
		t.Fatalf("%v: run \"make test\", which installs it", err)
	}
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	etc := filepath.Join(n.Dir, "etc")
	l.documented(etc)
	const netplan = "[Match]\nMACAddress=00:0d:3a:00:00:01\n[Network]\nLinkLocalAddressing=no\nAddress=10.240.0.4/16\nGateway=10.240.0.1\n"
	l.must(os.WriteFile(filepath.Join(etc, "network", "10-netplan-eth0.network"), []byte(netplan), 0o600))
	list := l.list(n, map[string]any{"mode": "bridge"})
	p := l.add(n, list)
	for _, line := range []string{"ip route add 10.99.0.0/16 via 10.240.0.1 dev azure0", "ip rule add iif azure0 lookup 100 pref 1000",
		"ip neigh add 10.240.0.77 lladdr 02:00:00:00:00:77 dev azure0 nud permanent"} {
		l.run(n, line)
	}
	conf := func() string {
		return l.run(n, "ip -o addr show dev azure0") + l.run(n, "ip route show table all dev azure0") + l.run(n, "ip rule") + l.run(n,
			"ip neigh show nud permanent") + l.run(n, "ip -br link show master azure0")
	}
	before := conf()
	l.restartNetworkd(n, etc)
	if after := conf(); after != before {
		t.Errorf("after a restart of networkd the bridge differs:\n%s", differ(before, after))
	}
	l.reach("pod", p.NS, "gateway", gateway, 64)
	l.reach("pod", p.NS, "host", addr("10.240.0.4"), 64)
	l.reach("host", n.VM.Ns, "gateway", gateway, 64)
	if got := l.run(n, "ip -o addr show dev eth0"); !strings.Contains(got, "10.240.0.4") {
		t.Errorf("networkd did not put the address back: the test proves nothing: %s", got)
	}
	l.live(n, "bridge", p, l.add(n, list))
	if got := l.run(n, "ip -o -4 addr show dev eth0"); got != "" {
		t.Errorf("eth0 still has %s", got)
	}
}
