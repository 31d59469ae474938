//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// AgainWithNames runs tests of the same program once more where every number has a name: iproute2 and nft show names
// where the machine has some, for tables, protocols, marks and the like, and people do name their tables.
func AgainWithNames(t *testing.T, tests ...string) {
	t.Helper()
	dir := t.TempDir()
	for file, known := range map[string]string{
		"rt_tables": "255 local\n254 main\n253 default\n", "rt_protos": "2 kernel\n3 boot\n4 static\n16 dhcp\n",
		"rt_scopes": "0 global\n255 nowhere\n254 host\n253 link\n",
		"rt_realms": "", "rt_dsfield": "", "group": "0 default\n", "rt_marks": "0x20000 ours\n0x0 zero\n",
	} {
		var b strings.Builder
		for n := 1; n < 253; n++ {
			if !strings.Contains("\n"+known, fmt.Sprintf("\n%d ", n)) {
				fmt.Fprintf(&b, "%d name%d\n", n, n)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(known+b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := "mount --make-rprivate / && mount -t tmpfs tmpfs /etc && mkdir /etc/iproute2 && cp " + dir + `/* /etc/iproute2 && exec "$@"`
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", names, "sh", os.Args[0], "-test.v", "-test.run",
		"^("+strings.Join(tests, "|")+")$")
	// The kernel kills the child when the thread that made it ends, not the process (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "\n--- PASS: ") != len(tests) {
		t.Errorf("%v\n%s", err, out)
	}
}
