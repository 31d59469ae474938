//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

func ipamState(n *node.Node) string { return filepath.Join(n.DataDir(), "azure-vnet-ipam.json") }

// reserved reads the file itself: address → container ID. The file is whole, whatever happened.
func (l *lab) reserved(n *node.Node) map[string]string {
	l.Helper()
	var f struct {
		Records []struct{ Address, ContainerID string }
	}
	if err := json.Unmarshal([]byte(l.read(ipamState(n))), &f); err != nil {
		l.Fatalf("the state file is not whole: %v", err)
	}
	held := map[string]string{}
	for _, r := range f.Records {
		if held[r.Address] != "" {
			l.Errorf("%s is reserved for %s and for %s", r.Address, held[r.Address], r.ContainerID)
		}
		held[r.Address] = r.ContainerID
	}
	return held
}

// add1 runs ADD and returns the address, or the code of the error. It may be called from any goroutine.
func (l *lab) add1(n *node.Node, id string) (address string, code uint) {
	r, err := n.Exec(l.ctx, l.ipamCall(n, "ADD", id, nil))
	if err != nil {
		l.Errorf("ADD %s: %v", id, err)
		return "", 999
	}
	if r.Exit != 0 {
		var e types.Error
		if err := json.Unmarshal(r.Stdout, &e); err != nil || e.Code != 100 {
			l.Errorf("ADD %s: %s %s", id, r.Stdout, r.Stderr)
		}
		return "", e.Code
	}
	var result types100.Result
	if err := json.Unmarshal(r.Stdout, &result); err != nil || len(result.IPs) != 1 {
		l.Errorf("ADD %s: %s (%v)", id, r.Stdout, err)
		return "", 999
	}
	return result.IPs[0].Address.IP.String(), 0
}

func TestManyProcessesAtOnceOnOnePool(t *testing.T) {
	t.Parallel()
	for _, processes := range []int{250, 300} {
		t.Run(fmt.Sprint(processes, " on a pool of 250"), func(t *testing.T) {
			const size = 250
			l := newLab(t, fabric.Default(1, size))
			n := l.nodes[0]
			var mu sync.Mutex
			given, full := map[string]string{}, 0
			each(processes, func(i int) {
				id := fmt.Sprintf("c%d", i)
				a, code := l.add1(n, id)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case code == 100:
					full++
				case given[a] != "":
					t.Errorf("%s is given to %s and to %s", a, given[a], id)
				default:
					given[a] = id
				}
			})
			if len(given) != size || full != processes-size {
				t.Errorf("%d addresses are given, %d calls get code 100", len(given), full)
			}
			if held := l.reserved(n); !maps.Equal(held, given) {
				t.Errorf("the file has %d reservations, or others: %v", len(held), held)
			}
		})
	}
}

// mixedTime is how long ADDs and DELs are mixed. Nothing that is asserted depends on how many there were.
const mixedTime = 30 * time.Second

// worker calls for containers that nobody else calls for.
type worker struct {
	*lab
	n    *node.Node
	rand *rand.Rand
	mine map[string]string // container → address
	mu   *sync.Mutex
	used map[string]string // address → container, of all workers
	full *int
}

func (w *worker) step(number, i int) {
	id := fmt.Sprintf("w%d-%d", number, w.rand.IntN(10))
	if a, has := w.mine[id]; has {
		w.mu.Lock()
		delete(w.used, a)
		w.mu.Unlock()
		delete(w.mine, id)
		r, err := w.n.Exec(w.ctx, w.ipamCall(w.n, "DEL", id, nil))
		if err != nil || r.Exit != 0 {
			w.Errorf("operation %d: DEL %s: %v %s", i, id, err, r.Stdout)
		}
		return
	}
	a, code := w.add1(w.n, id)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case code != 0:
		*w.full++
	case w.used[a] != "":
		w.Errorf("operation %d: %s is given to %s, and %s has it", i, a, id, w.used[a])
	default:
		w.used[a], w.mine[id] = id, a
	}
}

func TestAddsAndDelsMixed(t *testing.T) {
	const workers, size = 16, 60
	l := newLab(t, fabric.Default(1, size))
	n := l.nodes[0]
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	used, full := map[string]string{}, 0
	var operations atomic.Int64
	end := time.Now().Add(mixedTime)
	each(workers, func(number int) {
		w := &worker{l, n, rand.New(rand.NewPCG(seed, uint64(number))), map[string]string{}, &mu, used, &full}
		for i := 0; time.Now().Before(end); i++ {
			w.step(number, i)
			operations.Add(1)
		}
	})
	if held := l.reserved(n); !maps.Equal(held, used) {
		t.Errorf("the file has\n%v\ninstead of\n%v", held, used)
	}
	t.Logf("%d operations, %d of them found the pool full, %d addresses are in use at the end", operations.Load(), full, len(used))
	each(workers, func(number int) {
		for i := range 10 {
			l.wantDel(n, fmt.Sprintf("w%d-%d", number, i))
		}
	})
	if held := l.reserved(n); len(held) != 0 {
		t.Errorf("after all DELs: %v", held)
	}
	each(size, func(i int) { // and all of them can be given again
		if _, code := l.add1(n, fmt.Sprintf("again%d", i)); code != 0 {
			t.Errorf("container %d gets code %d on an empty pool", i, code)
		}
	})
}

func (l *lab) wantDel(n *node.Node, id string) {
	r, err := n.Exec(l.ctx, l.ipamCall(n, "DEL", id, nil))
	if err != nil || r.Exit != 0 {
		l.Errorf("DEL %s: %v %s", id, err, r.Stdout)
	}
}

// temporaries are what killed processes leave in the data folder; the next one to write removes them.
func temporaries(n *node.Node) []string {
	entries, _ := os.ReadDir(n.DataDir())
	var found []string
	for _, e := range entries {
		if strings.Contains(e.Name(), ".tmp-") {
			found = append(found, e.Name())
		}
	}
	slices.Sort(found)
	return found
}
