package style

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program starts as fast as it is small, and the linker leaves out what nothing calls. It must keep every exported
// method of every type as soon as one function finds methods by names that it computes (text/template does). Its report
// says so, and what it has kept.
func TestTheLinkerLeavesOutWhatIsNotCalled(t *testing.T) {
	t.Parallel()
	// Functions and variables; a twentieth more than there are.
	for plugin, most := range map[string]int{"azure-vnet": 18_100, "azure-vnet-ipam": 11_300} {
		t.Run(plugin, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("go", "build", "-ldflags=-dumpdep", "-o", filepath.Join(t.TempDir(), plugin), "./cni/"+plugin)
			cmd.Dir, cmd.Env = "../..", append(cmd.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
			report, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, report)
			}
			kept := map[string]bool{}
			lines := bufio.NewScanner(bytes.NewReader(report))
			for lines.Buffer(nil, 1<<20); lines.Scan(); {
				_, to, is := strings.Cut(lines.Text(), " -> ")
				if !is {
					continue
				}
				name, flags, _ := strings.Cut(to, " <")
				if strings.Contains(flags, "ReflectMethod>") {
					t.Errorf("%s finds methods by name: the linker keeps those of all types", name)
				}
				if !strings.HasPrefix(name, "type:") && !strings.HasPrefix(name, "go:") {
					kept[name] = true
				}
			}
			if n := len(kept); n > most || n < most/2 {
				t.Errorf("the linker has kept %d functions and variables; at most %d are expected", n, most)
			}
		})
	}
}
