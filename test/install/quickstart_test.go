//go:build linux

package install

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// stepOf is the block of commands of a step of the quickstart that has a word in it.
func stepOf(t *testing.T, step, word string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/quickstart-kubeadm.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(text), "\n## "+step)
	part, _, _ = strings.Cut(part, "\n## ")
	for _, m := range regexp.MustCompile("(?ms)^```bash\n(.*?)^```$").FindAllStringSubmatch(part, -1) {
		if strings.Contains(m[1], word) {
			return m[1]
		}
	}
	t.Fatalf("the quickstart has no commands with %s in step %q (%t)", word, step, found)
	return ""
}

// The commands of the quickstart, word for word, on a node that has nothing yet and to whose NIC cloud-init has given all
// addresses: what the page says is to be seen is seen, and a pod works. The variant for bridge mode, too.
func TestTheQuickstartOnANode(t *testing.T) {
	for mode, commands := range map[string]string{
		"transparent": stepOf(t, "3. Each node: the plugins", "host release"),
		"bridge":      stepOf(t, "Bridge and tunnel mode", "--mode bridge") + stepOf(t, "3. Each node: the plugins", "host release"),
	} {
		t.Run(mode, func(t *testing.T) {
			onEach(t, func(t *testing.T, userland string) {
				m := newMachine(t, userland, fabric.Default(1, 4))
				m.write("/etc/cloud/cloud.cfg", "x\n")
				m.release(older, "/tmp/release")
				m.copy("../../scripts/install-cni-plugin.sh", "/tmp/release/install-cni-plugin.sh", 0o755)
				for i := range 4 {
					m.must(m.fabric.VMs[0].Ns.Command(m.ctx, "ip", "addr", "add", fmt.Sprintf("10.240.1.%d/16", i+1), "dev", "eth0").Run())
				}
				s := m.run(nil, "/bin/sh", "-c", "set -e\n"+commands)
				if s.code != 0 {
					t.Fatalf("exit %d: %s", s.code, s.text)
				}
				for _, want := range []string{"wrote /etc/sysctl.d/60-azure-vnet.conf", "wrote /etc/cloud/cloud.cfg.d/15-azure-vnet.cfg",
					"installed " + older + "\n", "10.240.1.1/16 is off eth0.", "\n0 failures, "} {
					if !strings.Contains(s.text, want) {
						t.Errorf("%q is not to be seen:\n%s", want, s.text)
					}
				}
				m.wantMode("as the page says", mode)
				m.reachable(m.add())
			})
		})
	}
}
