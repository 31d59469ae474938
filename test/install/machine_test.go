//go:build linux

package install

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/libcni"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// machine is a node to install on.
type machine struct {
	*testing.T
	ctx    context.Context
	fabric *fabric.Fabric
	node   *node.Node
	root   string // where its files are seen from outside
	upper  string // those of them that have been written since the node was made
}

// newMachine makes a VM with a userland of its own: what is written to it is gone when the test ends.
func newMachine(t *testing.T, userland string, cfg fabric.Config) *machine {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	t.Cleanup(cancel)
	m := &machine{T: t, ctx: ctx, root: mountRoot(t, filepath.Join(userlands, userland))}
	m.upper = filepath.Join(filepath.Dir(m.root), "upper")
	var err error
	m.fabric, err = fabric.New(cfg)
	m.must(err)
	t.Cleanup(func() { m.must(m.fabric.Close()) })
	m.node, err = node.New(m.fabric.VMs[0], t.TempDir(), "/opt/cni/bin")
	m.must(err)
	m.node.Root = m.root
	m.copy("../../scripts/install-cni-plugin.sh", "/root/install-cni-plugin.sh", 0o755)
	return m
}

// mountRoot lays a writable layer over a userland, with /proc and a few devices.
func mountRoot(t *testing.T, lower string) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	for _, d := range []string{"root", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount := func(source, target, kind string, flags uintptr, options string) {
		if err := unix.Mount(source, target, kind, flags, options); err != nil {
			t.Fatalf("mount %s at %s: %v", source, target, err)
		}
		t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	}
	mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, dir, dir))
	mount("proc", filepath.Join(root, "proc"), "proc", 0, "")
	for _, device := range []string{"null", "zero", "urandom"} {
		target := filepath.Join(root, "dev", device)
		if _, err := os.Stat(target); err != nil {
			if err = os.WriteFile(target, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		mount("/dev/"+device, target, "", unix.MS_BIND, "")
	}
	return root
}

func (m *machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// path is a file of the node, seen from outside.
func (m *machine) path(file string) string { return filepath.Join(m.root, file) }

func (m *machine) read(file string) string {
	m.Helper()
	b, err := os.ReadFile(m.path(file))
	m.must(err)
	return string(b)
}

func (m *machine) write(file, text string) {
	m.Helper()
	m.must(os.MkdirAll(filepath.Dir(m.path(file)), 0o755))
	m.must(os.WriteFile(m.path(file), []byte(text), 0o755))
}

func (m *machine) there(file string) bool {
	_, err := os.Lstat(m.path(file))
	return err == nil
}

func (m *machine) copy(from, to string, mode fs.FileMode) {
	m.Helper()
	b, err := os.ReadFile(from)
	m.must(err)
	m.must(os.MkdirAll(filepath.Dir(m.path(to)), 0o755))
	m.must(os.WriteFile(m.path(to), b, mode))
}

// release puts a version's files into a folder of the node.
func (m *machine) release(version, folder string) {
	m.Helper()
	entries, err := os.ReadDir(filepath.Join(releases, version))
	m.must(err)
	for _, e := range entries {
		m.copy(filepath.Join(releases, version, e.Name()), filepath.Join(folder, e.Name()), 0o644)
	}
}

// said is what a program of the node printed, and how it ended.
type said struct {
	text string
	code int
}

// run executes a program on the node as root; env is added to the environment of a bare login.
func (m *machine) run(env []string, path string, args ...string) said {
	m.Helper()
	cmd := m.node.Command(m.ctx, path, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}, env...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.Fatalf("%s %v: %v", path, args, err)
	}
	return said{out.String(), cmd.ProcessState.ExitCode()}
}

// installer runs install-cni-plugin.sh, without a terminal.
func (m *machine) installer(args ...string) said {
	m.Helper()
	return m.run(nil, "/bin/sh", append([]string{"/root/install-cni-plugin.sh"}, args...)...)
}

// installs requires success, and words in what is said.
func (m *machine) installs(want string, args ...string) {
	m.Helper()
	if s := m.installer(args...); s.code != 0 || !strings.Contains(s.text, want) {
		m.Fatalf("install-cni-plugin.sh %v: exit %d without %q:\n%s", args, s.code, want, s.text)
	}
}

// refuses requires a failure, and words in what is said.
func (m *machine) refuses(code int, want string, args ...string) {
	m.Helper()
	if s := m.installer(args...); s.code != code || !strings.Contains(s.text, want) {
		m.Fatalf("install-cni-plugin.sh %v: exit %d (not %d), or without %q:\n%s", args, s.code, code, want, s.text)
	}
}

func (m *machine) wantVersion(version string) {
	m.Helper()
	for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
		if s := m.run(nil, "/opt/cni/bin/"+plugin, "--version"); s.code != 0 || !strings.Contains(s.text, version) {
			m.Errorf("%s is %q (exit %d), not %s", plugin, s.text, s.code, version)
		}
	}
}

