//go:build linux

package install

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// dpkg requires success of a dpkg command.
func (m *machine) dpkg(args ...string) string {
	m.Helper()
	s := m.run([]string{"DEBIAN_FRONTEND=noninteractive"}, "/usr/bin/dpkg", args...)
	if s.code != 0 {
		m.Fatalf("dpkg %v: exit %d: %s", args, s.code, s.text)
	}
	return s.text
}

func deb(version string) string {
	return "/media/" + version + "/azure-vnet-cni_" + strings.TrimPrefix(version, "v") + "_" + arch + ".deb"
}

// newPackaged is a node of a distribution's packages, with two versions of ours and the reference plugins.
func newPackaged(t *testing.T, distribution string) *machine {
	m := newMachine(t, distribution, fabric.Default(1, 4))
	for _, v := range []string{older, newer} {
		m.release(v, filepath.Dir(deb(v)))
	}
	m.write("/tmp/x", "")
	if s := m.run(nil, "/bin/sh", "-c", "mkdir -p /opt/cni/bin && tar -xzf /media/"+older+"/cni-plugins-*.tgz -C /opt/cni/bin"); s.code != 0 {
		t.Fatal(s.text)
	}
	return m
}

func TestDebianPackage(t *testing.T) {
	onEach(t, func(t *testing.T, userland string) {
		m := newPackaged(t, userland)
		files, network := m.files(), m.network()
		m.dpkg("-i", deb(older))
		m.wantVersion(older)
		if !m.there("/usr/lib/systemd/system/azure-vnet-repair.service") || !m.there(wanted) ||
			!m.there("/usr/lib/systemd/system/azure-vnet-metrics.timer") || !m.there(timed) {
			t.Error("a unit is not there, or not enabled")
		}
		if s := m.run(nil, "/bin/sh", "-c",
			"cmp /usr/share/bash-completion/completions/azure-vnet /usr/share/bash-completion/completions/azure-vnet-ipam"); s.code != 0 {
			t.Error(s.text)
		}
		first := m.add()
		m.reachable(first)
		m.refuses(1, "installed as a Debian package", "--from", "/media/"+newer)

		mine := strings.Replace(m.read(conflist), `"transparent"`, `"tunnel"`, 1)
		m.must(first.Del(m.ctx))
		if s := m.run(nil, bin+"azure-vnet", "cleanup", "--yes"); s.code != 0 {
			t.Fatal(s.text)
		}
		m.write(conflist, mine)
		second := m.add()
		m.dpkg("-i", deb(newer))
		m.wantVersion(newer)
		m.must(second.Check(m.ctx))
		m.reachable(second)
		if m.read(conflist) != mine {
			t.Error("the upgrade changes the operator's configuration")
		}
		if out := m.dpkg("--audit"); out != "" {
			t.Error(out)
		}

		m.dpkg("-r", "azure-vnet-cni")
		if m.there(bin+"azure-vnet") || !m.there(conflist) {
			t.Error("removing leaves the plugin, or takes the configuration")
		}
		m.dpkg("-P", "azure-vnet-cni")
		m.untouched(files, network)
	})
}

// From the script to the package, without a word to the pods.
func TestDebianPackageAfterTheScript(t *testing.T) {
	onEach(t, func(t *testing.T, userland string) {
		m := newPackaged(t, userland)
		files, network := m.files(), m.network()
		m.installs("installed", "--from", "/media/"+older)
		pod := m.add()
		m.dpkg("-i", deb(newer))
		m.wantVersion(newer)
		m.reachable(pod)
		if m.there("/var/lib/azure-vnet-cni") {
			t.Error("the script still thinks that the plugins are its own")
		}
		m.dpkg("-P", "azure-vnet-cni")
		delete(files, "/etc/cni") // the package made it, and takes it away; the script had made it before
		m.untouched(files, network)
	})
}

// On a node that has a configuration already, as the classic plugin's nodes have.
func TestDebianPackageOverAConfiguration(t *testing.T) {
	onEach(t, func(t *testing.T, userland string) {
		m := newPackaged(t, userland)
		const mine = `{"cniVersion":"1.0.0","name":"azure","plugins":[{"type":"azure-vnet","mode":"tunnel","ipam":{"type":"azure-vnet-ipam"}}]}`
		m.write(conflist, mine)
		m.dpkg("--force-confold", "-i", deb(older))
		m.reachable(m.add())
		if m.read(conflist) != mine || !m.there(conflist+".dpkg-dist") {
			t.Error("the operator's configuration does not stay, or the package's is not beside it")
		}
	})
}
