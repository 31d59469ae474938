//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// Each pod starts the programs, mostly for an ADD: what only a person needs (patterns, tables, sources) is made when
// somebody asks for it. The runtime says what each package made before main.
func TestAStartMakesLittle(t *testing.T) {
	l := newLab(t, fabric.Default(1, 1))
	const most, mostOfAll = 8 << 10, 128 << 10 // bytes, of one package of ours, and of all packages
	for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
		r, err := l.nodes[0].Exec(l.ctx, node.Call{Plugin: plugin, Command: "VERSION", Conf: []byte(`{"cniVersion":"1.0.0"}`),
			Env: []string{"GODEBUG=inittrace=1"}})
		l.must(err)
		all, ours := 0, 0
		for line := range strings.Lines(string(r.Stderr)) {
			var name string
			var at, clock float64
			var bytes, allocations int
			if _, err := fmt.Sscanf(line, "init %s @%f ms, %f ms clock, %d bytes, %d allocs", &name, &at, &clock, &bytes, &allocations); err != nil {
				continue
			}
			all += bytes
			if strings.HasPrefix(name, "github.com/Azure/azure-container-networking/") {
				if ours++; bytes > most {
					t.Errorf("%s: %s makes %d bytes before main", plugin, name, bytes)
				}
			}
		}
		if ours == 0 {
			t.Errorf("%s: the runtime says nothing of our packages: %q", plugin, r.Stderr)
		}
		if all > mostOfAll {
			t.Errorf("%s: all packages together make %d bytes before main:\n%s", plugin, all, r.Stderr)
		}
	}
}
