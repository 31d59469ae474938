//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/Azure/azure-container-networking/test/resolver"
)

// networkManager is where setup has unpacked NetworkManager, or it is installed.
func (l *lab) networkManager() (program, libraries string) {
	l.Helper()
	const installed = "/usr/sbin/NetworkManager"
	unpacked := os.Getenv("NETWORKMANAGER_ROOT")
	for _, root := range []string{unpacked, ""} {
		if _, err := os.Stat(root + installed); err == nil {
			folders, err := filepath.Glob(root + "/usr/lib/*-linux-gnu")
			l.must(err)
			more, err := filepath.Glob(root + "/lib/*-linux-gnu")
			l.must(err)
			return root + installed, strings.Join(append(folders, more...), ":")
		}
	}
	l.Fatalf("there is no %s, nor below %q: run \"make test\", which unpacks it", installed, unpacked)
	return "", ""
}

// startNetworkManager runs NetworkManager in the VM until the test ends, with a bus of its own and a profile for eth0.
func (l *lab) startNetworkManager(n *node.Node, profile, conf string) {
	l.Helper()
	program, libraries := l.networkManager()
	dir := filepath.Join(n.Dir, "nm")
	profiles := filepath.Join(dir, "profiles")
	l.must(os.MkdirAll(profiles, 0o755))
	l.must(os.WriteFile(filepath.Join(profiles, "eth0.nmconnection"), []byte(profile), 0o600))
	l.must(os.WriteFile(filepath.Join(dir, "nm.conf"),
		[]byte("[main]\nplugins=keyfile\ndns=none\nrc-manager=unmanaged\nauth-polkit=false\nno-auto-default=*\n[keyfile]\npath="+profiles+
			"\n[logging]\nlevel=INFO\n"+conf), 0o600))
	l.must(os.MkdirAll(filepath.Join(dir, "conf.d"), 0o755))
	bus := resolver.StartBus(l, filepath.Join(dir, "bus"))
	script := `set -e; mount --make-rprivate /; mount -t tmpfs tmpfs /run; mkdir -p /run/NetworkManager; mkdir -p /var/lib/NetworkManager; mount -t tmpfs tmpfs /var/lib/NetworkManager; mount -t sysfs -o ro sysfs /sys
exec "$1" --debug --config="$2/nm.conf" --config-dir="$2/conf.d" 1>&2`
	cmd := n.VM.Ns.Command(l.ctx, "/bin/sh", "-c", script, "sh", program, dir)
	cmd.Env = []string{"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + bus, "LD_LIBRARY_PATH=" + libraries, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	resolver.Start(l, cmd.Cmd, cmd.Start)
	l.configured(n)
}

// configured waits until the host has its routes.
func (l *lab) configured(n *node.Node) {
	l.Helper()
	l.eventually("nobody configures eth0", func() bool {
		return strings.Contains(l.run(n, "ip route show default"), gateway.String()) &&
			strings.Contains(l.run(n, "ip -6 route show default"), "proto ra")
	})
}

// dynamic makes a fabric with one VM that has no addresses yet, a DHCP server, and a router that says it is one.
func dynamic(t *testing.T) (*lab, *node.Node) {
	cfg := fabric.DefaultDual(1, 4)
	cfg.VMs[0].NICs[0].Veth = true // of a macvlan NetworkManager believes that somebody else made it
	l := newLab(t, cfg)
	n := l.nodes[0]
	l.run(n, "ip addr flush dev eth0")
	l.run(n, "ip link set eth0 down")
	stop, err := n.VM.ServeDHCP(lease)
	l.must(err)
	quiet, err := n.VM.Advertise(fabric.Advertisement{Every: time.Second, Lifetime: lease})
	l.must(err)
	t.Cleanup(func() { l.must(errors.Join(stop(), quiet())) })
	return l, n
}

// outlive requires that the host is online whatever happens to its leases, while who made them goes on running. Who
// configures the bridge, too, may take a moment for it.
func (l *lab) outlive(n *node.Node, mode string, patient bool) {
	l.Helper()
	online := func(when string) {
		l.Helper()
		if patient {
			l.eventually("the host is offline "+when, func() bool {
				_, err4 := n.VM.Ns.Ping(l.ctx, remoteHost, fabric.PingOptions{})
				_, err6 := n.VM.Ns.Ping(l.ctx, fabric.RemoteHost6, fabric.PingOptions{})
				return err4 == nil && err6 == nil
			})
		}
		l.online(n, when)
	}
	online("at first")
	list := l.list(n, dualConf(mode))
	p := l.add(n, list)
	online("after the first ADD")
	l.reach("pod", p.NS, "outside", remoteHost, ttls[mode].fabric)
	l.outlast(n)
	online("after all leases")
	l.add(n, list)
	online("after the next ADD")
	if !patient { // it would put its addresses on the master at the very moment in which they move
		l.run(n, "ip link del azure0")
		l.add(n, list)
		online("after a repair")
	}
	l.cleanup(n)
	online("after cleanup")
	l.outlast(n)
	online("when the leases were renewed")
}

// The real NetworkManager, with the file of docs/host.md.
func TestNetworkManagersHostKeepsItsNetwork(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel"} {
		t.Run(mode, func(t *testing.T) {
			l, n := dynamic(t)
			const profile = "[connection]\nid=eth0\nuuid=5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03\ntype=ethernet\ninterface-name=eth0\n" +
				"[ipv4]\nmethod=auto\n[ipv6]\nmethod=auto\naddr-gen-mode=eui64\naddress1=fd00::4/128\n"
			documented := regexp.MustCompile("(?s)`/etc/NetworkManager/conf.d/[^`]+`.*?```ini\n(.*?)```").FindStringSubmatch(
				l.read("../../docs/host.md"))
			if documented == nil {
				t.Fatal("docs/host.md has no file for NetworkManager")
			}
			l.startNetworkManager(n, profile, documented[1])
			l.outlive(n, mode, false)
		})
	}
}

// The real systemd-networkd with what netplan writes, which matches the bridge, too; with the files of docs/host.md and without.
func TestNetworkdsHostKeepsItsNetwork(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel"} {
		for _, documented := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s documented=%v", mode, documented), func(t *testing.T) {
				l, n := dynamic(t)
				etc := filepath.Join(n.Dir, "etc")
				if documented {
					l.documented(etc)
				}
				l.must(os.MkdirAll(filepath.Join(etc, "network"), 0o755))
				const netplan = "[Match]\nMACAddress=00:0d:3a:00:00:01\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=yes\nAddress=fd00::4/128\n[DHCP]\nRouteMetric=100\nUseMTU=true\n"
				l.must(os.WriteFile(filepath.Join(etc, "network", "10-netplan-eth0.network"), []byte(netplan), 0o600))
				l.startNetworkd(n, etc)
				l.outlive(n, mode, !documented)
			})
		}
	}
}
