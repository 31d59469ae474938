package main

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// runOn is a run of the bench on a machine whose speed wanders, and whose calls take longer than they must, by chance: as
// much as noise says, and now and then much more. Ours takes 0.7 of the reference.
func runOn(seed uint64, noise float64) (r *report, rounds int) {
	chance := rand.New(rand.NewPCG(seed, 1))
	speed := 1.0
	call := func(least float64) float64 {
		took := least * speed * math.Exp(noise*math.Abs(chance.NormFloat64()))
		if chance.IntN(20) == 0 {
			took *= 1 + chance.ExpFloat64()
		}
		return took
	}
	var s series
	for ; !enough(rounds, 120, s); rounds++ {
		speed *= math.Exp(0.02 * chance.NormFloat64())
		s[ours], s[theReference] = append(s[ours], call(7)), append(s[theReference], call(10))
	}
	r = &report{}
	r.compare("mode", "ADD", "ms", s[ours], s[theReference], 0.75)
	r.slow("mode", "ADD", s[ours], s[theReference])
	return r, rounds
}

// Two runs on a machine as it is differ by less than 5 %, and each knows it.
func TestTwoRunsAgree(t *testing.T) {
	t.Parallel()
	more := 0
	for seed := range uint64(100) {
		one, rounds := runOn(2*seed, 0.15)
		other, _ := runOn(2*seed+1, 0.15)
		if rounds > 120 {
			more++
		}
		for _, r := range []*report{one, other} {
			if add := r.Rows[0]; !add.repeats() || add.met() != "met" {
				t.Errorf("run %d: %+v", seed, add)
			}
		}
		var said bytes.Buffer
		one.Rows, other.Rows = one.Rows[:1], other.Rows[:1]
		if err := one.differences(other, &said); err != nil || !strings.HasPrefix(said.String(), "0 of 1 rows differ") {
			t.Errorf("runs %d: %s%v", seed, said.String(), err)
		}
	}
	if more == 0 {
		t.Error("no run went on until its ratio was precise")
	}
}

// A run on a machine that is too noisy ends, says so, and does not judge.
func TestANoisyMachineIsSaid(t *testing.T) {
	t.Parallel()
	r, rounds := runOn(1, 3)
	if add := r.Rows[0]; rounds != 360 || add.repeats() || add.met() != "unsure" {
		t.Errorf("after %d rounds: %+v, %s", rounds, add, add.met())
	}
	said := r.noise()
	if !strings.Contains(said, "Of 1 ratios with a target another run has 0 the same") || !strings.Contains(said, "too noisy") {
		t.Error(said)
	}
}

// The error is that of 19 of 20 runs: so often the true ratio is within it.
func TestTheErrorIsThatOfNineteenInTwenty(t *testing.T) {
	t.Parallel()
	const runs = 1000
	for q, truth := range map[float64]float64{0.5: math.Ln2, 0.95: math.Log(20)} {
		within := 0
		for seed := range uint64(runs) {
			chance := rand.New(rand.NewPCG(seed, 2))
			list := make([]float64, 200)
			for i := range list {
				list[i] = chance.ExpFloat64()
			}
			if math.Abs(quantile(list, q)-truth) <= errorOf(list, q) {
				within++
			}
		}
		if within < 0.92*runs || within > 0.99*runs {
			t.Errorf("quantile %v: the true one is within the error in %d of %d runs", q, within, runs)
		}
	}
}

// What differs between two runs is named; what both knew to be noisy is told from the rest.
func TestDifferencesAreNamed(t *testing.T) {
	t.Parallel()
	line := func(measure string, ratio, err float64) row {
		return row{Group: "g", Measure: measure, Ratio: ratio, Error: err}
	}
	one := &report{Rows: []row{line("same", 1, 0.01), line("noisy", 1, 0.2), line("slower", 1, 0.01), line("mine", 1, 0)}}
	other := &report{Rows: []row{line("same", 1.04, 0.01), line("noisy", 0.9, 0.01), line("slower", 0.95, 0.02), line("theirs", 2, 0)}}
	var said bytes.Buffer
	if err := one.differences(other, &said); err != nil {
		t.Fatal(err)
	}
	const want = "g: noisy: 1.00 ± 0.20, 0.90 ± 0.01, noisy\n" +
		"g: slower: 1.00 ± 0.01, 0.95 ± 0.02, DIFFERENT\n" +
		"2 of 3 rows differ by 5 % or more, 1 of them in spite of a small error.\n"
	if said.String() != want {
		t.Errorf("got\n%s", said.String())
	}
}
