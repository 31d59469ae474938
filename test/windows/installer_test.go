//go:build linux && wine

package windows

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/node"
)

// release puts the files of an archive into a folder of Windows.
func (h *host) release() string {
	h.Helper()
	const dir = `C:\release`
	h.must(os.MkdirAll(h.path(dir), 0o755))
	for _, name := range []string{"azure-vnet.exe", "azure-vnet-ipam.exe", "azure-vnet-install.exe"} {
		h.must(os.Link(filepath.Join(binaries, name), h.path(dir+`\`+name)))
	}
	conflist, err := os.ReadFile("../../cni/conf/10-azure-windows.conflist")
	h.must(err)
	h.must(os.WriteFile(h.path(dir+`\10-azure.conflist`), conflist, 0o644))
	return dir
}

// install runs the installer of a release.
func (h *host) install(args ...string) (string, error) {
	h.Helper()
	cmd := h.vm.Ns.Command(h.ctx, setarch, append([]string{"-R", wine, `C:\release\azure-vnet-install.exe`}, args...)...)
	cmd.Env = append(h.env(), h.hns.Env())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// With pods, and without anything left: in HNS, in C:\k, in the installer's folders.
func TestUninstallLeavesNothing(t *testing.T) {
	h := newHost(t, options{})
	h.must(os.RemoveAll(h.path(binDir)))
	h.release()
	out, err := h.install("install", "v1")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h.added(id(1), h.hns.AddNamespace(), h.conf(nil))

	// A container of another network plugin that uses our IPAM plugin.
	other := func(command string) node.Reply {
		r, err := h.node.Exec(h.ctx, node.Call{Plugin: "azure-vnet-ipam", Command: command, ContainerID: id(2), NetNS: "none", IfName: "eth0",
			Conf: h.json(h.conf(map[string]any{"type": "win-bridge", "name": "other"}))})
		h.must(err)
		return r
	}
	h.wantResult(other("ADD"))
	if out, err = h.install("uninstall"); err == nil || !strings.Contains(out, "another network plugin") {
		t.Errorf("another plugin's container holds an address: %v: %s", err, out)
	}
	if _, err := os.Stat(h.path(binDir + `\azure-vnet.exe`)); err != nil {
		t.Error("the plugin was removed all the same", err)
	}
	h.wantSuccess(other("DEL"))

	if out, err = h.install("uninstall"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if n, e := h.hns.Networks(), h.hns.Endpoints(); len(n)+len(e) > 0 {
		t.Errorf("HNS has %v, %v", n, e)
	}
	h.must(filepath.WalkDir(h.path(`C:\k`), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s is left", strings.TrimPrefix(path, h.path(`C:\k`)))
		}
		return err
	}))
}

// The value that Azure sets on its own nodes is offered, and set when somebody wants it.
func TestTheInstallerSetsTheFabricsMAC(t *testing.T) {
	h := newHost(t, options{})
	h.release()
	const key = `HKLM\SYSTEM\CurrentControlSet\Services\hns\State`
	h.run("reg", "delete", key, "/v", "SDNRemoteArpMacAddress", "/f")
	if out, err := h.install("install", "v1"); err != nil || !strings.Contains(out, "--remote-arp") {
		t.Errorf("without the value: %v: %s", err, out)
	}
	if out, err := h.install("--remote-arp", "install", "v1"); err != nil || !strings.Contains(out, "Restart-Service") {
		t.Errorf("it is to be set: %v: %s", err, out)
	}
	if got := h.selftest().Host.RemoteARPMAC; got != "12-34-56-78-9a-bc" {
		t.Errorf("the value is %q", got)
	}
	if out, err := h.install("install", "v1"); err != nil || strings.Contains(out, "SDNRemote") {
		t.Errorf("with the value: %v: %s", err, out)
	}
}
