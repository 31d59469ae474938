//go:build linux

package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// Addresses of another IPAM plugin are given back to it: by the DEL that doctor prints, and by cleanup, which has no
// configuration.
func TestAnotherIPAMPluginGetsItsAddressesBack(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	l.broken = true // they are not the NIC's
	p := &patient{lab: l, n: l.nodes[0]}
	data := filepath.Join(p.n.Dir, "host-local")
	p.fields = map[string]any{"ipMasq": true,
		"ipam": map[string]any{"type": "host-local", "dataDir": data, "routes": []any{map[string]string{"dst": "0.0.0.0/0"}},
			"ranges": []any{[]any{map[string]string{"subnet": "10.240.0.0/16", "rangeStart": "10.240.1.1", "rangeEnd": "10.240.1.3",
				"gateway": "10.240.0.1"}}}}}
	p.configure()
	p.pods = []*node.Pod{p.add(), p.add(), p.add()}
	reserved := func(want int) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(data, "azure", "10.*"))
		if p.must(err); len(files) != want {
			t.Errorf("reserved are %v", files)
		}
	}
	reserved(3)
	p.must(p.pods[0].NS.Close())
	d, table := p.doctor("")
	remedy := ""
	for _, f := range d.ailing() {
		if f.Check == "endpoints" {
			_, remedy, _ = strings.Cut(f.Remedy, ": ")
		}
	}
	if remedy == "" {
		t.Fatalf("doctor says\n%s", table)
	}
	p.sh(remedy)
	reserved(2)
	r, err := p.n.Operator(p.ctx, "azure-vnet", "cleanup", "--yes", "--data-dir", p.n.DataDir())
	if p.must(err); r.Exit != 0 {
		t.Fatalf("cleanup: %s%s", r.Stdout, r.Stderr)
	}
	reserved(0)
}
