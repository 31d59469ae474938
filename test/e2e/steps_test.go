//go:build linux

package e2e

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// At level debug each step of a command is one line with its duration, in the log of the plugin whose step it is;
// nothing of what a configuration holds beside names gets there.
func TestStepsOfACommand(t *testing.T) {
	t.Parallel()
	for mode, own := range map[string][]string{
		"bridge":      {"look at the bridge", "make or repair the network", "compare the rules"},
		"transparent": {"make or repair the network"},
	} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 3))
			n := l.nodes[0]
			secret := map[string]any{"mode": mode, "token": "planted-secret",
				"ipam": map[string]any{"type": "azure-vnet-ipam", "environment": "azure", "password": "planted-secret"}}
			p := l.add(n, l.list(n, secret))
			l.must(p.Check(l.ctx))
			l.must(p.Del(l.ctx))
			raw, err := os.ReadFile(n.LogFile("azure-vnet")) // of both plugins: the configuration names it
			l.must(err)
			steps := map[string][]string{}
			line := regexp.MustCompile(`^time=\S+ level=DEBUG msg=step pid=\d+ plugin=azure-vnet(?:-ipam)? command=(\w+) containerID=` + p.ID +
				` step="([^"]+)" .*duration=[0-9.]+(µs|ms|s)( |$)`)
			for text := range strings.SplitSeq(strings.TrimSpace(string(raw)), "\n") {
				if strings.Contains(text, "planted-secret") {
					t.Errorf("a secret: %s", text)
				}
				if m := line.FindStringSubmatch(text); m != nil {
					steps[m[1]] = append(steps[m[1]], m[2])
				} else if strings.Contains(text, "level=DEBUG") {
					t.Errorf("no step: %s", text)
				}
			}
			for command, wanted := range map[string][]string{
				"ADD": append(own, "wait for other commands of this container", "read the state", "wait for the state's lock", "write the state",
					"look at the pod's namespace", "call the IPAM plugin",
					"ask the source", "search namespaces for addresses in use", "read the host's addresses", "see that the network is as it should be",
					"see that the policy rules are there",
					"wait for others who make networks", "connect the pod", "make veth, addresses and routes", "add the pod to the rules"),
				"CHECK": {"compare the pod with the host", "call the IPAM plugin"},
				"DEL": {"take the pod off the host", "take the pod out of the rules", "delete veth, neighbours and routes",
					"call the IPAM plugin", "write the state"},
			} {
				for _, want := range wanted {
					if !slices.Contains(steps[command], want) {
						t.Errorf("%s has no step %q: %q", command, want, steps[command])
					}
				}
			}
		})
	}
}
