package ipamplugin

import (
	"context"
	"io"
	"strings"
	"testing"
)

// The documents are compared with the usage text (test/docs), so that text has to be what is taken.
func TestUsageIsWhatIsTaken(t *testing.T) {
	t.Parallel()
	if want := "azure-vnet-ipam show [-o json] [--data-dir DIR] "; !strings.Contains(usage, want) {
		t.Fatalf("the usage text lacks %q", want)
	}
	dir := t.TempDir()
	for _, args := range [][]string{{"show", "-o", "json", "--data-dir", dir}, {"show", "--data-dir", dir}} {
		if code := operator(context.Background(), args, io.Discard, io.Discard); code != 0 {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	for _, args := range [][]string{{"show", "--config", dir}, {"show", "--data-dir", dir, "more"}, {"show", "-o", "yaml", "--data-dir", dir}, {"doctor"}} {
		if code := operator(context.Background(), args, io.Discard, io.Discard); code != 2 {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}
