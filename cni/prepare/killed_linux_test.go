package prepare

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// helper is the folder of the node that the process prepares and restores, in place of the tests.
const helper = "PREPARE_TEST_ROOT"

func TestMain(m *testing.M) {
	root := os.Getenv(helper)
	if root == "" {
		os.Exit(m.Run())
	}
	n := Node{Root: root, Bridged: true, NICs: nics}
	silent := func(string, ...any) {}
	for _, do := range []func() error{
		func() error { return n.Prepare(context.Background(), false, silent) },
		func() error { return n.Restore(context.Background(), false, silent) },
	} {
		if err := do(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(0)
}

// Killed at any call that changes a file: whoever prepares the node again, and restores it, leaves it as it was.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"etc/systemd/network/10-netplan-eth0.network.d/": ""} // somebody has made the folder
	for name, content := range ubuntu {
		files[name] = content
	}
	killed := 0
	for _, call := range []string{"mkdirat", "linkat", "renameat", "unlinkat", "fsync", "write"} {
		for at := 1; ; at++ {
			root := tree(t, []map[string]string{ubuntu, files}[at%2])
			before := listing(t, root)
			at := (at + 1) / 2
			cmd := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call, "-e",
				fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, at), self)
			cmd.Env = append(os.Environ(), helper+"="+root, "GOMAXPROCS=1")
			if cmd.Run() == nil {
				break // it has fewer of these calls
			}
			killed++
			n := Node{Root: root, Bridged: true, NICs: nics}
			var s said
			if err = n.Prepare(t.Context(), false, s.say); err == nil {
				err = n.Restore(t.Context(), false, s.say)
			}
			if err != nil {
				t.Errorf("killed at %s %d: %v", call, at, err)
			}
			if diff := cmp.Diff(before, listing(t, root)); diff != "" {
				t.Errorf("killed at %s %d, the node is not as it was:\n%s", call, at, diff)
			}
		}
	}
	if killed < 60 {
		t.Errorf("it was killed at %d points only", killed)
	}
}
