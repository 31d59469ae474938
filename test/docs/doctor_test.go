package docs

import (
	"fmt"
	"regexp"
	"strings"
)

var checkName = regexp.MustCompile(`^[a-z-]+$`)

// wrongDoctor: cni.md lists the checks of doctor, all of them. In the column "doctor" of any table the first code of a
// cell is a check, and each further one is out of doctor's mouth; "…" stands for what differs.
func (r *repository) wrongDoctor(d *document) (lies []string) {
	listed := map[string]bool{}
	for _, t := range d.tables {
		if t.head[0] == "check" && d.path == "docs/cni.md" {
			for _, row := range t.rows {
				for _, name := range codeIn(row[0]) {
					listed[name] = true
				}
			}
		}
		for column, head := range t.head {
			if head == "doctor" {
				for _, row := range t.rows {
					lies = append(lies, r.wrongWords(t.line, row[column])...)
				}
			}
		}
	}
	if d.path == "docs/cni.md" {
		lies = append(lies, difference("doctor's check", listed, r.checks, "there is none", "is not documented")...)
	}
	return lies
}

func (r *repository) wrongWords(line int, cell string) (lies []string) {
	for i, text := range codeIn(cell) {
		if i == 0 && checkName.MatchString(text) {
			if !r.checks[text] {
				lies = append(lies, fmt.Sprintf("table of line %d: doctor has no check %s", line, text))
			}
			continue
		}
		for piece := range strings.SplitSeq(text, "…") {
			if piece = strings.TrimSpace(piece); piece != "" && !r.says(piece) {
				lies = append(lies, fmt.Sprintf("table of line %d: doctor never says %q", line, piece))
			}
		}
	}
	return lies
}

func (r *repository) says(piece string) bool {
	for _, l := range r.literals {
		if strings.Contains(l, piece) {
			return true
		}
	}
	return false
}
