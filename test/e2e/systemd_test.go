//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/Azure/azure-container-networking/test/resolver"
)

// machine is a Debian with systemd as its first process, in the network of a VM: what a node is for those who manage
// its network.
type machine struct {
	*lab
	n   *node.Node
	pid string // of systemd, as seen from here
}

// boot makes the machine's files those of the tree that setup has made, with the plugins, their configuration and the
// unit, and the given ones; starts systemd, and waits until it has started everything. All of it ends with the test.
func (l *lab) boot(n *node.Node, fields map[string]any, files map[string]string) *machine {
	l.Helper()
	tree := os.Getenv("MACHINE_ROOT")
	if _, err := os.Stat(filepath.Join(tree, "lib/systemd/systemd")); err != nil {
		l.Fatalf("MACHINE_ROOT names no tree with systemd (%v): run \"make test\", which makes it", err)
	}
	etc := filepath.Join(n.Dir, "machine")
	all := map[string]string{
		"etc/cni/net.d/10-azure.conf": string(l.conf(n, fields)),
	}
	for _, unit := range []string{"azure-vnet-repair.service", "azure-vnet-metrics.service", "azure-vnet-metrics.timer"} {
		all["etc/systemd/system/"+unit] = l.read("../../build/systemd/" + unit)
	}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		path := filepath.Join(etc, name)
		l.must(os.MkdirAll(filepath.Dir(path), 0o755))
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".nmconnection") { // NetworkManager reads no profile that others may read
			mode = 0o600
		}
		l.must(os.WriteFile(path, []byte(text), mode))
	}
	group := l.controlGroup()
	cmd := n.VM.Ns.Command(l.ctx, "/bin/sh", "-c",
		`set -e; echo $$ > "$1/cgroup.procs"; exec unshare --pid --fork --kill-child --mount --ipc --uts --cgroup /bin/sh -c "$2" sh "$3" "$4" "$5" "$6" </dev/null 2>&1`,
		"sh", group, bootScript, tree, n.Dir, etc, binaries)
	out, err := os.Create(filepath.Join(n.Dir, "systemd.log"))
	l.must(err)
	cmd.Stdout = out
	resolver.Start(l, cmd.Cmd, cmd.Start)
	m := &machine{lab: l, n: n}
	l.Cleanup(func() {
		if l.Failed() {
			l.Logf("systemd says: %s", l.read(out.Name()))
			said, _ := m.command("journalctl", "--no-pager", "-n", "200").CombinedOutput()
			l.Logf("the machine's journal: %s", said)
		}
		_ = out.Close()
	})
	l.eventually("systemd does not start", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		m.pid = strings.TrimSpace(string(children))
		if err != nil || m.pid == "" {
			return false
		}
		name, _ := os.ReadFile("/proc/" + m.pid + "/comm")
		return string(name) == "systemd\n"
	})
	l.eventually("the machine does not boot", func() bool {
		state, _ := m.command("systemctl", "is-system-running", "--wait").CombinedOutput()
		return strings.TrimSpace(string(state)) == "running"
	})
	return m
}

// bootScript runs in namespaces of its own: tree, the node's folder, the machine's own files, the plugins.
const bootScript = `set -e
mount --make-rprivate /
base=$2/base; mkdir -p $base; mount -t tmpfs tmpfs $base; mkdir $base/up $base/work $base/root
cp -a "$3/." $base/up; mkdir -p $base/up/opt/cni/bin "$base/up$2" $base/up/mnt/old $base/up/proc $base/up/sys
mount -t overlay overlay -o "lowerdir=$1,upperdir=$base/up,workdir=$base/work" $base/root
mount --bind "$4" $base/root/opt/cni/bin; mount --bind "$2" "$base/root$2"
cd $base/root
mount -t proc proc proc; mount -t sysfs -o ro sysfs sys; mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run; mount -t tmpfs tmpfs dev
for d in null zero full random urandom tty; do touch dev/$d; mount --bind /dev/$d dev/$d; done
mkdir dev/pts dev/shm
pivot_root . mnt/old; umount -l mnt/old
exec env -i container=azure-vnet-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target --log-target=console`

// controlGroup is one of the test's own, so that systemd's lie below it; it goes when the test ends.
func (l *lab) controlGroup() string {
	l.Helper()
	for line := range strings.Lines(l.read("/proc/mounts")) {
		if f := strings.Fields(line); f[2] == "cgroup2" {
			group, err := os.MkdirTemp(f[1], "azure-vnet-test-")
			l.must(err)
			l.Cleanup(func() {
				l.eventually("the control group stays", func() bool {
					_ = os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0o600)
					var dirs []string
					_ = filepath.WalkDir(group, func(path string, e os.DirEntry, err error) error {
						if err == nil && e.IsDir() {
							dirs = append(dirs, path)
						}
						return nil
					})
					for i := len(dirs) - 1; i >= 0; i-- {
						_ = os.Remove(dirs[i])
					}
					_, err := os.Stat(group)
					return os.IsNotExist(err)
				})
			})
			return group
		}
	}
	l.Skip("this machine has no cgroup2, which systemd needs")
	return ""
}

// command is a program on the machine.
func (m *machine) command(args ...string) *fabric.Cmd {
	cmd := m.n.VM.Ns.Command(m.ctx, "nsenter", append([]string{"-t", m.pid, "-m", "-p", "-i", "-u", "-C", "--"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	return cmd
}

// sh runs a line of the shell on the machine.
func (m *machine) sh(line string) string {
	m.Helper()
	out, err := m.command("/bin/sh", "-c", line).CombinedOutput()
	if err != nil {
		m.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}
