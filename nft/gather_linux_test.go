package nft

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel leaves elements out while a table grows: whatever one listing shows is there, each once, and a listing
// without anything new is the last one.
func TestASetIsListedUntilNothingIsNew(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		listings string // of keys; the last one is repeated
		all      string
		asked    int
	}{
		"all at once":            {"ab", "ab", 2},
		"nothing":                {"", "", 1},
		"one is left out":        {"ab bc abc", "abc", 3},
		"one is left out later":  {"abc ab", "abc", 2},
		"one is there twice":     {"aab ab", "ab", 2},
		"there is no end of new": {"a b c d e f", "abcde", 5},
	} {
		listings, asked := strings.Split(test.listings, " "), 0
		list, err := gather(func() (iter.Seq[element], error) {
			keys := listings[min(asked, len(listings)-1)]
			asked++
			return func(yield func(element) bool) {
				for i := range len(keys) {
					if !yield(element{key: []byte{keys[i]}}) {
						return
					}
				}
			}, nil
		})
		var all []byte
		for _, e := range list {
			all = append(all, e.Key...)
		}
		if slices.Sort(all); err != nil || string(all) != test.all || asked != test.asked {
			t.Errorf("%s: %q in %d listings, %v", name, all, asked, err)
		}
	}
	for err, want := range map[error]error{unix.ENOENT: nil, unix.EPERM: unix.EPERM} {
		list, got := gather(func() (iter.Seq[element], error) { return nil, err })
		if len(list) > 0 || !errors.Is(got, want) {
			t.Errorf("%v: %v, %v", err, list, got)
		}
	}
}
