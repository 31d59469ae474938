package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
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
	// Error is how far the ratio of 19 of 20 runs is from the true one at most; 0 of what is the same in each run.
	Error float64 `json:"error,omitempty"`
}

// met says whether the target is met. Where it lies within the error, the machine was too noisy to judge.
func (r row) met() string {
	switch {
	case r.Target == 0:
		return ""
	case r.Ratio+r.Error <= r.Target:
		return "met"
	case r.Ratio-r.Error > r.Target:
		return "MISSED"
	}
	return "unsure"
}

// repeats says whether another run will have the same ratio, to within 5 %.
func (r row) repeats() bool { return r.Error <= precision*r.Ratio }

// cells are the row as people read it: what, ours, the reference's, ratio, target, and whether it is met.
func (r row) cells() []string {
	reference, ratio, target := "", "", ""
	if r.Reference != 0 {
		reference, ratio = number(r.Reference), fmt.Sprintf("%.2f", r.Ratio)
	}
	if r.Error != 0 {
		ratio += fmt.Sprintf(" ± %.2f", r.Error)
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
// two that were taken one after the other, by its median: a machine that is slower for a while is so for both.
func (r *report) compare(group, measure, unit string, ours, reference []float64, target float64) {
	ratios := pairwise(ours, reference)
	line := row{Group: group, Measure: measure, Unit: unit, Ours: quantile(ours, 0.5), Reference: quantile(reference, 0.5),
		Ratio: quantile(ratios, 0.5), Target: target}
	if n := len(ratios) / parts; n > 0 && unit == "ms" {
		line.Error = errorOf(ratios, 0.5)
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

// slow adds a row of what 5 of 100 calls exceed.
func (r *report) slow(group, measure string, ours, reference []float64) {
	const q = 0.95
	own, other := quantile(ours, q), quantile(reference, q)
	ratio := own / other
	r.Rows = append(r.Rows, row{Group: group, Measure: measure + ", 95 of 100", Unit: "ms", Ours: own, Reference: other, Ratio: ratio,
		Error: ratio * math.Hypot(errorOf(ours, q)/own, errorOf(reference, q)/other)})
}

// single adds a row that has no reference.
func (r *report) single(group, measure, unit string, value, target float64) {
	r.Rows = append(r.Rows, row{Group: group, Measure: measure, Unit: unit, Ours: value, Ratio: value, Target: target})
}

func pairwise(ours, reference []float64) []float64 {
	ratios := make([]float64, min(len(ours), len(reference)))
	for i := range ratios {
		ratios[i] = ours[i] / reference[i]
	}
	return ratios
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

// noise says of how many of the ratios that have a target another run will have the same. Of those without many can never
// be so precise: what one call of twenty exceeds, streams.
func (r *report) noise() string {
	measured, sharp := 0, 0
	for _, row := range r.Rows {
		if row.Error != 0 && row.Target != 0 {
			measured++
			if row.repeats() {
				sharp++
			}
		}
	}
	if measured == 0 {
		return "Nothing was measured often enough to say how noisy the machine was."
	}
	verdict := "quiet enough"
	if 2*sharp < measured {
		verdict = "too noisy to compare this run with another"
	}
	return fmt.Sprintf("Of %d ratios with a target another run has %d the same, to within 5 %%: the machine was %s.",
		measured, sharp, verdict)
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
