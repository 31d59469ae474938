//go:build linux

package install

import (
	"bufio"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"golang.org/x/sys/unix"
)

// The containers of scripts/kubernetes/base/azure-vnet-cni.yaml, as the kubelet starts them: one capability, since the
// folder of the plugins may be another user's, and a root that cannot be written to but for folders of the node; only
// the init container has the node's /etc, which it prepares. (That the manifest has these arguments is tested in test/manifest.)
func TestTheDaemonSetsContainers(t *testing.T) {
	m := newMachine(t, distributions[0], fabric.Default(1, 2))
	m.release(older, "/release")
	m.managed()
	m.copy("../../cni/conf/10-azure-linux.conflist.bridge", conflist, 0o644)
	for _, f := range []string{"/host/etc", "/host/run/systemd"} {
		m.must(os.MkdirAll(m.path(f), 0o755))
		m.must(unix.Mount(m.path(strings.TrimPrefix(f, "/host")), m.path(f), "", unix.MS_BIND, ""))
		t.Cleanup(func() { _ = unix.Unmount(m.path(f), unix.MNT_DETACH) })
	}
	m.readOnlyBut("/opt/cni/bin", "/etc/cni/net.d", "/var/lib/azure-vnet-cni", "/etc/systemd/system")
	m.must(os.Chown(m.path("/opt/cni/bin"), 1001, 127))
	contained := []string{"--bounding-set=-all,+dac_override", "--inh-caps=-all", "--no-new-privs", "/bin/sh",
		"/root/install-cni-plugin.sh", "--from", "/release"}

	if s := m.run(nil, "/usr/bin/setpriv", append(contained, "--node-root", "/host")...); s.code != 0 ||
		!strings.Contains(s.text, "installed "+older) {
		t.Fatalf("init container: exit %d: %s", s.code, s.text)
	}
	m.wantVersion(older)
	if !m.there(unit) || !m.there(wanted) {
		t.Error("the next boot does not start " + unit)
	}

	m.wantPrepared("by the init container", prepared...)
	if asked := m.read("/tmp/asked"); asked != "" {
		t.Errorf("from within a container they were asked %q", asked)
	}

	cmd := m.node.Command(m.ctx, "/usr/bin/setpriv", append(contained, "--watch", "1", "--no-node-setup")...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	r, w, err := os.Pipe()
	m.must(err)
	cmd.Stdout, cmd.Stderr = w, w
	m.must(cmd.Start())
	m.must(w.Close())
	lines := bufio.NewScanner(r)
	for range 3 { // the first may be found by the first round, the third only by another one
		m.write(bin+"azure-vnet", "somebody else's")
		for lines.Scan() && !strings.Contains(lines.Text(), "installed "+older) {
			t.Log(lines.Text())
		}
		m.wantVersion(older)
	}
	m.must(cmd.Process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(r)
	m.must(err)
	if err = cmd.Wait(); err != nil || len(rest) > 0 {
		t.Errorf("it ends with %v, and says %q", err, rest)
	}
}

// readOnlyBut makes the node's root read-only, but for some folders.
func (m *machine) readOnlyBut(folders ...string) {
	m.Helper()
	for _, f := range folders {
		m.must(os.MkdirAll(m.path(f), 0o755))
		m.must(unix.Mount(m.path(f), m.path(f), "", unix.MS_BIND, ""))
		m.Cleanup(func() { _ = unix.Unmount(m.path(f), unix.MNT_DETACH) })
	}
	m.must(unix.Mount("", m.root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
}
