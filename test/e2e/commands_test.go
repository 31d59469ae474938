//go:build linux

package e2e

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// operator runs a command for a person, and wants its exit code and words of either output.
func (l *lab) operator(n *node.Node, exit int, says, plugin string, args ...string) {
	l.Helper()
	r, err := n.Operator(l.ctx, plugin, args...)
	l.must(err)
	if all := string(r.Stdout) + string(r.Stderr); r.Exit != exit || !strings.Contains(all, says) {
		l.Errorf("%s %v: exit %d instead of %d, %q is not in\n%s", plugin, args, r.Exit, exit, says, all)
	}
}

// Commands find the folder of the state by the configuration.
func TestCommandsFindTheState(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	p := l.add(n, l.list(n, nil))
	conf := l.confFile(n)
	l.operator(n, 0, "default/pod-"+p.ID[:8], "azure-vnet", "show", "--config", conf)
	l.operator(n, 0, "Netns:", "azure-vnet", "show", "pod-"+p.ID[:8], "--config", conf)
	l.operator(n, 1, "there is no pod or container nobody", "azure-vnet", "show", "nobody", "--config", conf)
	l.operator(n, 0, "default/pod-"+p.ID[:8], "azure-vnet-ipam", "show", "--config", conf)
	l.operator(n, 0, "the addresses are free", "azure-vnet", "cleanup", "--yes", "--config", conf)
	if left := l.leftovers(n); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A dry run, and Ctrl-C at the question, change nothing.
func TestCleanupThatIsNotWanted(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	p := l.add(n, l.list(n, nil))
	l.operator(n, 0, "This is a dry run: nothing was changed.", "azure-vnet", "cleanup", "--dry-run", "--data-dir", n.DataDir())
	l.must(p.Check(l.ctx))
	cmd := n.Command(l.ctx, filepath.Join(binaries, "azure-vnet"), "cleanup", "--data-dir", n.DataDir())
	keyboard, terminal, err := os.Pipe()
	l.must(err)
	defer keyboard.Close()
	defer terminal.Close()
	cmd.Stdin = keyboard
	stdout, err := cmd.StdoutPipe()
	l.must(err)
	l.must(cmd.Start())
	said := bufio.NewReader(stdout)
	for text := ""; !strings.HasSuffix(text, "[y/N] "); {
		b, err := said.ReadByte()
		l.must(err)
		text += string(b)
	}
	l.must(cmd.Process.Signal(syscall.SIGINT))
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("Ctrl-C: %v", err)
	}
	l.must(p.Check(l.ctx))
}

// Somebody who is not root is told what to do, and nothing else.
func TestShowWithoutRoot(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	n.Mounts = n.DefaultPaths()
	l.add(n, l.list(n, map[string]any{"dataDir": nil, "logFile": nil}))
	for plugin, want := range map[string]string{
		"azure-vnet": "azure-vnet: state file cannot be read: open /var/run/azure-vnet.json: permission denied; remedy: run it as root: " +
			"sudo BIN/azure-vnet show\n",
		"azure-vnet-ipam": "azure-vnet-ipam: state file cannot be read: open /var/run/azure-vnet-ipam.json: permission denied; remedy: run it " +
			"as root: sudo BIN/azure-vnet-ipam show\n",
	} {
		cmd := n.Command(l.ctx, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", filepath.Join(binaries, plugin), "show")
		out, _ := cmd.CombinedOutput()
		if got := strings.ReplaceAll(string(out), binaries, "BIN"); cmd.ProcessState.ExitCode() != 1 || got != want {
			t.Errorf("%s: exit %d:\n%s%s", plugin, cmd.ProcessState.ExitCode(), got, want)
		}
	}
}

// A person frees what a container holds that nobody has any more, and asks the source at once.
func TestReleaseAndRefresh(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	p := l.add(n, l.list(n, nil))
	conf := l.confFile(n)
	l.operator(n, 0, "addresses (as before)", "azure-vnet-ipam", "refresh", "--config", conf)
	_, pools := l.state(n)
	address := pools.Pools[0].Reservations[0].Address
	l.operator(n, 1, "a container has "+address, "azure-vnet-ipam", "release", address, "--config", conf)
	l.operator(n, 1, "address in use", "azure-vnet-ipam", "release", p.ID, "--config", conf)
	l.must(p.Check(l.ctx))
}

// azure-vnet-ipam has a doctor of its own, for addresses, whoever the network plugin is.
func TestDoctorOfAddresses(t *testing.T) {
	l := newLab(t, fabric.Default(1, 1))
	n := l.nodes[0]
	conf := l.confFile(n)
	l.add(n, l.list(n, nil))
	l.operator(n, 2, "0 of 1 addresses are free", "azure-vnet-ipam", "doctor", "--config", conf)
	r, err := n.Operator(l.ctx, "azure-vnet-ipam", "doctor", "-o", "json", "--config", conf)
	l.must(err)
	var said struct {
		Findings []struct{ Check string }
	}
	oneDocument(t, r.Stdout, &said)
	var checks []string
	for _, f := range said.Findings {
		checks = append(checks, f.Check)
	}
	for _, check := range []string{"pools", "host-agent", "addresses"} {
		if !slices.Contains(checks, check) {
			t.Errorf("%s is not among %v", check, checks)
		}
	}
	if slices.Contains(checks, "bridge") || slices.Contains(checks, "rules") {
		t.Errorf("what is azure-vnet's own is among %v", checks)
	}
}

// What the state calls ready, and is not there any more, show calls gone.
func TestShowKnowsTheDead(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	list := l.list(n, nil)
	lives, dead := l.add(n, list), l.add(n, list)
	l.must(dead.NS.Close())
	l.eventually("the namespace stays", func() bool {
		r, err := n.Operator(l.ctx, "azure-vnet", "show", dead.ID, "--data-dir", n.DataDir())
		l.must(err)
		return strings.Contains(string(r.Stdout), "State:      gone")
	})
	l.operator(n, 0, "State:      ready", "azure-vnet", "show", lives.ID, "--data-dir", n.DataDir())
	l.operator(n, 0, "", "azure-vnet", "cleanup", "--yes", "--data-dir", n.DataDir())
}
