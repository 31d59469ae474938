//go:build linux

package install

import (
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// mode is what the installed configuration says.
func (m *machine) wantMode(when, want string) {
	m.Helper()
	if text := m.read(conflist); !strings.Contains(text, `"mode": "`+want+`"`) {
		m.Errorf("%s the configuration is not for mode %s:\n%s", when, want, text)
	}
}

// A new configuration is for transparent mode, and a pod works with it; another mode can be asked for, and stays until
// another one is.
func TestTheModeOfTheConfiguration(t *testing.T) {
	m := newMachine(t, "busybox", fabric.Default(1, 4))
	m.release(older, "/media/old")
	m.repack(newer, "/media/new", map[string]string{
		"10-azure.conflist.bridge": strings.Replace(m.shipped("10-azure.conflist.bridge"), `"mode"`, `"logLevel": "debug", "mode"`, 1),
	})
	files, network := m.files(), m.network()
	m.refuses(2, "--mode is transparent, bridge or tunnel", "--from", "/media/old", "--mode", "fast")
	m.untouched(files, network)

	m.installs("installed", "--from", "/media/old")
	m.wantMode("by default", "transparent")
	pod := m.add()
	m.reachable(pod)
	m.must(pod.Del(m.ctx))
	for _, mode := range []string{"tunnel", "bridge"} {
		if s := m.run(nil, bin+"azure-vnet", "cleanup", "--yes"); s.code != 0 {
			t.Fatal(s.text)
		}
		m.installs("installed", "--from", "/media/old", "--mode", mode)
		m.wantMode("asked for", mode)
		if !strings.Contains(m.read(conflist), `"bridge": "azure0"`) {
			t.Error("the bridge has another name than scripts expect")
		}
		pod = m.add()
		m.reachable(pod)
		m.must(pod.Del(m.ctx))
	}
	m.installs("installed", "--from", "/media/new")
	m.wantMode("after an upgrade", "bridge")
	if !strings.Contains(m.read(conflist), `"logLevel": "debug"`) {
		t.Error("the configuration that nobody has changed does not follow the version")
	}
	m.installs("went back", "--rollback")
	m.wantMode("after the way back", "bridge")
	m.installs("removed", "--uninstall")
	m.untouched(files, network)
}

// shipped is a file of the archive.
func (m *machine) shipped(name string) string {
	m.Helper()
	m.release(older, "/tmp/unpacked")
	if s := m.run(nil, "/bin/tar", "-xzf", "/tmp/unpacked/"+archive, "-C", "/tmp/unpacked", name); s.code != 0 {
		m.Fatal(s.text)
	}
	return m.read("/tmp/unpacked/" + name)
}
