//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/Azure/azure-container-networking/test/resolver"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// standInBus makes the test binary a stand-in for systemd-resolved on that bus, in a VM.
const standInBus = "E2E_RESOLVED_BUS"

func serveResolved(bus string) {
	s := &resolver.StandIn{Exists: func(index int32) bool {
		_, err := net.InterfaceByIndex(int(index))
		return err == nil
	}}
	updates := make(chan netlink.LinkUpdate, 100)
	if err := errors.Join(netlink.LinkSubscribe(updates, nil), s.Serve(bus)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for u := range updates { // until it is killed
		// Also when the link is only a bridge's port no more: the real one takes that for its end (systemd 252).
		if u.Header.Type == unix.RTM_DELLINK {
			s.Forget(u.Index)
		}
	}
}

// realResolved is where Debian and Ubuntu have it; RESOLVED_BIN names another one.
func realResolved() string {
	if path := os.Getenv("RESOLVED_BIN"); path != "" {
		return path
	}
	return "/lib/systemd/systemd-resolved"
}

// bus runs a system bus for the VM, and lets the plugins find it where it always is.
func (l *lab) bus(n *node.Node) string {
	l.Helper()
	dir := filepath.Join(n.Dir, "dbus")
	socket := resolver.StartBus(l, dir)
	n.Mounts = "mkdir -p /run/dbus && mount --bind " + dir + " /run/dbus"
	return socket
}

func (l *lab) startStandIn(n *node.Node, bus string) {
	l.Helper()
	cmd := n.VM.Ns.Command(l.ctx, os.Args[0])
	cmd.Env = []string{standInBus + "=" + bus}
	resolver.Start(l, cmd.Cmd, cmd.Start)
}

// startResolved runs the real one in the VM, with the folders that it would write to in its own mount namespace.
func (l *lab) startResolved(n *node.Node, bus string) {
	l.Helper()
	script := `set -e; mount --make-rprivate /; mkdir -p /run/dbus /run/systemd; mount --bind "$1" /run/dbus; mount -t tmpfs tmpfs /run/systemd; mount -t tmpfs tmpfs /etc/systemd
printf '[Resolve]\nDNSStubListener=no\nLLMNR=no\nMulticastDNS=no\n' >/etc/systemd/resolved.conf
(echo 'systemd-resolve:x:65534:65534::/:/bin/false'; cat /etc/passwd) >"$1/passwd"; mount --bind "$1/passwd" /etc/passwd
(cat /etc/group; echo 'systemd-resolve:x:65534:') >"$1/group"; mount --bind "$1/group" /etc/group
exec "$2"`
	cmd := n.VM.Ns.Command(l.ctx, "/bin/sh", "-c", script, "sh", filepath.Dir(bus), realResolved())
	cmd.Env = []string{"LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/systemd:/usr/lib/aarch64-linux-gnu/systemd", "SYSTEMD_LOG_LEVEL=info",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	resolver.Start(l, cmd.Cmd, cmd.Start)
}

func (l *lab) index(n *node.Node, name string) (index int) {
	l.Helper()
	l.must(n.VM.Ns.Do(func() error {
		i, err := net.InterfaceByName(name)
		if err == nil {
			index = i.Index
		}
		return err
	}))
	return index
}

// The DNS servers of the master's link go to the bridge and back.
func TestLinkDNSFollowsTheHostsAddresses(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*lab, *node.Node, string){"a stand-in": (*lab).startStandIn,
		"systemd-resolved": (*lab).startResolved} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(realResolved()); name == "systemd-resolved" && err != nil {
				t.Fatalf("%v: run \"make test\", which fetches it, or name it in RESOLVED_BIN", err)
			}
			l := newLab(t, fabric.Default(1, 3))
			n := l.nodes[0]
			bus := l.bus(n)
			start(l, n, bus)
			conn := resolver.Client(t, bus)
			eth0 := l.index(n, "eth0")
			resolver.Set(t, conn, "SetLinkDNS", int32(eth0),
				[]resolver.Server{{Family: 2, Address: []byte{168, 63, 129, 16}}, {Family: 2, Address: []byte{10, 240, 0, 1}}})
			resolver.Set(t, conn, "SetLinkDomains", int32(eth0),
				[]resolver.Domain{{Name: "internal.cloudapp.net"}, {Name: "corp.example", RouteOnly: true}})
			resolver.Set(t, conn, "SetLinkDefaultRoute", int32(eth0), false)
			resolver.Set(t, conn, "SetLinkDNSSECNegativeTrustAnchors", int32(eth0), []string{"corp.example"})
			before := resolver.Settings(t, conn, eth0)
			if !strings.Contains(before, "[168 63 129 16]") || !strings.Contains(before, "corp.example") {
				t.Fatalf("eth0 has %s", before)
			}
			list := l.list(n, map[string]any{"mode": "bridge"})
			p := l.add(n, list)
			for range 2 {
				if got := resolver.Settings(t, conn, l.index(n, "azure0")); got != before {
					t.Errorf("azure0 has\n%s\neth0 had\n%s", got, before)
				}
				l.run(n, "ip link del azure0") // and again when it is repaired
				l.must(l.add(n, list).Del(l.ctx))
			}
			l.must(p.Del(l.ctx))
			resolver.Set(t, conn, "SetLinkDNS", int32(l.index(n, "azure0")), []resolver.Server{{Family: 2, Address: []byte{10, 240, 0, 2}}})
			l.run(n, "ip link set azure0 down") // a repair of the bridge leaves that alone
			l.must(l.add(n, list).Del(l.ctx))
			changed := resolver.Settings(t, conn, l.index(n, "azure0"))
			l.cleanup(n)
			if got := resolver.Settings(t, conn, eth0); got != changed {
				t.Errorf("eth0 has\n%s\nazure0 had\n%s", got, changed)
			}
			if log := l.read(n.LogFile("azure-vnet")); strings.Contains(log, "DNS settings") {
				t.Error("the log has a warning")
			}
		})
	}
}

// A resolved of another network namespace knows other links by the same indexes.
func TestAResolvedOfAnotherNamespaceIsLeftAlone(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	bus := l.bus(n)
	s := &resolver.StandIn{Exists: func(int32) bool { return true }}
	l.must(s.Serve(bus)) // in this process
	t.Cleanup(s.Close)
	resolver.Set(t, resolver.Client(t, bus), "SetLinkDNS", int32(l.index(n, "eth0")),
		[]resolver.Server{{Family: 2, Address: []byte{168, 63, 129, 16}}})
	s.Calls()
	l.add(n, l.list(n, map[string]any{"mode": "bridge"}))
	if calls := s.Calls(); len(calls) > 0 {
		t.Errorf("set: %v", calls)
	}
}

// A bus that says nothing costs a warning and a second, not the pod.
func TestABusThatHangsDoesNotFailAnAdd(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	dir := filepath.Join(n.Dir, "dbus")
	l.must(os.MkdirAll(dir, 0o755))
	silent, err := net.Listen("unix", filepath.Join(dir, "system_bus_socket"))
	l.must(err)
	t.Cleanup(func() { _ = silent.Close() })
	n.Mounts = "mkdir -p /run/dbus && mount --bind " + dir + " /run/dbus"
	p := l.add(n, l.list(n, map[string]any{"mode": "bridge"}))
	l.reach("pod", p.NS, "gateway", gateway, 64)
	if log := l.read(n.LogFile("azure-vnet")); !strings.Contains(log, "the host's DNS settings do not follow") {
		t.Error("the log has no warning")
	}
}