// list is the installed configuration, as a runtime reads it.
func (m *machine) list() *libcni.NetworkConfigList {
	m.Helper()
	files, err := libcni.ConfFiles(m.path("/etc/cni/net.d"), []string{".conf", ".conflist", ".json"})
	m.must(err)
	if len(files) == 0 {
		m.Fatal("no configuration is installed")
	}
	list, err := libcni.ConfListFromFile(files[0])
	m.must(err)
	return list
}

func (m *machine) add() *node.Pod {
	m.Helper()
	p, err := m.node.AddPod(m.ctx, m.list())
	m.must(err)
	return p
}

// reachable requires that a pod is answered to from outside, and answers outside.
func (m *machine) reachable(pods ...*node.Pod) {
	m.Helper()
	ping := func(ns *fabric.Namespace, to netip.Addr) {
		ctx, cancel := context.WithTimeout(m.ctx, 10*time.Second)
		defer cancel()
		if _, err := ns.Ping(ctx, to, fabric.PingOptions{}); err != nil {
			m.Error(err)
		}
	}
	for _, p := range pods {
		ping(m.fabric.Ns(), p.IP)
		ping(p.NS, fabric.RemoteHost)
	}
}

// files are the node's: mode, and what is in them. Left out is what is not the installer's: devices, the kernel's, and
// what a package manager notes.
func (m *machine) files() map[string]string {
	m.Helper()
	found := map[string]string{}
	m.must(filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, m.root)
		switch name {
		case "/proc", "/dev", "/var/lib/dpkg", "/var/cache", "/var/log/dpkg.log":
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		found[name] = info.Mode().String()
		if _, err = os.Lstat(m.upper + name); err != nil || !info.Mode().IsRegular() {
			return nil // what nobody has written is as it was; there are 150 MB of it
		}
		text, err := os.ReadFile(path)
		found[name] += fmt.Sprintf(" %x", sha256.Sum256(text))
		return err
	}))
	return found
}

var volatile = regexp.MustCompile(`(valid|preferred)_lft \S+| expires \S+|qlen \d+| used \S+|state \S+| promiscuity \d+| packets \d+ bytes \d+|(?m)^\d+: `)

// network is what a person can see of the node's network.
func (m *machine) network() string {
	m.Helper()
	var b strings.Builder
	for _, line := range []string{"ip addr", "ip route show table all", "ip -6 route show table all", "ip rule",
		"ip neigh show nud permanent", "nft list ruleset", "sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding"} {
		args := strings.Fields(line)
		// Without what it says of names of namespaces that somebody else on this machine is making (ip addr).
		out, err := m.fabric.VMs[0].Ns.Command(m.ctx, args[0], args[1:]...).Output()
		if err != nil {
			m.Fatalf("%s: %v", line, err)
		}
		fmt.Fprintf(&b, "%s\n%s", line, volatile.ReplaceAllString(string(out), ""))
	}
	return b.String()
}

// untouched requires that nothing of the node has changed since the two were taken.
func (m *machine) untouched(files map[string]string, network string) {
	m.Helper()
	if diff := cmp.Diff(files, m.files()); diff != "" {
		m.Errorf("files have changed:\n%s", diff)
	}
	if diff := cmp.Diff(network, m.network()); diff != "" {
		m.Errorf("the network has changed:\n%s", diff)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
