//go:build linux && wine

package windows

import (
	"os"
	"testing"
)

func TestDoctorOfAHealthyNode(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(nil)
	h.must(os.WriteFile(h.path(`C:\k\10-azure.conf`), h.json(conf), 0o644))
	h.wantResult(h.call("ADD", id(1), h.hns.AddNamespace(), conf))
	r, err := h.node.Operator(h.ctx, "azure-vnet", "doctor", "--config", `C:\k\10-azure.conf`)
	h.must(err)
	t.Logf("%s", r.Stdout)
	if r.Exit != 0 {
		t.Errorf("%s %s", r.Stdout, r.Stderr)
	}
}
