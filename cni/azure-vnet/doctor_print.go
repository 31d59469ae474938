package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// The JSON schema of "doctor -o json" (docs/cni.md).
type diagnosis struct {
	Healthy  bool              `json:"healthy"`
	Failures int               `json:"failures"`
	Warnings int               `json:"warnings"`
	Findings []network.Finding `json:"findings"`
}

func count(found []network.Finding, level network.Level) (n int) {
	for _, f := range found {
		if f.Level == level {
			n++
		}
	}
	return n
}

func printFindings(found []network.Finding, output string, w io.Writer) error {
	said := diagnosis{Failures: count(found, network.Failure), Warnings: count(found, network.Warning), Findings: found}
	said.Healthy = said.Failures+said.Warnings == 0
	if output == "json" {
		if said.Findings == nil {
			said.Findings = []network.Finding{}
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(said)
	}
	_, err := io.WriteString(w, said.text(platform.TerminalWidth(w)))
	return err
}

// text is for people: a finding a line, or as many as it takes in a width (0 is any); then the remedy, which is not broken into lines,
// since it may be a command. At the end is what all comes to.
func (d diagnosis) text(width int) string {
	var b strings.Builder
	column := 0
	for _, f := range d.Findings {
		column = max(column, len(f.Check))
	}
	indent := len(network.Failure) + 2 + column + 2
	for _, f := range d.Findings {
		found := fold(f.Found, width-indent)
		fmt.Fprintf(&b, "%-*s  %-*s  %s\n", len(network.Failure), f.Level, column, f.Check, found[0])
		for _, line := range found[1:] {
			fmt.Fprintf(&b, "%*s%s\n", indent, "", line)
		}
		if f.Level != network.OK {
			fmt.Fprintf(&b, "%*sremedy: %s\n", len(network.Failure)+2, "", f.Remedy)
		}
	}
	fmt.Fprintf(&b, "%s, %s, %s.\n", number(d.Failures, "failure"), number(d.Warnings, "warning"), number(len(d.Findings)-d.Failures-d.Warnings, "check")+" ok")
	return b.String()
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// fold breaks a text into lines of at most so many characters; 0 and less leave it as it is. A word that is longer has its own line.
func fold(text string, width int) []string {
	const least = 20
	if width < least {
		return []string{text}
	}
	var lines []string
	for _, word := range strings.Split(text, " ") {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(word) <= width {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return slices.Clip(lines)
}
