package manager_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/manager"
	"github.com/Azure/azure-container-networking/network/networktest"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
)

// architecture.md, invariants 1 and 2: whenever the host is about to change, the intent is on disk, and the
// store's lock is free.
func TestTheHostOnlyChangesWithTheIntentOnDiskAndTheLockFree(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(*lab)
		command func(process) error
	}{
		"ADD":                          {func(*lab) {}, addC1},
		"ADD after an interrupted one": {func(l *lab) { l.interrupt(c1) }, addC1},
		"DEL":                          {func(l *lab) { l.add(c1) }, func(p process) error { return p.Delete(context.Background(), c1) }},
		"GC": {func(l *lab) { l.add(c1) }, func(p process) error {
			_, _, err := p.Collect(context.Background(), "azure", func(string, string) bool { return false })
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			test.prepare(l)
			p := l.start()
			var seen []string
			p.host.Hook = func(s networktest.Step) {
				if s.Method == networktest.Write {
					return // the store's own: under its lock
				}
				if l.lockHeld() {
					t.Errorf("%s is called under the store's lock", s.Method)
				}
				if s.Method == "Sweep" {
					return // of what is in no record
				}
				n := l.state().Networks["azure"]
				if n == nil || n.Endpoints.Get("c1/eth0") == nil {
					t.Errorf("%s %s: no record on disk", s.Method, s.Moment)
					return
				}
				e := n.Endpoints.Get("c1/eth0")
				seen = append(seen, s.Method)
				if strings.HasPrefix(name, "ADD") && e.State != network.Pending || !slices.Equal(e.Addresses, prefixes("10.240.1.1/16")) ||
					e.HostIfName != c1.HostIfName() {
					t.Errorf("%s %s: the record is %+v", s.Method, s.Moment, e)
				}
			}
			if err := test.command(p); err != nil {
				t.Error(err)
			}
			if len(seen) == 0 {
				t.Error("the host was not changed at all")
			}
		})
	}
}

func addC1(p process) error {
	_, err := p.Add(context.Background(), bridgeMode, pod(c1))
	return err
}

// lockHeld says whether another process cannot get the store's lock. The lock is tried once before the
// context is looked at.
func (l *lab) lockHeld() bool {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // runs out only when the test fails
	defer cancel()
	return store.New(store.Options[network.State]{Path: l.path}).Update(ctx, func(*network.State) error { return nil }) != nil
}

func TestManyPodsStartAtOnce(t *testing.T) {
	t.Parallel()
	const pods = 64
	var namespaces []string
	for i := range pods {
		namespaces = append(namespaces, fmt.Sprintf("/ns/p%02d", i))
	}
	l := newLab(t)
	l.Host, l.path = networktest.New(namespaces...), filepath.Join(t.TempDir(), "azure-vnet.json")
	shared := store.New(store.Options[network.State]{Path: l.path})
	// Each is a process of its own, the store aside: a Manager lasts for one command.
	each := func(do func(m *manager.Manager, e *network.Endpoint) error) {
		var wg sync.WaitGroup
		for i, ns := range namespaces {
			wg.Go(func() {
				e := &network.Endpoint{Owner: network.Owner{Network: "azure", ContainerID: fmt.Sprintf("p%02d", i), IfName: "eth0"}, NetNS: ns,
					Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 240, 1, byte(i)}), 16)}}
				m := &manager.Manager{Store: shared, Dataplane: l.Process(), Interfaces: func() ([]platform.Interface, error) { return nics(), nil },
					Now: now}
				if err := do(m, e); err != nil {
					t.Errorf("%s: %v", e.Owner, err)
				}
			})
		}
		wg.Wait()
	}
	each(func(m *manager.Manager, e *network.Endpoint) error {
		_, err := m.Add(t.Context(), bridgeMode, e)
		return err
	})
	text := l.String()
	if ready, veths, elements := strings.Count(text, "ready p"), strings.Count(text, "veth azv"),
		strings.Count(text, "element of azure2"); ready != pods || veths != pods || elements != pods {
		t.Errorf("%d ready, %d veths, %d elements\n%s", ready, veths, elements, text)
	}
	if was := l.state().Networks["azure"].Sysctls["net/ipv4/ip_forward"]; was != "0" {
		t.Errorf("ip_forward was %q: the first one saw 0", was)
	}
	each(func(m *manager.Manager, e *network.Endpoint) error { return m.Delete(t.Context(), e.Owner) })
	l.want(azureWithoutPods)
}
