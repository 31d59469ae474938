//go:build linux

package setup

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sandbox is a machine as far as apt sees one: package lists, archives and dpkg's files in a folder, a repository with
// one package, and a dpkg that only notes how it was called.
type sandbox struct {
	*testing.T
	dir string
}

func (s sandbox) write(name, text string, mode os.FileMode) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	s.must(os.MkdirAll(filepath.Dir(path), 0o755))
	s.must(os.WriteFile(path, []byte(text), mode))
	return path
}

func (s sandbox) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func newSandbox(t *testing.T) sandbox {
	t.Helper()
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs a Debian or Ubuntu: ", err)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("setup.sh installs packages as root only")
	}
	s := sandbox{t, t.TempDir()}
	for _, dir := range []string{"lists/partial", "archives/partial", "dpkg", "etc/apt.conf.d", "etc/preferences.d", "log", "repo"} {
		s.must(os.MkdirAll(filepath.Join(s.dir, dir), 0o755))
	}
	s.write("dpkg/status", "", 0o644)
	s.write("package/DEBIAN/control",
		"Package: dpkg\nVersion: 9\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: what the test installs\n", 0o644)
	deb := filepath.Join(s.dir, "repo/dpkg_9_all.deb")
	if out, err := exec.Command("dpkg-deb", "--build", filepath.Join(s.dir, "package"), deb).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(deb)
	s.must(err)
	sum, err := exec.Command("sha256sum", deb).Output()
	s.must(err)
	s.write("repo/Packages", fmt.Sprintf(
		"Package: dpkg\nVersion: 9\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nFilename: ./dpkg_9_all.deb\nSize: %d\nSHA256: "+
			"%s\nDescription: what the test installs\n", info.Size(), sum[:64]), 0o644)
	s.write("etc/sources.list", "deb [trusted=yes] file:"+s.dir+"/repo ./\n", 0o644)
	s.write("bin/dpkg", "#!/bin/sh\necho \"$@\" >> "+s.dir+"/dpkg-calls\n", 0o755)
	s.write("apt.conf", strings.ReplaceAll(`
APT::Architecture "amd64"; APT::Architectures { "amd64"; }; APT::Sandbox::User "root";
#clear DPkg::Pre-Install-Pkgs; #clear DPkg::Post-Invoke; #clear APT::Update::Post-Invoke-Success;
Dir::State::Lists "DIR/lists"; Dir::State::status "DIR/dpkg/status"; Dir::State::extended_states "DIR/extended_states";
Dir::Cache::archives "DIR/archives"; Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "DIR/etc/sources.list"; Dir::Etc::sourceparts "-"; Dir::Etc::parts "DIR/etc/apt.conf.d";
Dir::Etc::preferencesparts "DIR/etc/preferences.d"; Dir::Etc::main "-";
Dir::Log "DIR/log"; Dir::Bin::dpkg "DIR/bin/dpkg";
`, "DIR", s.dir), 0o644)
	return s
}

// setup starts setup.sh where everything that it needs is there but dpkg-deb.
func (s sandbox) setup() *exec.Cmd {
	s.Helper()
	tools := filepath.Join(s.dir, "tools")
	s.must(os.MkdirAll(tools, 0o755))
	for _, tool := range []string{"go", "sh", "apt-get", "sed", "head", "date", "mktemp", "cat", "rm", "id", "sleep", "dirname", "grep"} {
		path, err := exec.LookPath(tool)
		s.must(err)
		s.must(os.Symlink(path, filepath.Join(tools, tool)))
	}
	script, err := os.ReadFile("../../scripts/setup.sh")
	s.must(err)
	// It looks where sudo does not, too; here that would find the machine's own dpkg-deb.
	text := strings.Replace(string(script), "PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin", "PATH=$PATH", 1)
	cmd := exec.CommandContext(s.Context(), "/bin/sh", s.write("setup.sh", text, 0o755), "release")
	cmd.Env = []string{"PATH=" + tools, "APT_CONFIG=" + filepath.Join(s.dir, "apt.conf"), "HOME=" + s.dir, "SSL_CERT_FILE=/none",
		"GOTOOLCHAIN=local", "GOFLAGS=-mod=mod"}
	return cmd
}

// hold takes a lock as apt and dpkg do (fcntl), until the function that it returns is called.
func (s sandbox) hold(name string) (release func()) {
	s.Helper()
	file, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_RDWR, 0o640)
	s.must(err)
	s.must(unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	return func() { s.must(file.Close()) }
}

// On a fresh VM unattended-upgrades holds apt's and dpkg's locks for minutes. setup.sh says once what it waits for, and
// goes on.
func TestSetupWaitsForTheLocksOfApt(t *testing.T) {
	t.Parallel()
	for _, lock := range []string{"", "lists/lock", "archives/lock", "dpkg/lock-frontend", "dpkg/lock"} {
		t.Run("lock "+strings.ReplaceAll(lock, "/", " "), func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t)
			release := func() {}
			if lock != "" {
				release = s.hold(lock)
			}
			cmd := s.setup()
			out, err := cmd.StdoutPipe()
			s.must(err)
			cmd.Stderr = os.Stderr
			s.must(cmd.Start())
			waits := 0
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "setup: waiting for ") {
					if waits++; waits == 1 {
						if !strings.Contains(lines.Text(), filepath.Join(s.dir, lock)) {
							t.Errorf("it says %q", lines.Text())
						}
						// It tries again each second: long enough that it would say so twice.
						time.AfterFunc(2500*time.Millisecond, release)
					}
				}
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			if want := map[bool]int{false: 1, true: 0}[lock == ""]; waits != want {
				t.Errorf("it says %d times that it waits", waits)
			}
			if calls, err := os.ReadFile(filepath.Join(s.dir, "dpkg-calls")); err != nil || !strings.Contains(string(calls), "dpkg_9_all.deb") {
				t.Errorf("the package was not installed: %v\n%s", err, calls)
			}
		})
	}
}

