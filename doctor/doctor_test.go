package doctor

import (
	"testing"

	"github.com/Azure/azure-container-networking/finding"
	"github.com/google/go-cmp/cmp"
)

// What only one of two looks shows was a command under way; what no command does is believed at once.
func TestLasting(t *testing.T) {
	t.Parallel()
	find := func(check, found string, passing bool) finding.Finding {
		return finding.Finding{Check: check, Level: finding.Failure, Found: found, Transient: passing}
	}
	first := []finding.Finding{find("locks", "held by 1", true), find("addresses", "a", true), find("addresses", "b", true)}
	second := []finding.Finding{find("locks", "held by 2", true), find("addresses", "b", true), find("addresses", "c", true),
		find("bridge", "down", false)}
	want := []finding.Finding{
		{Check: "locks", Level: finding.OK, Found: "nothing but commands under way"},
		find("addresses", "b", true), find("bridge", "down", false),
	}
	if diff := cmp.Diff(want, (&Examination{}).lasting(first, second)); diff != "" {
		t.Error(diff)
	}
}
