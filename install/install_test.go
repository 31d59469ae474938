package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// host is a folder in place of C:\k.
type host struct {
	*testing.T
	layout
	restricted, writers []string
	arpTold, arpSet     bool
	rights              error
	dir                 string
	said                string
	clean               error // what cleanup ends with
	calls               int
}

func newHost(t *testing.T) *host {
	h := &host{T: t, dir: t.TempDir()}
	h.layout = layout{
		Bin: h.at("bin"), Conf: h.at("netconf"), Store: h.at("store"), State: h.dir, Ext: ".exe",
		Cleanup: func(string, string) error { h.calls++; return h.clean }, Say: func(s string) { h.said += s + "\n" },
		Restrict: func(dir string) error { h.restricted = append(h.restricted, dir); return h.rights },
		Writers:  func(string) ([]string, error) { return h.writers, nil },
		RemoteARP: func(set bool) (bool, error) {
			h.arpSet = set && !h.arpTold
			return h.arpTold, nil
		},
	}
	return h
}

func (h *host) at(path string) string { return filepath.Join(h.dir, path) }

func (h *host) write(path, text string) {
	h.Helper()
	h.must(os.MkdirAll(filepath.Dir(h.at(path)), 0o755))
	h.must(os.WriteFile(h.at(path), []byte(text), 0o755))
}

func (h *host) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// release is an unpacked archive.
func (h *host) release(version, configuration string) string {
	h.Helper()
	for _, p := range append(h.plugins(), "azure-vnet-install.exe") {
		h.write(filepath.Join("release", version, p), p+" "+version)
	}
	h.write(filepath.Join("release", version, conflist), configuration)
	return h.at(filepath.Join("release", version))
}

// want requires what files hold; "" means that there is none.
func (h *host) want(files map[string]string) {
	h.Helper()
	for path, want := range files {
		text, err := os.ReadFile(h.at(path))
		if want == "" && err == nil || want != "" && string(text) != want {
			h.Errorf("%s is %q (%v) instead of %q", path, text, err, want)
		}
	}
}

func (h *host) wantVersion(v, configuration string) {
	h.Helper()
	h.want(map[string]string{"bin/azure-vnet.exe": "azure-vnet.exe " + v, "bin/azure-vnet-ipam.exe": "azure-vnet-ipam.exe " + v,
		"netconf/" + conflist: configuration})
}

func (h *host) fails(err error, want string) {
	h.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		h.Errorf("error %v instead of %q", err, want)
	}
}

func TestInstallUpgradeRollBackUninstall(t *testing.T) {
	h := newHost(t)
	h.must(h.install(h.release("v1", "one"), "v1"))
	h.wantVersion("v1", "one")
	h.fails(h.rollback(), "no version before")
	h.must(h.install(h.release("v2", "two"), "v2"))
	h.wantVersion("v2", "two")
	h.must(h.install(h.release("v2", "two"), "v2"))
	h.must(h.rollback())
	h.wantVersion("v1", "one")
	h.must(h.rollback())
	h.wantVersion("v2", "two")
	h.must(h.install(h.release("v2", "two, built anew"), "v2"))
	h.wantVersion("v2", "two, built anew")
	h.must(h.install(h.release("v3", "three"), "v3"))
	if exists(h.version("v1")) {
		t.Error("a version that no command goes back to is kept")
	}
	h.must(h.uninstall())
	h.want(map[string]string{"bin/azure-vnet.exe": "", "bin/azure-vnet-ipam.exe": "", "netconf/" + conflist: "",
		"netconf/" + conflist + ".new": "", "store/state.json": ""})
	if h.calls != 1 {
		t.Errorf("the host was cleaned up %d times", h.calls)
	}
	h.fails(h.uninstall(), "nothing was installed")
}

func TestTheOperatorsConfigurationStays(t *testing.T) {
	h := newHost(t)
	h.must(h.install(h.release("v1", "one"), "v1"))
	h.write("netconf/"+conflist, "mine")
	h.must(h.install(h.release("v2", "two"), "v2"))
	h.want(map[string]string{"netconf/" + conflist: "mine", "netconf/" + conflist + ".new": "two"})
	h.must(h.rollback())
	h.wantVersion("v1", "mine")
	h.must(h.uninstall())
	h.want(map[string]string{"netconf/" + conflist: "mine", "netconf/" + conflist + ".new": "", "bin/azure-vnet.exe": ""})
}

func TestForeignPluginsComeBack(t *testing.T) {
	h := newHost(t)
	h.write("bin/azure-vnet.exe", "classic")
	h.write("netconf/"+conflist, "classic")
	h.must(h.install(h.release("v1", "one"), "v1"))
	h.wantVersion("v1", "classic")
	h.must(h.rollback())
	h.want(map[string]string{"bin/azure-vnet.exe": "classic", "bin/azure-vnet-ipam.exe": "", "netconf/" + conflist: "classic"})
	h.must(h.rollback())
	h.must(h.install(h.release("v2", "two"), "v2"))
	h.write("bin/azure-vnet.exe", "garbage")
	h.must(h.install(h.release("v2", "two"), "v2"))
	h.wantVersion("v2", "classic")
	h.must(h.uninstall())
	h.want(map[string]string{"bin/azure-vnet.exe": "classic", "bin/azure-vnet-ipam.exe": "", "netconf/" + conflist: "classic"})
}

