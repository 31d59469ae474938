//go:build linux

package install

import (
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// looked is what the installer says of the node before it begins with anything.
func looked(t *testing.T, s said, begins string) string {
	t.Helper()
	before, _, found := strings.Cut(s.text, begins)
	if s.code != 0 || !found {
		t.Fatalf("exit %d, or without %q:\n%s", s.code, begins, s.text)
	}
	return before
}

// takesAll gives the host the addresses that are for pods, as cloud-init does.
func (m *machine) takesAll() {
	m.Helper()
	for _, a := range m.node.VM.Config.NICs[0].Pods {
		if out, err := m.node.VM.Ns.Command(m.ctx, "ip", "address", "add", a.String()+"/16", "dev", "eth0").CombinedOutput(); err != nil {
			m.Fatalf("%v: %s", err, out)
		}
	}
}

// Before the installer changes something it says what is wrong on the node, with the remedy, and a dry run says the same. A node on which
// nothing is wrong is no news, nor is that the plugins are not there yet.
func TestAnInstallationBeginsWithALook(t *testing.T) {
	onEach(t, func(t *testing.T, userland string) {
		m := newMachine(t, userland, fabric.Default(1, 2))
		m.release(older, "/media/old")
		const head = "doctor finds on this node, before anything is changed:"
		if s := looked(t, m.installer("--from", "/media/old", "--dry-run"), "would install "+older); strings.Contains(s, head) {
			t.Errorf("of a node that is well a dry run says:\n%s", s)
		}
		m.takesAll()
		files, network := m.files(), m.network()
		dry := looked(t, m.installer("--from", "/media/old", "--dry-run"), "would install "+older)
		m.untouched(files, network)
		for _, want := range []string{head, "failure  host-addresses ",
			"remedy: /opt/cni/bin/azure-vnet host release --yes --config /etc/cni/net.d/10-azure.conflist"} {
			if !strings.Contains(dry, want) {
				t.Errorf("the dry run does not say %q:\n%s", want, dry)
			}
		}
		if strings.Contains(dry, "  plugins ") {
			t.Errorf("what the installation is about is no finding:\n%s", dry)
		}
		if wet := looked(t, m.installer("--from", "/media/old"), "installing /opt/cni/bin/"); !strings.Contains(wet,
			dry) { // which warns where it has no lock, too
			t.Errorf("the installation says something else than the dry run:\n%s\n%s", wet, dry)
		}
		if s := m.run(nil, "/opt/cni/bin/azure-vnet", "host", "release", "--yes"); s.code != 0 {
			t.Fatal(s.text)
		}
		if s := m.installer("--from", "/media/old"); s.code != 0 || strings.Contains(s.text, head) {
			t.Errorf("of a node that is well again the installer says (exit %d):\n%s", s.code, s.text)
		}
		// What doctor says comes as it says it: the echo of some shells takes backslashes for more.
		m.write("/etc/cni/net.d/05-mine.conflist", `{"cniVersion":"1.0.0","name":"azure","plugins":[{"type":"azure-vnet","mode":"`+"\n"+`"}]}`)
		if s := m.installer("--from", "/media/old", "--dry-run"); !strings.Contains(s.text,
			`05-mine.conflist: no JSON: invalid character '\n' in string literal`) {
			t.Errorf("of a configuration with a line break in a string a dry run says (exit %d):\n%s", s.code, s.text)
		}
	}, "busybox")
}

// The package says the same, and installs all the same: also where nobody may look, as in a container that an image is built in.
func TestThePackageBeginsWithALook(t *testing.T) {
	onEach(t, func(t *testing.T, userland string) {
		m := newPackaged(t, userland)
		const head = "azure-vnet-cni: doctor finds on this node, before anything is changed:"
		if s := m.dpkg("-i", deb(older)); strings.Contains(s, "doctor") {
			t.Errorf("of a node that is well the package says:\n%s", s)
		}
		m.dpkg("-P", "azure-vnet-cni")
		m.takesAll()
		blind := []string{"--bounding-set=-net_admin,-sys_admin", "--inh-caps=-net_admin,-sys_admin", "/usr/bin/dpkg", "-i", deb(older)}
		if s := m.run([]string{"DEBIAN_FRONTEND=noninteractive"}, "/usr/bin/setpriv", blind...); s.code != 0 ||
			strings.Contains(s.text, "doctor") {
			t.Errorf("without the rights to look (exit %d) the package says:\n%s", s.code, s.text)
		}
		m.dpkg("-P", "azure-vnet-cni")
		said := looked(t, said{text: m.dpkg("-i", deb(older))}, "wrote /etc/")
		for _, want := range []string{head, "failure  host-addresses ", "remedy: /opt/cni/bin/azure-vnet host release --yes\n"} {
			if !strings.Contains(said, want) {
				t.Errorf("the package does not say %q:\n%s", want, said)
			}
		}
		if s := m.run(nil, bin+"azure-vnet", "host", "release", "--yes"); s.code != 0 {
			t.Fatal(s.text)
		}
		if s := m.dpkg("-i", deb(newer)); strings.Contains(s, "doctor") {
			t.Errorf("of a node that is well again the package says:\n%s", s)
		}
	})
}
