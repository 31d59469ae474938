//go:build linux

package install

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// A kubelet calls the plugins at any moment while they are being replaced.
func TestUpgradesUnderLoad(t *testing.T) {
	const upgrades, kubelets = 50, 2
	m := newMachine(t, distributions[0], fabric.Default(1, 8))
	m.release(older, "/media/0")
	m.repack(newer, "/media/1", map[string]string{"10-azure.conflist": otherConflist(m)})
	m.installs("installed "+older, "--from", "/media/0")
	staying := m.add()

	var stop atomic.Bool
	var calls atomic.Int64
	var wg sync.WaitGroup
	for range kubelets {
		wg.Go(func() {
			for !stop.Load() && !t.Failed() {
				// The configuration is read anew each time, as a runtime does that sees it change.
				pod, err := m.node.AddPod(m.ctx, m.list())
				if err != nil {
					t.Error(err)
					return
				}
				if err = pod.Del(m.ctx); err != nil {
					t.Error(err)
					return
				}
				_ = pod.NS.Close()
				calls.Add(2)
			}
		})
	}
	for i := 1; i <= upgrades && !t.Failed(); i++ {
		// Never faster than the calls: each upgrade meets one.
		for seen := calls.Load(); calls.Load() == seen && !t.Failed(); {
			m.reachable(staying)
		}
		m.installs("installed v2.0", "--from", fmt.Sprintf("/media/%d", i%2))
	}
	stop.Store(true)
	wg.Wait()
	m.reachable(staying)
	m.must(staying.Check(m.ctx))
	t.Logf("%d calls during %d upgrades", calls.Load(), upgrades)
}