// What is no lock is not waited for.
func TestSetupDoesNotWaitForWhatIsNoLock(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.must(os.Remove(filepath.Join(s.dir, "repo/Packages")))
	out, err := s.setup().CombinedOutput()
	if err == nil || strings.Contains(string(out), "waiting") || !strings.Contains(string(out), "E: ") {
		t.Errorf("%v: %s", err, out)
	}
}

// Debian's kernels come from where the release is, which moves when it is old: the newest of each, not installed, once.
func TestSetupUnpacksTheNewestKernels(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.kernelPackage("old/debian/dists/bullseye", "5.10.0-1")
	s.kernelPackage("old/debian-security/dists/bullseye-security", "5.10.0-2")
	s.kernelPackage("new/debian/dists/bookworm", "6.1.0-10")
	s.kernelPackage("new/debian-security/dists/bookworm-security", "6.1.0-9")
	s.kernelPackage("new/debian/dists/trixie", "6.12.9")
	s.kernelPackage("new/debian-security/dists/trixie-security", "6.12.10")
	run := func() string {
		cmd := s.kernels()
		cmd.Env = append(cmd.Env, "DEBIAN_MIRRORS=file:"+s.dir+"/new file:"+s.dir+"/old")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	first := run()
	for series, newest := range map[string]string{"5.10": "5.10.0-2", "6.1": "6.1.0-10", "6.12": "6.12.10"} {
		images, err := filepath.Glob(filepath.Join(s.dir, "output/kernels", series, "boot/*"))
		s.must(err)
		if want := filepath.Join(s.dir, "output/kernels", series, "boot/vmlinuz-"+newest); len(images) != 1 || images[0] != want {
			t.Errorf("%v instead of %s; %s", images, want, first)
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, "dpkg-calls")); err == nil {
		t.Error("something was installed")
	}
	s.must(os.RemoveAll(filepath.Join(s.dir, "new")))
	if again := run(); again != "" {
		t.Errorf("once more it says %s", again)
	}
}

// A release that is nowhere is named, and what was unpacked before it is not taken for all.
func TestSetupNamesAKernelThatIsNowhere(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.kernelPackage("new/debian/dists/bullseye", "5.10.0-1")
	s.kernelPackage("new/debian-security/dists/bullseye-security", "5.10.0-2")
	for range 2 {
		cmd := s.kernels()
		cmd.Env = append(cmd.Env, "DEBIAN_MIRRORS=file:"+s.dir+"/new file:"+s.dir+"/old")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "setup: no kernel 6.1 of Debian's bookworm at file:") {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// kernelPackage puts a kernel, and the package that depends on it, into a part of a mirror.
func (s sandbox) kernelPackage(dist, version string) {
	s.Helper()
	image := "linux-image-" + version + "-cloud-amd64"
	s.write(dist+"-package/boot/vmlinuz-"+version, "", 0o644)
	s.write(dist+"-package/DEBIAN/control",
		"Package: "+image+"\nVersion: "+version+"\nArchitecture: amd64\nMaintainer: nobody <nobody@example.com>\nDescription: a kernel\n", 0o644)
	mirror, _, _ := strings.Cut(dist, "/dists/")
	name := image + ".deb"
	deb := filepath.Join(s.dir, mirror, name)
	if out, err := exec.Command("dpkg-deb", "--build", filepath.Join(s.dir, dist+"-package"), deb).CombinedOutput(); err != nil {
		s.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(deb)
	s.must(err)
	stanza := "Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: nobody <nobody@example.com>\nFilename: %s\nSize: %d\nSHA256: " +
		"%x\nDepends: %s\nDescription: a kernel\n\n"
	s.write(dist+"/main/binary-amd64/Packages",
		fmt.Sprintf(stanza, image, version, name, len(b), sha256.Sum256(b), "dpkg")+
			fmt.Sprintf(stanza, "linux-image-cloud-amd64", version, "none", 1, sha256.Sum256(nil), image), 0o644)
}

// kernels starts setup.sh where everything that the goal needs seems to be there but the kernels.
func (s sandbox) kernels() *exec.Cmd {
	s.Helper()
	for _, tool := range []string{"qemu-system-x86_64", "kmod", "depmod", "ip", "nft", "iptables", "ebtables-nft", "sysctl", "mount", "ldd"} {
		s.write("fakes/"+tool, "#!/bin/sh\nexit 1\n", 0o755)
	}
	script, err := os.ReadFile("../../scripts/setup.sh")
	s.must(err)
	const keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
	text := strings.NewReplacer("signed-by="+keys, "trusted=yes", keys, "/dev/null", "/etc/ethertypes", "/dev/null").Replace(string(script))
	cmd := exec.CommandContext(s.Context(), "/bin/sh", s.write("scripts/setup.sh", text, 0o755), "kernels")
	cmd.Env = []string{"PATH=" + filepath.Join(s.dir, "fakes") + ":" + os.Getenv("PATH"), "HOME=" +
		s.dir, "SSL_CERT_FILE=/none", "GOTOOLCHAIN=local", "GOFLAGS=-mod=mod"}
	return cmd
}
