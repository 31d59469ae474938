//go:build linux

package install

import (
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// prepared are the files that a node with everything gets in bridge mode.
var prepared = []string{
	"/etc/sysctl.d/60-azure-vnet.conf", "/etc/modules-load.d/azure-vnet.conf", "/etc/cloud/cloud.cfg.d/15-azure-vnet.cfg",
	"/etc/systemd/network/05-azure-vnet.network", "/etc/systemd/networkd.conf.d/azure-vnet.conf",
	"/etc/systemd/network/10-netplan-eth0.network.d/azure-vnet.conf", "/etc/NetworkManager/conf.d/azure-vnet.conf",
}

// managed makes a node one of cloud-init, netplan, systemd-networkd and NetworkManager, which note what they are asked.
func (m *machine) managed() {
	m.Helper()
	for name, text := range map[string]string{
		"/etc/cloud/cloud.cfg": "x\n", "/etc/netplan/50-cloud-init.yaml": "x\n", "/etc/NetworkManager/NetworkManager.conf": "x\n",
		"/run/systemd/netif/state": "x\n", "/run/NetworkManager/x": "x\n",
		"/run/systemd/network/10-netplan-eth0.network": "[Match]\nMACAddress=00:0d:3a:00:00:01\n[Network]\nDHCP=ipv4\n",
		"/tmp/asked": "",
	} {
		m.write(name, text)
	}
	for _, program := range []string{"networkctl", "nmcli"} {
		m.write("/usr/bin/"+program, "#!/bin/sh\necho \"${0##*/} $*\" >>/tmp/asked\n")
	}
}

func (m *machine) wantPrepared(when string, want ...string) {
	m.Helper()
	for _, file := range prepared {
		wanted := false
		for _, w := range want {
			wanted = wanted || w == file
		}
		if m.there(file) != wanted {
			m.Errorf("%s %s is there: %t", when, file, !wanted)
		}
	}
}

// The files that a node needs come with the installation, each announced, and the programs that read them are told; a
// dry run says the same; all of it goes with the plugins.
func TestTheNodeIsPrepared(t *testing.T) {
	m := newMachine(t, distributions[0], fabric.Default(1, 4))
	m.managed()
	m.release(older, "/media/old")
	m.release(newer, "/media/new")
	files, network := m.files(), m.network()
	dry := m.installer("--from", "/media/old", "--mode", "bridge", "--dry-run")
	for _, file := range prepared {
		if dry.code != 0 || !strings.Contains(dry.text, "would write "+file+": ") {
			t.Errorf("the dry run (exit %d) does not announce %s:\n%s", dry.code, file, dry.text)
		}
	}
	m.untouched(files, network)

	m.installs("installed", "--from", "/media/old", "--mode", "bridge", "--no-node-setup")
	m.wantPrepared("without the node's setup")
	s := m.installer("--from", "/media/old", "--mode", "bridge")
	for _, file := range prepared {
		if s.code != 0 || !strings.Contains(s.text, "wrote "+file+": ") {
			t.Errorf("the installer (exit %d) does not announce %s:\n%s", s.code, file, s.text)
		}
	}
	m.wantPrepared("in bridge mode", prepared...)
	if asked := m.read("/tmp/asked"); asked != "networkctl reload\nnmcli general reload conf\n" {
		t.Errorf("they were asked %q", asked)
	}
	if s = m.installer("--from", "/media/old"); s.text != "install-cni-plugin.sh: "+older+" is installed already\n" {
		t.Errorf("the second time it says %s", s.text)
	}
	m.installs("installed", "--from", "/media/new")
	m.wantPrepared("after an upgrade", prepared...)
	m.installs("went back", "--rollback")
	m.wantPrepared("after the way back", prepared...)

	m.installs("removed /etc/modules-load.d/azure-vnet.conf", "--from", "/media/old", "--mode", "transparent")
	m.wantPrepared("in transparent mode", prepared[0], prepared[2])
	m.installs("would remove /etc/sysctl.d/60-azure-vnet.conf", "--uninstall", "--dry-run")
	m.wantPrepared("after a dry run", prepared[0], prepared[2])
	m.installs("removed /etc/sysctl.d/60-azure-vnet.conf", "--uninstall")
	m.write("/tmp/asked", "")
	m.untouched(files, network)
}

// Who goes back to the plugins that were there before has their node, too.
func TestThePreparationGoesWithTheWayBack(t *testing.T) {
	m := newMachine(t, "busybox", fabric.Default(1, 1))
	m.release(older, "/media/old")
	m.write("/etc/cloud/cloud.cfg", "x\n")
	for _, p := range []string{"azure-vnet", "azure-vnet-ipam", "loopback", "portmap"} {
		m.write(bin+p, "#!/bin/sh\necho somebody else\n")
	}
	m.installs("installed", "--from", "/media/old")
	m.wantPrepared("after the installation", prepared[0], prepared[2])
	m.installs("went back", "--rollback")
	m.wantPrepared("with the plugins that were there before")
	m.installs("went back from before", "--rollback")
	m.wantPrepared("with ours again", prepared[0], prepared[2])
}

// What a preparation leaves that was killed does not hinder the next one, and goes with it.
func TestAnInterruptedPreparationGoesOn(t *testing.T) {
	m := newMachine(t, distributions[0], fabric.Default(1, 1))
	m.managed()
	m.release(older, "/media/old")
	files, network := m.files(), m.network()
	m.installs("installed", "--from", "/media/old", "--mode", "bridge", "--no-node-setup")
	installed := m.files()
	// What is left by one that was killed between two system calls.
	m.write("/etc/systemd/.azure-vnet-prepare/azure-vnet.conf", "ha")
	m.write("/etc/sysctl.d/.azure-vnet-prepare", "ha")
	m.write("/etc/.azure-vnet-prepare/azure-vnet.conf", "ha")
	m.installs("wrote", "--from", "/media/old")
	m.wantPrepared("by the one who goes on", prepared...)
	if s := m.run(nil, bin+"azure-vnet", "host", "restore"); s.code != 0 {
		t.Error(s.text)
	}
	for name := range m.files() {
		if _, there := installed[name]; !there && name != "/etc/sysctl.d" && !strings.HasPrefix(name, "/tmp") {
			t.Errorf("%s stays", name)
		}
	}
	m.installs("removed", "--uninstall")
	m.write("/tmp/asked", "")
	m.must(os.Remove(m.path("/etc/sysctl.d")))
	m.untouched(files, network)
}

// The package does the same, unless it is told not to.
func TestDebianPackagePreparesTheNode(t *testing.T) {
	onEach(t, func(t *testing.T, userland string) {
		m := newPackaged(t, userland)
		m.managed()
		files, network := m.files(), m.network()
		out := m.dpkg("-i", deb(older))
		if !strings.Contains(out, "wrote "+prepared[2]+": ") {
			t.Error(out)
		}
		m.wantPrepared("by the package", prepared[0], prepared[2])
		m.dpkg("-i", deb(newer))
		m.wantPrepared("after an upgrade", prepared[0], prepared[2])
		m.dpkg("-P", "azure-vnet-cni")
		m.untouched(files, network)

		m.write("/etc/default/azure-vnet-cni", "NODE_SETUP=no\n")
		m.dpkg("-i", deb(older))
		m.wantPrepared("by a package that is told not to")
	})
}

// A runtime that has other folders than /opt/cni/bin and /etc/cni/net.d is served, too; they are remembered.
func TestOtherFolders(t *testing.T) {
	const (
		k3s  = "/var/lib/rancher/k3s"
		bins = k3s + "/data/cni"
		conf = k3s + "/agent/etc/cni/net.d"
	)
	m := newMachine(t, "busybox", fabric.Default(1, 4))
	m.release(older, "/media/old")
	m.release(newer, "/media/new")
	m.write("/etc/systemd/system/x", "")
	files, network := m.files(), m.network()
	m.refuses(2, "--bin-dir needs a folder by its absolute path", "--bin-dir", "opt")
	m.refuses(2, "--conf-dir needs a folder by its absolute path", "--conf-dir", "/etc/net.d/")
	m.installs("installed", "--from", "/media/old", "--bin-dir", bins, "--conf-dir", conf)
	if s := m.run(nil, bins+"/azure-vnet", "--version"); !strings.Contains(s.text, older) || !m.there(conf+"/10-azure.conflist") ||
		m.there("/opt/cni") || m.there("/etc/cni") {
		t.Errorf("it is not there, or elsewhere, too: %s", s.text)
	}
	if unit := m.read(unit); !strings.Contains(unit, "\nExecStart="+bins+"/azure-vnet repair --watch\n") || strings.Contains(unit,
		"/opt/cni/bin") {
		t.Errorf("the unit runs another program:\n%s", unit)
	}
	m.refuses(1, "the plugins are installed in "+bins, "--from", "/media/new", "--bin-dir", "/opt/cni/bin")
	m.installs("installed", "--from", "/media/new")
	if s := m.run(nil, bins+"/azure-vnet", "--version"); !strings.Contains(s.text, newer) {
		t.Error(s.text)
	}
	m.installs("went back", "--rollback")
	m.installs("removed", "--uninstall")
	m.untouched(files, network)
}
