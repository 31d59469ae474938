package console

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"
)

// Table is rows under a heading. Written to a terminal its lines fit.
type Table struct {
	Columns []Column
	Bare    bool // without the heading
	rows    [][]string
}

// Column is one column of a table.
type Column struct {
	Head string
	// Spare says which columns a narrow terminal goes without: first those with the highest number. Those with 0 stay.
	Spare int
	// Long says that the cells may be shortened in their middle, if nothing else helps.
	Long bool
}

// gap is between two columns.
const gap = 2

// shortest is what is left at least of what is shortened.
const shortest = 12

// Add adds a row; it has a cell for each column.
func (t *Table) Add(cells ...string) { t.rows = append(t.rows, cells) }

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Write writes the table. With width 0 nothing is cut; else no line is wider, and Write returns whether something is
// missing.
func (t *Table) Write(w io.Writer, width int) (missing bool) {
	columns, widths := t.fit(width)
	missing = len(columns) < len(t.Columns)
	b := bufio.NewWriter(w)
	line := func(cells func(int) string) {
		text := &strings.Builder{}
		for i, c := range columns {
			cell := cells(c)
			if short := shorten(cell, widths[i]); short != cell {
				cell, missing = short, true
			}
			text.WriteString(cell)
			text.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap))
		}
		_, _ = b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
	if !t.Bare {
		line(func(c int) string { return t.Columns[c].Head })
	}
	for _, row := range t.rows {
		line(func(c int) string { return row[c] })
	}
	_ = b.Flush() // the last write of a command says whether they arrived
	return missing
}

// fit chooses the columns, and how wide they are.
func (t *Table) fit(width int) (columns, widths []int) {
	for c := range t.Columns {
		columns, widths = append(columns, c), append(widths, t.widest(c))
	}
	for width > 0 && total(widths) > width {
		most := 0
		for i, c := range columns {
			if t.Columns[c].Spare > t.Columns[columns[most]].Spare {
				most = i
			}
		}
		if t.Columns[columns[most]].Spare == 0 {
			break
		}
		columns = append(columns[:most], columns[most+1:]...)
		widths = append(widths[:most], widths[most+1:]...)
	}
	for width > 0 && total(widths) > width {
		most := -1
		for i, c := range columns {
			if t.Columns[c].Long && widths[i] > shortest && (most < 0 || widths[i] > widths[most]) {
				most = i
			}
		}
		if most < 0 {
			break
		}
		widths[most]--
	}
	return columns, widths
}

func (t *Table) widest(c int) int {
	most := utf8.RuneCountInString(t.Columns[c].Head)
	for _, row := range t.rows {
		most = max(most, utf8.RuneCountInString(row[c]))
	}
	return most
}

func total(widths []int) int {
	sum := gap * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	return sum
}

// shorten leaves out what is in the middle: names differ at their ends.
func shorten(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	head := (width - 1) / 2
	return string(runes[:head]) + "…" + string(runes[len(runes)-(width-1-head):])
}
