//go:build linux

package install

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

const (
	unit    = "/etc/systemd/system/azure-vnet-repair.service"
	timer   = "/etc/systemd/system/azure-vnet-metrics.timer"
	wanted  = "/etc/systemd/system/multi-user.target.wants/azure-vnet-repair.service"
	timed   = "/etc/systemd/system/timers.target.wants/azure-vnet-metrics.timer"
	metered = "/etc/systemd/system/azure-vnet-metrics.service"
)

var ofUnits = regexp.MustCompile(` azure-vnet-[a-z]+\.(service|timer)`)

// newServed is a node with a systemctl that notes what it is asked.
func newServed(t *testing.T) *machine {
	m := newMachine(t, distributions[0], fabric.Default(1, 4))
	m.write("/run/systemd/system/x", "")
	m.write("/etc/systemd/system/x", "")
	m.write("/usr/bin/systemctl", "#!/bin/sh\necho \"$*\" >>/tmp/asked\n")
	m.write("/tmp/asked", "")
	m.release(older, "/media/old")
	m.release(newer, "/media/new")
	return m
}

// asked is what systemd was asked since the last time.
func (m *machine) asked() string {
	m.Helper()
	lines := strings.ReplaceAll(strings.TrimSpace(m.read("/tmp/asked")), "\n", ", ")
	m.write("/tmp/asked", "")
	return ofUnits.ReplaceAllString(lines, "")
}

func (m *machine) wantAsked(when, want string) {
	m.Helper()
	if got := m.asked(); got != want {
		m.Errorf("%s systemd was asked %q, not %q", when, got, want)
	}
}

// The unit comes with the plugins, enabled and started, goes with them, and what an operator makes of it stays.
func TestTheUnitComesAndGoes(t *testing.T) {
	m := newServed(t)
	m.installs("installed", "--from", "/media/old")
	if !m.there(unit) || !m.there(wanted) || !strings.Contains(m.read(unit), "ExecStart="+bin+"azure-vnet repair --watch\n") {
		t.Error("the unit is not there, or not enabled")
	}
	if !m.there(timer) || !m.there(timed) || !m.there(metered) || !strings.Contains(m.read(metered),
		"ExecStart="+bin+"azure-vnet metrics --textfile ") {
		t.Error("the timer of the metrics is not there, or not enabled")
	}
	m.wantAsked("by the installation", "daemon-reload, start, daemon-reload, start")
	m.must(os.Remove(m.path(wanted))) // systemctl disable
	m.installs("installed", "--from", "/media/new")
	m.wantAsked("by the upgrade", "")
	if m.there(wanted) {
		t.Error("what somebody has disabled is enabled again")
	}
	m.installs("removed", "--uninstall")
	m.wantAsked("by the removal", "daemon-reload, stop, daemon-reload, daemon-reload, stop, daemon-reload, daemon-reload")
	if m.there(unit) || m.there(wanted) || m.there(timer) || m.there(timed) || m.there(metered) {
		t.Error("a unit stays")
	}
	m.must(os.Symlink("/dev/null", m.path(unit))) // systemctl mask
	m.installs("installed", "--from", "/media/old")
	m.wantAsked("where it is masked", "daemon-reload, start") // the timer
	if target, err := os.Readlink(m.path(unit)); err != nil || target != "/dev/null" {
		t.Error("what somebody has masked is replaced")
	}
}

// A version whose unit differs replaces one that nobody has changed; one that has none takes it away.
func TestTheUnitOfAnotherVersion(t *testing.T) {
	m := newServed(t)
	m.repack(newer, "/media/other", map[string]string{"azure-vnet-repair.service": "[Service]\nExecStart=/bin/true\n"})
	m.installs("installed", "--from", "/media/old")
	m.asked()
	m.installs("installed", "--from", "/media/other")
	m.wantAsked("by the upgrade", "daemon-reload, try-restart")
	if !strings.Contains(m.read(unit), "/bin/true") {
		t.Error("the new version's unit is not there")
	}
	m.write(unit, "[Service]\nExecStart=/mine\n")
	m.installs("went back", "--rollback")
	if !strings.Contains(m.read(unit), "/mine") {
		t.Error("the operator's unit is replaced")
	}
}

// bash learns the commands where it has a folder for that, and forgets them with the plugins; somebody's own file
// stays.
func TestCompletionComesAndGoes(t *testing.T) {
	const folder = "/usr/share/bash-completion/completions/"
	m := newServed(t)
	m.write(folder+"azure-vnet-ipam", "mine\n")
	m.installs("installed", "--from", "/media/old")
	if !m.there(folder+"azure-vnet") || !strings.Contains(m.read(folder+"azure-vnet"), "complete -F _azure_vnet azure-vnet azure-vnet-ipam") {
		t.Error("there is no completion")
	}
	m.installs("removed", "--uninstall")
	if m.there(folder+"azure-vnet") || m.read(folder+"azure-vnet-ipam") != "mine\n" {
		t.Error("the completion stays, or somebody's own does not")
	}
}
