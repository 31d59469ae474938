package docs

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

var testPattern = regexp.MustCompile(`^(Test|Fuzz|Benchmark)(\p{Lu}|…)[\p{L}\d_…]*$`)

// wrongTests: names of tests, of which "…" may leave out a part. In a table a folder before a colon says where the
// tests behind it are, up to a semicolon: `ipam`: `TestOne…`, `TestTwo`; `TestThree`.
func (r *repository) wrongTests(d *document) (lies []string) {
	for _, s := range d.spans {
		if testPattern.MatchString(s.text) && !r.hasTest(s.text, "") {
			lies = append(lies, fmt.Sprintf("line %d: there is no test %s", s.line, s.text))
		}
	}
	for _, t := range d.tables {
		for _, row := range t.rows {
			for _, cell := range row {
				for part := range strings.SplitSeq(cell, ";") {
					lies = append(lies, r.misplacedTests(t.line, part)...)
				}
			}
		}
	}
	return lies
}

var folderOfTests = regexp.MustCompile("`([a-z0-9/-]+)`: *`(?:Test|Fuzz|Benchmark)")

func (r *repository) misplacedTests(line int, part string) (lies []string) {
	m := folderOfTests.FindStringSubmatchIndex(part)
	if m == nil {
		return nil
	}
	folder := part[m[2]:m[3]]
	for _, name := range codeIn(part[m[3]+1:]) {
		if testPattern.MatchString(name) && r.hasTest(name, "") && !r.hasTest(name, folder) {
			lies = append(lies, fmt.Sprintf("table of line %d: %s is not in %s", line, name, folder))
		}
	}
	return lies
}

// hasTest: folder may be "" for any.
func (r *repository) hasTest(pattern, folder string) bool {
	expr := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), "…", `[\p{L}\d_]*`) + "$")
	for name, folders := range r.tests {
		if expr.MatchString(name) && (folder == "" || slices.Contains(folders, folder)) {
			return true
		}
	}
	return false
}

// wrongLinks: relative links, and the headings that they name. What lies elsewhere is not asked for.
func (r *repository) wrongLinks(d *document) (lies []string) {
	for _, l := range d.links {
		if strings.Contains(l.text, "://") || strings.HasPrefix(l.text, "mailto:") {
			continue
		}
		file, heading, _ := strings.Cut(l.text, "#")
		target, other := d.path, d
		if file != "" {
			target = d.beside(file)
			other = r.documents[target]
		}
		switch {
		case file != "" && !r.files[target]:
			lies = append(lies, fmt.Sprintf("line %d: link %s: there is no %s", l.line, l.text, target))
		case heading != "" && (other == nil || !other.anchors[heading]):
			lies = append(lies, fmt.Sprintf("line %d: link %s: %s has no such heading", l.line, l.text, target))
		}
	}
	return lies
}

// wrongPaths: code that is a path in the repository, such as `ipam/pool.go`.
func (r *repository) wrongPaths(d *document) (lies []string) {
	for _, s := range d.spans {
		name := strings.TrimSuffix(s.text, "/")
		first, rest, found := strings.Cut(name, "/")
		if !found || rest == "" || first == "output" || strings.ContainsAny(name, " <>…*$:=") || !r.files[first] || path.IsAbs(name) {
			continue
		}
		if !r.files[name] && !r.files[d.beside(name)] {
			lies = append(lies, fmt.Sprintf("line %d: there is no %s", s.line, name))
		}
	}
	return lies
}
