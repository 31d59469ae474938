//go:build linux

package install

import (
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

const (
	conflist = "/etc/cni/net.d/10-azure.conflist"
	bin      = "/opt/cni/bin/"
)

// otherConflist is a configuration of a version that has another one.
func otherConflist(m *machine) string {
	m.Helper()
	return strings.Replace(m.shipped("10-azure.conflist"), `"mode": "transparent",`, `"mode": "transparent", "logLevel": "debug",`, 1)
}

func TestTheConfigurationThatNobodyChangedFollowsTheVersion(t *testing.T) {
	m := newMachine(t, "busybox", fabric.Default(1, 1))
	other := otherConflist(m)
	m.release(older, "/media/old")
	m.repack(newer, "/media/new", map[string]string{"10-azure.conflist": other})
	m.installs("installed", "--from", "/media/old")
	shipped := m.read(conflist)
	m.installs("installed", "--from", "/media/new")
	if m.read(conflist) != other {
		t.Error("the configuration is not the new version's")
	}
	m.installs("went back", "--rollback")
	if m.read(conflist) != shipped || m.there(conflist+".new") {
		t.Error("the configuration is not the old version's")
	}
}

func TestTheOperatorsConfigurationStays(t *testing.T) {
	m := newMachine(t, "busybox", fabric.Default(1, 1))
	other := otherConflist(m)
	m.release(older, "/media/old")
	m.repack(newer, "/media/new", map[string]string{"10-azure.conflist": other})
	m.installs("installed", "--from", "/media/old")
	mine := strings.Replace(m.read(conflist), `"transparent"`, `"tunnel"`, 1)
	m.write(conflist, mine)
	m.installs("is yours and stays", "--from", "/media/new")
	if m.read(conflist) != mine || m.read(conflist+".new") != other {
		t.Error("the operator's configuration does not stay, or the new one is not beside it")
	}
	m.installs("is installed already", "--from", "/media/new")
	m.installs("went back", "--rollback")
	if m.read(conflist) != mine {
		t.Error("going back changes the operator's configuration")
	}
	m.installs(conflist+" is yours and stays", "--uninstall")
	if m.read(conflist) != mine || m.there(conflist+".new") || m.there(bin+"azure-vnet") {
		t.Error("removing takes too much or too little")
	}
}

// A configuration of another name is one, too: with ours beside it, the runtime would use whichever comes first.
func TestAConfigurationOfAnotherNameStaysTheOnlyOne(t *testing.T) {
	m := newMachine(t, "busybox", fabric.Default(1, 1))
	m.release(older, "/media/old")
	m.write("/etc/cni/net.d/20-mine.conf", `{"cniVersion":"1.0.0","name":"azure","type":"azure-vnet","ipam":{"type":"azure-vnet-ipam"}}`)
	m.write("/etc/cni/net.d/05-cilium.conflist", `{"cniVersion":"1.0.0","name":"cilium","plugins":[{"type":"cilium-cni"}]}`)
	files, network := m.files(), m.network()
	m.installs("20-mine.conf is yours and stays", "--from", "/media/old")
	if m.there(conflist) || !m.there(conflist+".new") {
		t.Error("there are two configurations")
	}
	m.installs("05-cilium.conflist is the configuration that the runtime takes", "--from", "/media/old")
	m.installs("removed", "--uninstall")
	m.untouched(files, network)
}

// What was there before is kept, comes back with --rollback, and with --uninstall.
func TestForeignPluginsComeBack(t *testing.T) {
	m := newMachine(t, distributions[0], fabric.Default(1, 2))
	m.release(older, "/media/old")
	m.release(newer, "/media/new")
	for _, p := range []string{"azure-vnet", "azure-vnet-ipam", "loopback"} {
		m.write(bin+p, "#!/bin/sh\necho somebody else\n")
	}
	m.write("/etc/cni/net.d/.keep", "")
	files, network := m.files(), m.network()
	m.installs("--rollback goes back to before", "--from", "/media/old")
	m.wantVersion(older)
	pod := m.add()
	m.refuses(1, "1 pods are connected", "--rollback")
	m.must(pod.Del(m.ctx))
	m.installs("went back from "+older+" to before", "--rollback")
	if !strings.Contains(m.read(bin+"azure-vnet"), "somebody else") || m.there(conflist) {
		t.Error("what was there before is not back")
	}
	m.installs("went back from before to "+older, "--rollback")
	m.wantVersion(older)
	m.installs("installed "+newer, "--from", "/media/new")
	m.installs("removed "+newer, "--uninstall")
	m.untouched(files, network)
}

// Who replaces a plugin by hand gets it back as it was, and the version that is asked for is there again.
func TestAChangedPluginIsInstalledAgain(t *testing.T) {
	m := newMachine(t, "busybox", fabric.Default(1, 1))
	m.release(older, "/media/old")
	m.installs("installed", "--from", "/media/old")
	m.write(bin+"azure-vnet-ipam", "garbage")
	m.installs("installed "+older, "--from", "/media/old")
	m.wantVersion(older)
	m.refuses(1, "no version before", "--rollback") // least of all the garbage
}

func TestRemovalIsRefusedWhileItWouldHarm(t *testing.T) {
	m := newMachine(t, distributions[0], fabric.Default(1, 2))
	m.release(older, "/media/old")
	m.installs("installed", "--from", "/media/old")
	// Another network plugin has an address of ours.
	conf := `{"cniVersion":"1.0.0","name":"theirs","type":"ptp","ipam":{"type":"azure-vnet-ipam"}}`
	m.write("/tmp/conf", conf)
	theirs, err := m.node.VM.NewPod("theirs")
	m.must(err)
	add := m.run([]string{"CNI_COMMAND=ADD", "CNI_CONTAINERID=theirs", "CNI_NETNS=" + theirs.Path(), "CNI_IFNAME=eth0",
		"CNI_PATH=/opt/cni/bin"}, "/bin/sh", "-c", bin+"azure-vnet-ipam < /tmp/conf")
	if add.code != 0 {
		t.Fatal(add.text)
	}
	files, network := m.files(), m.network()
	m.refuses(1, "serves another network plugin", "--uninstall")
	delete(files, "/run/azure-vnet.lock")
	m.untouched(files, network)
}

// A failure half way through is repaired by the same command; the runtime meets whole files all the time.
func TestAnInterruptedInstallationGoesOn(t *testing.T) {
	m := newMachine(t, distributions[0], fabric.Default(1, 1))
	m.release(older, "/media/old")
	m.repack(newer, "/media/new", map[string]string{"10-azure.conflist": otherConflist(m)})
	m.installs("installed", "--from", "/media/old")
	shipped := m.read(conflist)
	// cp fails at the second plugin.
	m.write("/tmp/fake/cp", "#!/bin/sh\ncase $2 in */.azure-vnet-ipam.installing) echo garbage >\"$2\"; exit 1;; esac\nPATH=/usr/bin:/bin "+
		"exec cp \"$@\"\n")
	s := m.run([]string{"PATH=/tmp/fake:/usr/bin:/bin"}, "/bin/sh", "/root/install-cni-plugin.sh", "--from", "/media/new")
	if s.code != 1 || !strings.Contains(s.text, "cannot write /opt/cni/bin/azure-vnet-ipam") {
		t.Fatalf("exit %d: %s", s.code, s.text)
	}
	if s = m.run(nil, bin+"azure-vnet-ipam", "--version"); !strings.Contains(s.text, older) {
		t.Errorf("the plugin that could not be replaced is %s", s.text)
	}
	if m.read(conflist) != shipped {
		t.Error("the configuration is newer than the plugins")
	}
	m.installs("went back from "+newer+" to "+older, "--rollback")
	m.wantVersion(older)
	m.installs("installed "+newer, "--from", "/media/new")
	m.wantVersion(newer)
	m.installs("went back from "+newer+" to "+older, "--rollback")
	m.wantVersion(older)
}

// The new plugin is asked what the kernel has before it is installed.
func TestAKernelThatLacksSomethingIsNamed(t *testing.T) {
	m := newMachine(t, "busybox", fabric.Default(1, 1))
	m.repack(older, "/media/old", map[string]string{"azure-vnet": "#!/bin/sh\n[ \"$1\" = --version ] && echo v2.0.0 || printf 'ok       " +
		"master  fine\\nfailure  kernel         network azure (bridge): no nftables\\n                        remedy: another kernel\\n'\n"})
	m.repack(newer, "/media/new", map[string]string{"azure-vnet": "#!/bin/sh\nexit 1\n"})
	files, network := m.files(), m.network()
	m.refuses(3, "no nftables", "--from", "/media/old")
	m.refuses(3, "does not run on this machine", "--from", "/media/new")
	m.untouched(files, network)
}

// One installer at a time, whoever started it.
func TestTwoInstallersDoNotMeet(t *testing.T) {
	m := newMachine(t, distributions[0], fabric.Default(1, 1))
	m.release(older, "/media/old")
	m.installs("installed", "--from", "/media/old")
	s := m.run(nil, "/usr/bin/flock", "/var/lib/azure-vnet-cni/lock", "/bin/sh", "/root/install-cni-plugin.sh", "--from", "/media/old")
	if s.code != 1 || !strings.Contains(s.text, "another install-cni-plugin.sh is at work") {
		t.Errorf("exit %d: %s", s.code, s.text)
	}
}
