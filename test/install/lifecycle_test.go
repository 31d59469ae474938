//go:build linux

package install

import (
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"golang.org/x/sys/unix"
)

// The whole life of an installation without internet, on two userlands that have little in common.
func TestInstallUpgradeRollBackUninstall(t *testing.T) {
	onEach(t, func(t *testing.T, userland string) {
		m := newMachine(t, userland, fabric.Default(1, 8))
		m.release(older, "/media/old")
		m.release(newer, "/media/new")
		files, network := m.files(), m.network()

		m.installs("would install "+older, "--from", "/media/old", "--dry-run")
		m.untouched(files, network)

		m.installs("installed "+older, "--from", "/media/old")
		m.wantVersion(older)
		first := m.add()
		m.reachable(first)
		before := m.files()
		m.installs(older+" is installed already", "--from", "/media/old")
		m.untouched(before, m.network())

		m.installs("--rollback goes back to "+older, "--from", "/media/new/azure-vnet-cni-linux-"+arch+"-"+newer+".tgz")
		m.wantVersion(newer)
		m.must(first.Check(m.ctx))
		second := m.add()
		m.reachable(first, second)

		m.installs("went back from "+newer+" to "+older, "--rollback")
		m.wantVersion(older)
		m.must(second.Check(m.ctx))
		m.must(first.Del(m.ctx))
		m.reachable(second, m.add())
		m.installs("went back from "+older+" to "+newer, "--rollback")
		m.wantVersion(newer)

		m.installs("removed "+newer, "--uninstall")
		m.untouched(files, network)
		m.refuses(1, "nothing was installed", "--uninstall")
		m.untouched(files, network)
	}, "busybox")
}

func TestWrongUsageAndWrongMachines(t *testing.T) {
	m := newMachine(t, distributions[0], fabric.Default(1, 1)) // busybox's shell would not ask the PATH for id and uname
	m.release(older, "/media/old")
	m.write("/media/empty/x", "")
	files, network := m.files(), m.network()
	archive := "/media/old/azure-vnet-cni-linux-" + arch + "-" + older + ".tgz"
	for _, c := range []struct {
		code int
		want string
		args string
	}{
		{2, "unknown option --quick", "--quick"},
		{2, "--from needs", "--from"},
		{2, "too many arguments", "v1 v2 v3"},
		{2, "takes no version", "--rollback v2.0.0"},
		{2, "takes no version", "--uninstall --watch 5"},
		{2, "--watch needs a number", "--watch"},
		{2, "--watch needs a number", "--watch 0"},
		{2, "--watch changes", "--watch 5 --dry-run"},
		{1, "nothing was installed by", "--rollback"},
		{1, "is not there", "--from /nowhere"},
		{1, "/media/empty has no VERSION", "--from /media/empty"},
		{1, "/media/old has no azure-vnet-cni-linux-" + arch + "-v9.tgz.sha256", "--from /media/old v9"},
		{1, "is version " + older + ", not v9", "--from " + archive + " v9"},
		{1, "is no archive for this machine", "--from /media/old/VERSION"},
		{1, "'../x' is no version", "--from /media/old ../x"},
		{1, "has no cni-plugins-linux-" + arch + "-v0.0.1.tgz.sha256", "--from /media/old " + older + " v0.0.1"},
		{1, "from https://github.com/containernetworking/plugins/releases/tag/v0.0.1", "--from /media/old " + older + " v0.0.1"},
	} {
		m.refuses(c.code, c.want, strings.Fields(c.args)...)
	}
	m.installs("Usage:", "--help")
	// What it finds out about the machine, said by programs of the machine.
	for _, c := range []struct {
		code            int
		want, program   string
		answer, instead string
	}{
		{1, "needs root", "id", "1000", "-u"},
		{3, "is for Linux", "uname", "FreeBSD", "-s"},
		{3, "no plugins for riscv64", "uname", "riscv64", "-m"},
		{3, "kernel 5.3.18-lp152 is too old", "uname", "5.3.18-lp152", "-r"},
		{3, "kernel 4.19.0 is too old", "uname", "4.19.0", "-r"},
	} {
		m.write("/tmp/fake/"+c.program, "#!/bin/sh\nif [ \"$1\" = "+c.instead+" ]; then echo "+c.answer+
			"; else PATH=/usr/bin:/bin exec "+c.program+" \"$@\"; fi\n")
		s := m.run([]string{"PATH=/tmp/fake:/usr/bin:/bin"}, "/bin/sh", "/root/install-cni-plugin.sh", "--from", "/media/old")
		if s.code != c.code || !strings.Contains(s.text, c.want) {
			m.Errorf("exit %d (not %d), or without %q:\n%s", s.code, c.code, c.want, s.text)
		}
		m.run(nil, "/bin/rm", "-r", "/tmp/fake")
	}
	m.untouched(files, network)
}

// Where no program may be run from /tmp, a dry run says what an installation does.
func TestADryRunWhereProgramsMayNotBeRunFromTmp(t *testing.T) {
	m := newMachine(t, distributions[0], fabric.Default(1, 1))
	m.release(older, "/media/old")
	m.must(unix.Mount("tmpfs", m.path("/tmp"), "tmpfs", unix.MS_NOEXEC, ""))
	t.Cleanup(func() { _ = unix.Unmount(m.path("/tmp"), unix.MNT_DETACH) })
	files, network := m.files(), m.network()
	m.installs("would install "+older, "--dry-run", "--from", "/media/old")
	m.untouched(files, network)
	m.installs("installed "+older, "--from", "/media/old")
}
