//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

const measured = "MEASURE_PLUGIN" // the plugin that TestHelperOfTheMeasurement executes

// TestHelperOfTheMeasurement is no test. A process inherits the peak memory of the one that starts it (fs/exec.c,
// setmax_mm_hiwater_rss), and this test binary has had more than the plugin may: so a fresh and small copy of it starts
// the plugin, and prints the plugin's peak behind its output, in KiB.
func TestHelperOfTheMeasurement(t *testing.T) {
	plugin := os.Getenv(measured)
	if plugin == "" {
		t.Skip("runs in a process of its own")
	}
	cmd := exec.CommandContext(t.Context(), plugin)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatalf("no usage: %v", err)
	}
	fmt.Printf("\npeak %d exit %d\n", usage.Maxrss, cmd.ProcessState.ExitCode())
}

// peak executes a plugin and returns its reply and its peak memory in bytes.
func (l *lab) peak(n *node.Node, c node.Call) (r node.Reply, peak int64) {
	l.Helper()
	cmd := n.VM.Ns.Command(l.ctx, os.Args[0], "-test.run=^TestHelperOfTheMeasurement$")
	cmd.Env = []string{"CNI_COMMAND=" + c.Command, "CNI_CONTAINERID=" + c.ContainerID, "CNI_NETNS=" + c.NetNS,
		"CNI_IFNAME=" + c.IfName, "CNI_PATH=" + binaries,
		measured + "=" + filepath.Join(binaries, c.Plugin), "AZURE_CNI_BIN=" + binaries, "REFERENCE_CNI_BIN=" + reference}
	cmd.Stdin = bytes.NewReader(c.Conf)
	out, err := cmd.Output()
	l.must(err)
	reply, rest, ok := strings.Cut(string(out), "\npeak ")
	if _, err := fmt.Sscanf(rest, "%d exit %d", &peak, &r.Exit); err != nil || !ok {
		l.Fatalf("the helper says %q (%v)", out, err)
	}
	r.Stdout = []byte(reply)
	return r, peak << 10
}

// Whatever the host agent answers, the plugin's memory stays bounded, the cause is named, and what is known serves.
func TestMemoryStaysBoundedWhateverTheHostAgentAnswers(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	const limit = 64 << 20
	many := "<Interfaces>" + strings.Repeat(
		`<Interface MacAddress="000D3A000001"><IPSubnet Prefix="10.240.0.0/16"><IPAddress Address="10.240.7.7"/></IPSubnet></Interface>`, 60_000)
	deep := strings.Repeat("<Interfaces>", 300_000)
	entity := `<!DOCTYPE a [<!ENTITY b "` + strings.Repeat("b", 1<<20) + `">]><Interfaces>&b;&b;&b;</Interfaces>`
	for name, f := range map[string]ipamtest.Fault{
		"100 MB":              {HugeBytes: 100 << 20},
		"too many subnets":    {Body: &many},
		"a nest without end":  {Body: &deep},
		"an entity of 1 MB":   {Body: &entity},
		"100 MB of an error":  {HugeBytes: 100 << 20, Status: 500},
		"100 MB of text/html": {HugeBytes: 100 << 20, ContentType: "text/html"},
	} {
		n.VM.Agent.SetFault(f)
		l.must(removeAll(ipamState(n), ipamState(n)+".bak"))
		r, peak := l.peak(n, l.ipamCall(n, "ADD", "c", nil))
		e := l.wantError(r, 11)
		t.Logf("%s: %d MiB; %.150s", name, peak>>20, e.Msg)
		if peak > limit {
			t.Errorf("%s: the plugin takes %d MiB", name, peak>>20)
		}
		if len(e.Msg) > 2000 {
			t.Errorf("%s: a message of %d bytes", name, len(e.Msg))
		}
	}
	// The longest answer that is a good one: as many addresses as fit, none beside another.
	var all strings.Builder
	for a := addr("10.240.1.0"); all.Len() < 4<<20-1000; a = a.Next().Next() {
		fmt.Fprintf(&all, `<IPAddress Address="%s"/>`, a)
	}
	huge := `<Interfaces><Interface MacAddress="000D3A000001"><IPSubnet Prefix="10.0.0.0/8">` + all.String() +
		`</IPSubnet></Interface></Interfaces>`
	n.VM.Agent.SetFault(ipamtest.Fault{Body: &huge})
	l.must(removeAll(ipamState(n), ipamState(n)+".bak"))
	for _, id := range []string{"c", "d"} {
		r, peak := l.peak(n, l.ipamCall(n, "ADD", id, nil))
		l.wantSuccess(r)
		t.Logf("%d addresses: %d MiB", strings.Count(huge, "/>"), peak>>20)
		if peak > limit {
			t.Errorf("with %d addresses the plugin takes %d MiB", strings.Count(huge, "/>"), peak>>20)
		}
	}
}
