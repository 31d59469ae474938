package main

import (
	"fmt"
	"io"
	"math"
	"slices"
)

// same is by how much two runs may differ and have the same ratio still.
const same = 0.05

// precision is to how much of itself a ratio is measured: two with this error, in 19 of 20 runs each, differ by less than
// same in as many.
const precision = same / math.Sqrt2

// errorOf is half of the interval in which the true quantile lies in 19 of 20 cases. It follows from the order of the
// samples alone, however they are spread: q of them are expected below the true one, with a binomial spread.
func errorOf(list []float64, q float64) float64 {
	n := float64(len(list))
	sorted := slices.Sorted(slices.Values(list))
	const z = 1.96 // of 19 in 20, in standard deviations
	around := z * math.Sqrt(n*q*(1-q))
	at := func(rank float64) float64 { return sorted[min(max(int(rank), 0), len(sorted)-1)] }
	return (at(math.Ceil(n*q+around)) - at(math.Floor(n*q-around))) / 2
}

// series are the samples of what is compared: ours and the reference's.
type series [2][]float64

// enough says whether nothing is left to be measured: all ratios are precise, or there were so many rounds that nobody
// would wait for more.
func enough(round, least int, all ...series) bool {
	const most = 3
	switch {
	case round < least:
		return false
	case round >= most*least:
		return true
	}
	return !slices.ContainsFunc(all, func(s series) bool {
		ratios := pairwise(s[ours], s[theReference])
		return errorOf(ratios, 0.5) > precision*quantile(ratios, 0.5)
	})
}

// differences prints what has another ratio in another report, by 5 % or more, and says in how many rows it is so.
func (r *report) differences(other *report, w io.Writer) error {
	compared, differ, unexpected := 0, 0, 0
	for _, mine := range r.Rows {
		i := slices.IndexFunc(other.Rows, func(o row) bool { return o.Group == mine.Group && o.Measure == mine.Measure })
		if i < 0 || mine.Ratio == 0 {
			continue
		}
		theirs := other.Rows[i]
		compared++
		if math.Abs(mine.Ratio-theirs.Ratio) < same*min(mine.Ratio, theirs.Ratio) {
			continue
		}
		differ++
		noisy := "noisy"
		if mine.repeats() && theirs.repeats() {
			unexpected++
			noisy = "DIFFERENT"
		}
		if _, err := fmt.Fprintf(w, "%s: %s: %.2f ± %.2f, %.2f ± %.2f, %s\n", mine.Group, mine.Measure, mine.Ratio, mine.Error,
			theirs.Ratio, theirs.Error, noisy); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d of %d rows differ by 5 %% or more, %d of them in spite of a small error.\n", differ, compared, unexpected)
	return err
}
