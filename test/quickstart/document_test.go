package quickstart

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// programs are those that the quickstart may call: a word that is none of them is a slip of the pen.
var programs = strings.Fields(`az apt-get apt-mark cd containerd cp curl echo for do done grep helm hostname kubeadm kubectl ls make mkdir scp sed sh
	ssh swapon sysctl systemctl terraform ip cnitool install-cni-plugin.sh azure-vnet azure-vnet-ipam gpg cut cat nerdctl podman k3s modprobe rm`)

var (
	fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	calls = regexp.MustCompile(`(?m)(?:^|[|;]|\$\()\s*((?:[A-Z_]+=\S+ |sudo )*)([A-Za-z][\w./-]*)([^|;\n)]*)`)
	quote = regexp.MustCompile(`'[^']*'|"[^"$]*"`)
)

// Every command of the documents for a new cluster is one that a shell can read, and that there is; every example that
// they name is there; every option of az is one that it has.
func TestCommandsOfTheDocuments(t *testing.T) {
	for _, name := range []string{"quickstart-kubeadm.md", "k3s.md", "without-kubernetes.md"} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		blocks := 0
		for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
			switch m[1] {
			case "bash":
				blocks++
				shell(t, name, m[2])
			case "yaml":
				var any map[string]any
				if err := yaml.UnmarshalStrict([]byte(m[2]), &any); err != nil {
					t.Errorf("%s: %v\n%s", name, err, m[2])
				}
			}
		}
		if blocks < 2 {
			t.Errorf("%s has %d blocks of commands", name, blocks)
		}
		for _, m := range regexp.MustCompile(`examples/[\w./-]*\w`).FindAllString(string(text), -1) {
			if _, err := os.Stat("../../" + m); err != nil {
				t.Errorf("%s names %s: %v", name, m, err)
			}
		}
	}
}

func shell(t *testing.T, name, text string) {
	t.Helper()
	check := exec.Command("bash", "-n")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s\n%s", name, err, out, text)
	}
	text = regexp.MustCompile(`(?m)(^|\s)#.*$`).ReplaceAllString(text, "$1")
	text = quote.ReplaceAllString(strings.ReplaceAll(text, "\\\n", " "), "Q")
	for _, m := range calls.FindAllStringSubmatch(text, -1) {
		program := m[2][strings.LastIndex(m[2], "/")+1:]
		rest := strings.Fields(m[3])
		if strings.HasPrefix(m[3], "=") { // an assignment; what is in it is a call of its own
			continue
		}
		if !slices.Contains(programs, program) {
			t.Errorf("%s: what is %q in %q?", name, program, m[0])
		}
		if program == "az" {
			if wrong := wrongAz(rest); wrong != "" {
				t.Errorf("%s: az %s: %s", name, strings.Join(rest, " "), wrong)
			}
		}
	}
}
