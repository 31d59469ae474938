package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// row is one line of the table: what was measured of us and of the reference, in the unit, by medians.
type row struct {
	Group     string  `json:"group"`
	Measure   string  `json:"measure"`
	Unit      string  `json:"unit"`
	Ours      float64 `json:"ours"`
	Reference float64 `json:"reference,omitempty"`
	// Ratio is ours divided by the reference (compare); of a row without a reference it is ours. Target is what it shall not exceed;
	// 0: there is no target.
	Ratio  float64 `json:"ratio,omitempty"`
	Target float64 `json:"target,omitempty"`
	// Lowest and Highest are the ratio in each fifth of the run alone; 0 of what was measured fewer than five times.
	Lowest  float64 `json:"lowest,omitempty"`
	Highest float64 `json:"highest,omitempty"`
}

// met says whether the target is met. Where parts of the run disagree, the machine was too noisy to judge.
func (r row) met() string {
	lowest, highest := r.Lowest, r.Highest
	if highest == 0 {
		lowest, highest = r.Ratio, r.Ratio
	}
	switch {
	case r.Target == 0:
		return ""
	case highest <= r.Target:
		return "met"
	case lowest > r.Target:
		return "MISSED"
	}
	return "unsure"
}

// cells are the row as people read it: what, ours, the reference's, ratio, target, and whether it is met.
func (r row) cells() []string {
	reference, ratio, target := "", "", ""
	if r.Reference != 0 {
		reference, ratio = number(r.Reference), fmt.Sprintf("%.2f", r.Ratio)
	}
	if r.Highest != 0 {
		ratio += fmt.Sprintf(" (%.2f–%.2f)", r.Lowest, r.Highest)
	}
	if r.Target != 0 {
		target = "≤ " + number(r.Target)
	}
	return []string{r.Measure + ", " + r.Unit, number(r.Ours), reference, ratio, target, r.met()}
}

// report is what a run measured, and where.
type report struct {
	Date    string `json:"date"`
	Machine string `json:"machine"`
	Rows    []row  `json:"rows"`
}

func newReport() *report {
	var u unix.Utsname
	_ = unix.Uname(&u)
	return &report{
		Date:    time.Now().UTC().Format(time.DateOnly),
		Machine: fmt.Sprintf("%d processors (%s), Linux %s", runtime.NumCPU(), processor(), unix.ByteSliceToString(u.Release[:])),
	}
}

func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// parts is into how many a run is divided, to see how much a ratio depends on when it was measured.
const parts = 5

// compare adds a row of two medians. The samples are in the order in which they were taken, in turn. The ratio is that of
// two that were taken one after the other, by its median: a machine that is slower for a while is so for both. Two runs
// of 120 rounds differ by less than 5 % in nine of ten rows so, and in eight with the ratio of the medians.
func (r *report) compare(group, measure, unit string, ours, reference []float64, target float64) {
	ratios := make([]float64, min(len(ours), len(reference)))
	for i := range ratios {
		ratios[i] = ours[i] / reference[i]
	}
	line := row{Group: group, Measure: measure, Unit: unit, Ours: quantile(ours, 0.5), Reference: quantile(reference, 0.5),
		Ratio: quantile(ratios, 0.5), Target: target}
	if n := len(ratios) / parts; n > 0 && unit == "ms" {
		for part := range slices.Chunk(ratios[:n*parts], n) {
			ratio := quantile(part, 0.5)
			if line.Highest == 0 {
				line.Lowest = ratio
			}
			line.Lowest, line.Highest = min(line.Lowest, ratio), max(line.Highest, ratio)
		}
	}
	r.Rows = append(r.Rows, line)
}

// single adds a row that has no reference.
func (r *report) single(group, measure, unit string, value, target float64) {
	r.Rows = append(r.Rows, row{Group: group, Measure: measure, Unit: unit, Ours: value, Ratio: value, Target: target})
}

func quantile[T cmp.Ordered](list []T, q float64) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func (r *report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "%s, %s\n", r.Date, r.Machine)
	r.table(t, "\n%s\tours\treference\tratio\ttarget\t\n", "  %s\n", "\t")
	_, _ = fmt.Fprintf(t, "\n%s\n", r.noise())
	return t.Flush()
}

// markdown prints the table as documents have it.
func (r *report) markdown(w io.Writer) {
	_, _ = fmt.Fprintf(w, "Measured on %s, %s.\n", r.Date, r.Machine)
	_, _ = fmt.Fprintln(w, r.noise())
	r.table(w, "\n| %s | ours | reference | ratio | target | |\n|---|---|---|---|---|---|\n", "| %s |\n", " | ")
}

// noise says how much the ratios differed within the run.
func (r *report) noise() string {
	var spreads []float64
	for _, row := range r.Rows {
		if row.Highest != 0 {
			spreads = append(spreads, (row.Highest-row.Lowest)/row.Ratio)
		}
	}
	if len(spreads) == 0 {
		return "Nothing was measured often enough to say how noisy the machine was."
	}
	const quiet = 0.15
	half := quantile(spreads, 0.5)
	verdict := "quiet enough"
	if half > quiet {
		verdict = "too noisy to compare this run with another"
	}
	return fmt.Sprintf("In half of the rows the fifths of the run differ by less than %.0f %%: the machine was %s.", half*100, verdict)
}

// table prints a head with the name of each group, and its rows.
func (r *report) table(w io.Writer, head, line, between string) {
	group := ""
	for _, row := range r.Rows {
		if row.Group != group {
			group = row.Group
			_, _ = fmt.Fprintf(w, head, group)
		}
		_, _ = fmt.Fprintf(w, line, strings.Join(row.cells(), between))
	}
}

func readReport(path string) (*report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// number writes three digits.
func number(v float64) string {
	switch {
	case v == float64(int64(v)) && v < 1e6 || v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
