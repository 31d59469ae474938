package main

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
)

// charts draws one chart for each kind of measurement: bars of the ratios to the reference, with a line where both are
// equal.
func charts(from, folder string) error {
	r, err := readReport(from)
	if err != nil {
		return err
	}
	for name, want := range map[string]string{"bench-commands": " there (reference", "bench-bursts": " at once (reference",
		"bench-packets": "pod to pod"} {
		var rows []row
		for _, row := range r.Rows {
			if strings.Contains(row.Group, want) && row.Reference != 0 && row.Unit == "ms" {
				rows = append(rows, row)
			}
		}
		if len(rows) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, name+".svg"), []byte(chart(*r, rows)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func chart(r report, rows []row) string {
	const width, left, line, unit = 900, 420, 22, 220 // unit: pixels of ratio 1
	var b strings.Builder
	y, group := 40, ""
	for _, row := range rows {
		if row.Group != group {
			group = row.Group
			y += line
			fmt.Fprintf(&b, `<text x="10" y="%d" font-weight="bold">%s</text>`+"\n", y, html.EscapeString(group))
			y += line
		}
		length := min(int(row.Ratio*unit), width-left-60)
		colour := "#2a7"
		if row.Ratio > 1 {
			colour = "#c63"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%d" height="14" fill="%s"/><text x="%d" y="%d">%.2f</text>`+"\n",
			left-8, y, html.EscapeString(row.Measure), left, y-11, length, colour, left+length+6, y, row.Ratio)
		y += line
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
<text x="10" y="20">Time as a part of the reference's (shorter is better); %s, %s</text>
<line x1="%d" y1="35" x2="%d" y2="%d" stroke="#999" stroke-dasharray="4"/>
%s</svg>
`, width, y+10, r.Date, html.EscapeString(r.Machine), left+unit, left+unit, y, b.String())
}
