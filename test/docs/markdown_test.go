package docs

import (
	"path"
	"regexp"
	"strings"
)

// document is one Markdown file, as far as its promises can be checked.
type document struct {
	path    string // below the root of the repository, with slashes
	fences  []fence
	spans   []span // code in running text and tables
	tables  []table
	links   []span // targets
	anchors map[string]bool
}

// fence is a block between ``` lines; info is what stands behind the first of them.
type fence struct {
	line       int
	info, text string
}

type span struct {
	line int
	text string
}

// table has the cells of a Markdown table, as they are written.
type table struct {
	line int
	head []string
	rows [][]string
}

var (
	codeSpan    = regexp.MustCompile("`([^`]+)`")
	linkTarget  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	htmlAnchor  = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

func newDocument(path, text string) *document {
	d := &document{path: path, anchors: map[string]bool{}}
	var open *fence
	inTable := false
	for i, line := range strings.Split(text, "\n") {
		number := i + 1
		trimmed := strings.TrimSpace(line)
		switch {
		case open != nil && trimmed == "```":
			d.fences, open = append(d.fences, *open), nil
			continue
		case open != nil:
			open.text += line + "\n"
			continue
		case strings.HasPrefix(trimmed, "```"):
			open = &fence{line: number, info: strings.TrimPrefix(trimmed, "```")}
			continue
		}
		d.prose(number, line)
		isRow := strings.HasPrefix(trimmed, "|")
		if isRow {
			d.row(number, trimmed, !inTable)
		}
		inTable = isRow
	}
	return d
}

// prose takes what stands in one line outside of fences.
func (d *document) prose(number int, line string) {
	for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
		d.spans = append(d.spans, span{number, m[1]})
	}
	for _, m := range linkTarget.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
		d.links = append(d.links, span{number, m[1]})
	}
	for _, m := range htmlAnchor.FindAllStringSubmatch(line, -1) {
		d.anchors[m[1]] = true
	}
	if heading := strings.TrimLeft(line, "#"); heading != line && strings.HasPrefix(heading, " ") {
		d.anchors[anchor(heading)] = true
	}
}

// anchor is GitHub's name for a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), ""), " ", "-")
}

func (d *document) row(number int, line string, first bool) {
	cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, "\x00"), "|"), "|")
	for i := range cells {
		cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "\x00", "|")
	}
	if first {
		d.tables = append(d.tables, table{line: number, head: cells})
		return
	}
	if t := &d.tables[len(d.tables)-1]; strings.Trim(strings.Join(cells, ""), "-: ") != "" {
		t.rows = append(t.rows, cells)
	}
}

// codeIn is the code in a cell.
func codeIn(cell string) (list []string) {
	for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
		list = append(list, m[1])
	}
	return list
}

// beside is a path that is written relative to the document.
func (d *document) beside(target string) string { return path.Join(path.Dir(d.path), target) }