// What the plugins kept goes with them; what others keep beside it stays.
func TestUninstallForgetsTheState(t *testing.T) {
	h := newHost(t)
	h.must(h.install(h.release("v1", "one"), "v1"))
	ours := []string{"azure-vnet.json", "azure-vnet.json.bak", "azure-vnet.lock", "azure-vnet.log", "azure-vnet.log.1",
		"azure-vnet-ipam.json", "azure-vnet-ipam.json.bak",
		"azure-vnet-ipam.lock", "azure-vnet-ipam.log", "azure-vnet-network.lock", "azure-vnet-owners.lock", "azure-vnet-ipam-refresh.lock",
		"azure-vnet-metrics.json", "azure-vnet-metrics.lock"}
	for _, f := range append(ours, "kubelet.log", "azure-vnet.log.txt") {
		h.write(f, "x")
	}
	h.clean = errors.New("HNS hangs")
	h.fails(h.uninstall(), "HNS hangs")
	h.want(map[string]string{"azure-vnet.json": "x"})
	h.clean = nil
	h.must(h.uninstall())
	for _, f := range ours {
		h.want(map[string]string{f: ""})
	}
	h.want(map[string]string{"kubelet.log": "x", "azure-vnet.log.txt": "x"})
}

func TestTheFabricsMACIsOffered(t *testing.T) {
	for _, c := range []struct {
		told, want, set bool
		says            string
	}{
		{true, false, false, ""}, {true, true, false, ""}, {false, false, false, "--remote-arp sets it"},
		{false, true, true, "Restart-Service -Force hns"},
	} {
		h := newHost(t)
		h.arpTold, h.SetARP = c.told, c.want
		h.must(h.install(h.release("v1", "one"), "v1"))
		if h.arpSet != c.set || !strings.Contains(h.said, c.says) || c.says == "" && strings.Contains(h.said, "SDNRemote") {
			t.Errorf("%+v: set %v, said %s", c, h.arpSet, h.said)
		}
	}
}

// Whatever step fails: the file that could not be replaced is whole, and the same command goes on.
func TestAnInterruptedInstallationGoesOn(t *testing.T) {
	h := newHost(t)
	h.must(h.install(h.release("v1", "one"), "v1"))
	h.must(os.Remove(h.at("bin/azure-vnet-ipam.exe")))
	h.write("bin/azure-vnet-ipam.exe/busy", "a folder cannot be replaced by a file")
	h.fails(h.install(h.release("v2", "two"), "v2"), "replace "+h.at("bin/azure-vnet-ipam.exe"))
	h.want(map[string]string{"bin/azure-vnet.exe": "azure-vnet.exe v2", "netconf/" + conflist: "one",
		"bin/.azure-vnet-ipam.exe.installing": ""})
	h.must(os.RemoveAll(h.at("bin/azure-vnet-ipam.exe")))
	h.must(h.rollback()) // or back
	h.wantVersion("v1", "one")
	h.must(h.install(h.release("v2", "two"), "v2"))
	h.wantVersion("v2", "two")
	h.must(h.rollback())
	h.wantVersion("v1", "one")
}

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	h := newHost(t)
	release := h.release("v1", "one")
	for _, v := range []string{"", "..", "before", `..\v1`, "a/b"} {
		h.fails(h.install(release, v), "is no version")
	}
	h.must(os.Remove(filepath.Join(release, "azure-vnet-ipam.exe")))
	h.fails(h.install(release, "v1"), "has no azure-vnet-ipam.exe")
	h.DryRun = true
	h.must(h.install(h.release("v1", "one"), "v1"))
	h.want(map[string]string{"bin/azure-vnet.exe": "", "store/state.json": ""})
	h.DryRun = false
	h.must(h.install(h.release("v1", "one"), "v1"))
	h.clean = errors.New("HNS hangs")
	h.fails(h.uninstall(), "HNS hangs")
	h.wantVersion("v1", "one")
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"install"}, {"rollback", "v1"}, {"--force"}, {"remove"}} {
		var stderr bytes.Buffer
		if code := run(args, &stderr, &stderr); code != 2 || !strings.Contains(stderr.String(), "Usage:") {
			t.Errorf("%v: exit %d: %s", args, code, stderr.String())
		}
	}
}

// SYSTEM executes what is in our folders. One that others have is not changed.
func TestFoldersAreForAdministratorsOnly(t *testing.T) {
	h := newHost(t)
	h.Bin, h.State = h.at("k/azurecni/bin"), h.at("k")
	from := h.release("v1", "{}")
	h.rights = errors.New("denied")
	if err := h.install(from, "v1"); !errors.Is(err, h.rights) || exists(h.Bin) {
		t.Errorf("rights that cannot be set: %v", err)
	}
	// The folder that this attempt has made is not somebody else's for the next one.
	h.rights, h.restricted = nil, nil
	h.must(h.install(from, "v1"))
	if want := []string{h.at("k"), h.at("k/azurecni")}; !slices.Equal(h.restricted, want) {
		t.Errorf("restricted are %v, want %v", h.restricted, want)
	}
	h.restricted, h.writers, h.said = nil, []string{"Users"}, ""
	h.must(h.install(from, "v1"))
	if want := []string{h.at("k/azurecni")}; !slices.Equal(h.restricted, want) || !strings.Contains(h.said, "Users may write into "+h.State) {
		t.Errorf("restricted are %v, said is %s", h.restricted, h.said)
	}
}
