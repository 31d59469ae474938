//go:build linux

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// A real bash completes what the programs take. The cursor stands behind the last word, which a space at the end makes
// an empty one.
func TestCompletion(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	n.Mounts = n.DefaultPaths()
	p := l.add(n, l.list(n, map[string]any{"dataDir": nil, "logFile": nil}))
	pod := "pod-" + p.ID[:8]
	script, err := filepath.Abs("../../build/completion/azure-vnet.bash")
	l.must(err)
	for line, want := range map[string]string{
		"azure-vnet ":                     "--help --version bundle cleanup doctor host metrics repair show",
		"azure-vnet c":                    "cleanup",
		"azure-vnet host ":                "prepare release restore",
		"azure-vnet host prepare --":      "--config --dry-run --help --root",
		"azure-vnet host restore --d":     "--dry-run",
		"azure-vnet host release --":      "--config --data-dir --help --yes",
		"azure-vnet cleanup --d":          "--data-dir --dry-run",
		"azure-vnet cleanup --network ":   "azure",
		"azure-vnet show -":               "--config --data-dir --help --network -n -o",
		"azure-vnet show -o ":             "json table wide",
		"azure-vnet show -n ":             "default",
		"azure-vnet show p":               pod,
		"azure-vnet doctor --level w":     "warning",
		"azure-vnet doctor pod-":          pod,
		"azure-vnet-ipam ":                "--help --version doctor refresh release show",
		"azure-vnet-ipam release --f":     "--force",
		"azure-vnet-ipam show -o j":       "json",
		"azure-vnet repair --config /etc": "/etc",
		"azure-vnet dance ":               "--help",
	} {
		words := strings.Split(line, " ")
		words[0] = filepath.Join(binaries, words[0])
		cmd := n.Command(l.ctx, "bash", append([]string{"--noprofile", "--norc", "-c",
			`. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _azure_vnet; printf '%s\n' "${COMPREPLY[@]}"`, script}, words...)...)
		out, err := cmd.CombinedOutput()
		l.must(err)
		got := strings.Fields(string(out))
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%q becomes %q instead of %q", line, strings.Join(got, " "), want)
		}
	}
}
