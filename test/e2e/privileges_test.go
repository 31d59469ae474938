//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// below runs a command of azure-vnet below another program.
func (l *lab) below(n *node.Node, program []string, command, netns string, conf []byte, env ...string) node.Reply {
	l.Helper()
	cmd := n.VM.Ns.Command(l.ctx, program[0], append(program[1:], filepath.Join(binaries, "azure-vnet"))...)
	cmd.Env = append([]string{"CNI_COMMAND=" + command, "CNI_CONTAINERID=c1", "CNI_NETNS=" + netns, "CNI_IFNAME=eth0",
		"CNI_PATH=" + binaries}, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(conf), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.Fatalf("%v: %v", program, err)
	}
	r := node.Reply{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	if exit != nil {
		r.Exit = exit.ExitCode()
	}
	return r
}

// docs/host.md, Privileges: two capabilities are enough for every command, in every mode, and neither is too many.
func TestTwoCapabilitiesAreEnough(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 3))
			n := l.nodes[0]
			conf := l.conf(n, map[string]any{"mode": mode, "ipam": bothFamilies, "ipMasq": true, "acceptForward": true})
			ns, err := n.VM.NewPod("pod")
			l.must(err)
			// Runtimes name a pod's namespace by a file that it is mounted on; what is below /proc needs more than the file.
			mounted := filepath.Join(t.TempDir(), "netns")
			l.must(os.WriteFile(mounted, nil, 0o600))
			with := func(capabilities string) []string {
				script := "mount --make-rprivate / && mount --bind " + ns.Path() + " " + mounted + " && exec setpriv --bounding-set -all" +
					capabilities + ` --inh-caps -all -- "$@"`
				return []string{"/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, "sh"}
			}
			for _, lacks := range []string{",+net_admin", ",+sys_admin"} {
				if r := l.below(n, with(lacks), "ADD", mounted, conf); r.Exit == 0 {
					t.Errorf("ADD with no capability but %s succeeds: the other is not needed", lacks)
				}
			}
			enough := with(",+net_admin,+sys_admin")
			added := l.below(n, enough, "ADD", mounted, conf)
			l.wantSuccess(added)
			prev := strings.Replace(string(conf), "{", `{"prevResult":`+string(added.Stdout)+",", 1)
			l.wantSuccess(l.below(n, enough, "CHECK", mounted, []byte(prev)))
			l.wantSuccess(l.below(n, enough, "STATUS", "", conf))
			gc := strings.Replace(string(conf), "{", `{"cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}],`, 1)
			l.wantSuccess(l.below(n, enough, "GC", "", []byte(gc)))
			l.wantSuccess(l.below(n, enough, "DEL", mounted, conf))
			if left := l.leftovers(n); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// What is in the environment beside CNI_* changes nothing: whatever could lead an ADD astray, it looks at no other file
// and connects to nobody else.
func TestTheEnvironmentChangesNothing(t *testing.T) {
	l := newLab(t, fabric.Default(1, 2))
	n := l.nodes[0]
	ns, err := n.VM.NewPod("pod")
	l.must(err)
	trace := n.Dir + "/trace"
	strace := []string{"/usr/bin/strace", "-f", "-qq", "-e", "trace=openat,newfstatat,connect,execve", "-o", trace}
	r := l.below(n, strace, "ADD", ns.Path(), l.conf(n, nil),
		"HTTP_PROXY=http://192.0.2.66:1", "http_proxy=http://192.0.2.66:1", "ALL_PROXY=http://192.0.2.66:1", "TMPDIR=/trap",
		"HOME=/trap", "XDG_RUNTIME_DIR=/trap",
		"XDG_CONFIG_HOME=/trap", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/trap/bus", "DBUS_SESSION_BUS_ADDRESS=unix:path=/trap/bus",
		"LOCALDOMAIN=trap", "ZONEINFO=/trap",
		"TZ=:/trap/zone", "SSL_CERT_FILE=/trap", "LD_PRELOAD=/trap/lib.so", "LD_LIBRARY_PATH=/trap", "PATH=/trap", "AZURE_VNET_TRAP=1")
	l.wantSuccess(r)
	text := l.read(trace)
	if !strings.Contains(text, "/azure-vnet.json") {
		t.Fatalf("the trace does not show what is opened: %.1000s", text)
	}
	for line := range strings.Lines(text) {
		// strace itself executes the plugin with that environment, and loads a library for it.
		if strings.Contains(line, "trap") || strings.Contains(line, "192.0.2.66") {
			t.Errorf("the environment leads to %s", line)
		}
	}
}
