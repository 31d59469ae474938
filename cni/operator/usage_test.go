package operator

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/cni/console"
	"github.com/Azure/azure-container-networking/cni/console/consoletest"
)

// The documents are compared with the usage text (test/docs), so that text has to be what is taken: each option by the
// commands that name it, and by no other one.
func TestUsageIsWhatIsTaken(t *testing.T) {
	t.Parallel()
	commands, options := map[string]string{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  azure-vnet ([a-z]+(?: [a-z]+)?)((\s+\[[^\]]+\])+)`).FindAllStringSubmatch(usage, -1) {
		takes := strings.NewReplacer("[POD]", "[WORD]", "[FILE]", "[WORD]").Replace(strings.Join(strings.Fields(m[2]), " "))
		commands[m[1]] = takes
		for _, o := range strings.Split(strings.Trim(takes, "[]"), "] [") {
			options[o] = true
		}
	}
	if len(commands) != 9 || len(options) != 15 {
		t.Fatalf("the usage text has %d commands and %d options: %v, %v", len(commands), len(options), commands, options)
	}
	for command, takes := range commands {
		for option := range options {
			for _, value := range consoletest.Alternatives(option) {
				_, end := parseOptions(append(strings.Fields(command), strings.Fields(value)...), io.Discard, io.Discard)
				named := strings.Contains(takes, "["+value+"]") || strings.Contains(takes, "["+value+"|") || strings.Contains(takes, "["+option+"]")
				if named != (end == console.Goes) {
					t.Errorf("azure-vnet %s %s: named %t, ends with %d", command, value, named, end)
				}
			}
		}
	}
}

// Help goes to standard output and is a success; what is wrong is named on standard error, and exit code 2.
func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	for line, c := range map[string]struct {
		exit int
		says string
	}{
		"show --help":           {0, "only the network of this NAME"},
		"show -h":               {0, "azure-vnet show [POD]"},
		"show web-0 --help":     {0, "networks and pods of this node"},
		"host release --help":   {0, "azure-vnet host release"},
		"dance":                 {2, `there is no command "dance"`},
		"host dance":            {2, `there is no command "host dance"`},
		"host":                  {2, `there is no command "host"`},
		"show -o yaml":          {2, "show: -o yaml: there is table, json, wide"},
		"show web-0 web-1":      {2, `"web-1" is one word too many`},
		"show -- -x y":          {2, `"y" is one word too many`},
		"show --colour":         {2, "show: there is no option --colour"},
		"show -x":               {2, "show: there is no option -x"},
		"show --network":        {2, "option --network needs a value"},
		"cleanup azure":         {2, `cleanup: "azure" is one word too many`},
		"cleanup --yes=perhaps": {2, "invalid boolean value"},
		"repair --data-dir":     {2, "option --data-dir needs a value"},
	} {
		var stdout, stderr bytes.Buffer
		exit := operator(t.Context(), "v2.0.0", strings.Fields(line), &stdout, &stderr)
		said, silent := &stdout, &stderr
		if c.exit != 0 {
			said, silent = silent, said
		}
		if exit != c.exit || !strings.Contains(said.String(), c.says) || silent.Len() > 0 {
			t.Errorf("azure-vnet %s: exit %d\n%s%s", line, exit, stdout.String(), stderr.String())
		}
	}
}

func TestAFolderThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"show", "cleanup", "repair", "host release"} {
		var stdout, stderr bytes.Buffer
		exit := operator(t.Context(), "v2.0.0", append(strings.Fields(command), "--data-dir", "/nowhere"), &stdout, &stderr)
		if exit != 1 || !strings.Contains(stderr.String(), "/nowhere: "+consoletest.NotThere(t)) {
			t.Errorf("%s: exit %d, %s%s", command, exit, stdout.String(), stderr.String())
		}
	}
}
