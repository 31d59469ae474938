//go:build linux && wine

package windows

import (
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/hnssim"
)

func TestDoctorOfAHealthyNode(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(nil)
	h.must(os.WriteFile(h.path(`C:\k\10-azure.conf`), h.json(conf), 0o644))
	h.wantResult(h.call("ADD", id(1), h.hns.AddNamespace(), conf))
	r, err := h.node.Operator(h.ctx, "azure-vnet", "doctor", "--config", `C:\k\10-azure.conf`)
	h.must(err)
	t.Logf("%s", r.Stdout)
	h.wantExit0("doctor", r)
}

// Each thing that is wrong is a failure, or a warning, with a remedy for PowerShell; without it doctor is content.
func TestDoctorSeesWhatIsWrongOnWindows(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(nil)
	dir := `C:\k\azurecni\netconf` // where the installer puts it
	h.must(os.MkdirAll(h.path(dir), 0o755))
	file := h.path(dir + `\10-azure.conf`)
	h.must(os.WriteFile(file, h.json(conf), 0o644))
	doctor := func(when string, exit int, says ...string) {
		t.Helper()
		r := h.operator("doctor")
		if r.Exit != exit {
			t.Errorf("%s: exit %d instead of %d: %s%s", when, r.Exit, exit, r.Stdout, r.Stderr)
		}
		for _, s := range says {
			if !strings.Contains(strings.Join(strings.Fields(string(r.Stdout)), " "), s) {
				t.Errorf("%s: %q is not in %s", when, s, r.Stdout)
			}
		}
	}
	h.added(id(1), h.hns.AddNamespace(), conf)
	doctor("all is well", 0)

	h.must(os.WriteFile(file, []byte("{ no JSON"), 0o644))
	doctor("the configuration is no JSON", 2, `C:\k\azurecni\netconf\10-azure.conf`)
	h.must(os.WriteFile(file, h.json(conf), 0o644))

	h.must(os.Chmod(h.path(dir), 0o777))
	doctor("users may write where SYSTEM reads", 2, `Everyone may write into C:\k\azurecni\netconf`, "icacls")
	h.must(os.Chmod(h.path(dir), 0o755))

	const key = `HKLM\SYSTEM\CurrentControlSet\Services\hns\State`
	h.run("reg", "delete", key, "/v", "SDNRemoteArpMacAddress", "/f")
	doctor("the MAC of the fabric is not set", 1, "SDNRemoteArpMacAddress is not set", "Set-ItemProperty")
	h.run("reg", "add", key, "/v", "SDNRemoteArpMacAddress", "/t", "REG_SZ", "/d", "12-34-56-78-9A-BC", "/f")
	doctor("it is set in capitals", 0)

	h.hns.RemoveEndpoint(h.hns.Endpoints()[0].ID)
	doctor("a pod's endpoint is gone", 2, "HNS has no endpoint")
	h.hns.RemoveNetwork("azure")
	doctor("the network is gone", 2, "HNS has no network azure")
	h.hns.On(hnssim.Rule{Code: 0x800706BA}) // the RPC server is unavailable
	doctor("the service does not run", 2, "Restart-Service hns")
}

// run runs a program of Windows.
func (h *host) run(program string, args ...string) {
	h.Helper()
	cmd := h.vm.Ns.Command(h.ctx, setarch, append([]string{"-R", wine, program}, args...)...)
	cmd.Env = h.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		h.Fatalf("%s %v: %v: %s", program, args, err, out)
	}
}
