//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

const kills = 200

// killed starts a call and kills it after a while. It says whether the process was still there, and how long it was
// there after the start: of that the machine may take most when it is busy.
func (l *lab) killed(n *node.Node, c node.Call, after time.Duration) (killed bool, took time.Duration) {
	l.Helper()
	cmd := n.VM.Ns.Command(l.ctx, filepath.Join(binaries, c.Plugin))
	cmd.Env = []string{"CNI_COMMAND=" + c.Command, "CNI_CONTAINERID=" + c.ContainerID, "CNI_NETNS=" + c.NetNS,
		"CNI_IFNAME=" + c.IfName, "CNI_PATH=" + binaries}
	cmd.Stdin = bytes.NewReader(c.Conf)
	l.must(cmd.Start())
	begun := time.Now()
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.Fatal(err)
	}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return status.Signaled(), time.Since(begun)
}

// A process that dies at any point leaves a whole file, and every address with one owner or with none. Nobody
// waits for what it held.
func TestKilledAtAnyPoint(t *testing.T) {
	const size = 8
	l := newLab(t, fabric.Default(1, size))
	n := l.nodes[0]
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	own := l.duration(n)
	attempts := 0
	for killed := 0; killed < kills; attempts++ {
		if attempts == 10*kills {
			t.Fatalf("only %d of %d processes were killed before their end", killed, attempts)
		}
		if random.IntN(10) == 0 {
			// The source's first answer is the longest way, and the one that replaces most.
			l.must(removeAll(ipamState(n), ipamState(n)+".bak"))
			l.given(n, l.ipamCall(n, "ADD", "resident", nil))
		}
		id := fmt.Sprintf("c%d", random.IntN(size-1))
		command := "ADD" // or what else has something to write
		if slices.Contains(slices.Collect(maps.Values(l.reserved(n))), id) {
			command = "DEL"
		}
		dead, took := l.killed(n, l.ipamCall(n, command, id, nil), time.Duration(random.Int64N(int64(own))))
		if !dead {
			own = max(took, own/2) // the machine is not always as fast
			continue
		}
		own += own / 8 // kills that all come early would be as little use as those that come too late
		killed++
		if held := l.reserved(n); len(held) > size || !slices.Contains(slices.Collect(maps.Values(held)), "resident") {
			t.Fatalf("after kill %d (%s %s): %v", killed, command, id, held)
		}
		if killed%4 == 0 { // the next calls do their work, and get the killed one's lock
			l.wantDel(n, id)
			a := l.given(n, l.ipamCall(n, "ADD", id, nil))
			if held := l.reserved(n); len(a) != 1 || held[strings.TrimSuffix(a[0], "/16")] != id {
				t.Fatalf("after kill %d: %v is given, the file has %v", killed, a, held)
			}
			if left := temporaries(n); len(left) > 0 {
				t.Errorf("temporary files stay: %v", left)
			}
		}
	}
	t.Logf("%d calls for %d kills; a call takes %s", attempts, kills, own)
	for i := range size - 1 {
		l.wantDel(n, fmt.Sprintf("c%d", i))
	}
	l.wantDel(n, "resident")
	for i := range size {
		if _, code := l.add1(n, fmt.Sprintf("again%d", i)); code != 0 {
			t.Errorf("an address is lost: container %d of %d gets code %d", i, size, code)
		}
	}
}

// duration is what a call that writes takes here and now. It leaves the container "resident" with an address.
func (l *lab) duration(n *node.Node) time.Duration {
	l.Helper()
	l.given(n, l.ipamCall(n, "ADD", "first", nil))
	l.wantDel(n, "first")
	begun := time.Now()
	l.given(n, l.ipamCall(n, "ADD", "resident", nil))
	return time.Since(begun)
}

func removeAll(paths ...string) error {
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
