package ipamplugin

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/cni/console"
	"github.com/Azure/azure-container-networking/cni/console/consoletest"
)

func operator(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return Operator(nil)(ctx, args, stdout, stderr)
}

// The documents are compared with the usage text (test/docs), so that text has to be what is taken.
func TestUsageIsWhatIsTaken(t *testing.T) {
	t.Parallel()
	commands, options := map[string]string{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  azure-vnet-ipam ([a-z]+)(?: ADDRESS\|CONTAINER)?((\s+\[[^\]]+\])+)`).FindAllStringSubmatch(
		usage, -1) {
		commands[m[1]] = m[2]
		for _, o := range regexp.MustCompile(`\[([^|\]]+)`).FindAllStringSubmatch(m[2], -1) {
			options[o[1]] = true
		}
	}
	if len(commands) != 4 || len(options) != 4 {
		t.Fatalf("the usage text has %v, %v", commands, options)
	}
	for command, takes := range commands {
		for option := range options {
			args := append([]string{command}, strings.Fields(option)...)
			if command == "release" {
				args = append(args, "10.0.0.5")
			}
			_, end := parseOptions(args, io.Discard, io.Discard)
			if named := strings.Contains(takes, "["+option); named != (end == console.Goes) {
				t.Errorf("azure-vnet-ipam %v: named %t, ends with %d", args, named, end)
			}
		}
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	for line, c := range map[string]struct {
		exit int
		says string
	}{
		"show --help":            {0, "azure-vnet-ipam show [-o json|wide]"},
		"release -h":             {0, "also what a container of this node has"},
		"dance":                  {2, `there is no command "dance"`},
		"cleanup":                {2, "it is azure-vnet's"},
		"show -o yaml":           {2, "show: -o yaml: there is table, json, wide"},
		"show web-0":             {2, `show: "web-0" is one word too many`},
		"refresh --yes":          {2, "refresh: there is no option --yes"},
		"release":                {2, "an address or a container is missing"},
		"release a b":            {2, `"b" is one word too many`},
		"show --data-dir /no":    {1, "/no: " + consoletest.NotThere(t)},
		"refresh --config /no":   {1, "/no: " + consoletest.NotThere(t)},
		"release a --config /no": {1, "/no: " + consoletest.NotThere(t)},
	} {
		var stdout, stderr bytes.Buffer
		exit := operator(t.Context(), strings.Fields(line), &stdout, &stderr)
		said, silent := &stdout, &stderr
		if c.exit != 0 {
			said, silent = silent, said
		}
		if exit != c.exit || !strings.Contains(said.String(), c.says) || silent.Len() > 0 {
			t.Errorf("azure-vnet-ipam %s: exit %d\n%s%s", line, exit, stdout.String(), stderr.String())
		}
	}
}
