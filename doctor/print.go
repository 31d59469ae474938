package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/Azure/azure-container-networking/cni/console"
	"github.com/Azure/azure-container-networking/finding"
)

// The JSON schema of "doctor -o json" (docs/cni.md).
type diagnosis struct {
	Healthy  bool              `json:"healthy"`
	Failures int               `json:"failures"`
	Warnings int               `json:"warnings"`
	Findings []finding.Finding `json:"findings"`
}

func count(found []finding.Finding, level finding.Level) (n int) {
	for _, f := range found {
		if f.Level == level {
			n++
		}
	}
	return n
}

func printFindings(found []finding.Finding, output string, w io.Writer) error {
	said := diagnosis{Failures: count(found, finding.Failure), Warnings: count(found, finding.Warning), Findings: found}
	said.Healthy = said.Failures+said.Warnings == 0
	if output == "json" {
		if said.Findings == nil {
			said.Findings = []finding.Finding{}
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(said)
	}
	_, err := io.WriteString(w, said.text(console.Width(w)))
	return err
}

// text is for people: a finding a line, or as many as it takes in a width (0 is any); then the remedy. At the end is
// what all comes to.
func (d diagnosis) text(width int) string {
	var b strings.Builder
	column := 0
	for _, f := range d.Findings {
		column = max(column, len(f.Check))
	}
	indent := len(finding.Failure) + 2 + column + 2
	room := 0
	if least := 20; width > 0 {
		room = max(width-indent, least)
	}
	for _, f := range d.Findings {
		found := strings.ReplaceAll(console.Wrap(f.Found, room, ""), "\n", "\n"+strings.Repeat(" ", indent))
		fmt.Fprintf(&b, "%-*s  %-*s  %s\n", len(finding.Failure), f.Level, column, f.Check, found)
		if f.Level != finding.OK {
			fmt.Fprintf(&b, "%*sremedy: %s\n", len(finding.Failure)+2, "", parts(f.Remedy, width))
		}
	}
	fmt.Fprintf(&b, "%s, %s, %s.\n", number(d.Failures, "failure"), number(d.Warnings, "warning"),
		number(len(d.Findings)-d.Failures-d.Warnings, "check")+" ok")
	return b.String()
}

// parts puts each part of a remedy that is too long on a line of its own. A part may be a command: it stays in one
// piece, so that it can be copied.
func parts(remedy string, width int) string {
	indent := strings.Repeat(" ", len(finding.Failure)+2+len("remedy: "))
	if width == 0 || len(indent)+len(remedy) <= width || strings.ContainsAny(remedy, `'"`) {
		return remedy
	}
	return strings.ReplaceAll(remedy, "; ", ";\n"+indent)
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
