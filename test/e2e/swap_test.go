//go:build linux

package e2e

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/libcni"
	"golang.org/x/sys/unix"
)

// swapped is a node of the classic plugin, whose programs (the stand-in) are replaced by ours.
type swapped struct {
	*classicNode
	bin   string
	locks string
	pause string
	host  *stream
}

// swapNode is such a node before that. Frames that the classic plugin's rules send back to the fabric do not count.
func (l *lab) swapNode(mode, locks string, old bool) *swapped {
	l.Helper()
	l.broken = true
	s := &swapped{classicNode: l.classicNode(filepath.Join(classicDir, "v1.4.59", mode)),
		bin: filepath.Join(l.nodes[0].Dir, "bin"), locks: locks}
	s.pause = filepath.Join(s.n.Dir, "pause")
	for k, v := range map[string]any{"cniVersion": "0.3.0", "standIn": map[string]any{"locks": locks, "pause": s.pause, "old": old}} {
		s.list[k] = v
	}
	if mode != "transparent" {
		s.list["bridge"] = "azure0"
	}
	self, err := os.Executable()
	l.must(err)
	l.must(os.MkdirAll(s.bin, 0o755))
	for _, p := range []string{"azure-vnet", "azure-vnet-ipam"} {
		l.must(replaceFile(self, filepath.Join(s.bin, p)))
	}
	s.n.Path = []string{s.bin, reference}
	if old {
		s.legacy()
	}
	s.host = s.stream(s.n.VM.Ns, s.fabric.Ns(), remoteHost)
	return s
}

// replaceFile puts a program in place as the installer does.
func replaceFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".new", b, 0o755)
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	return err
}

// swap replaces both programs, in this order.
func (s *swapped) swap(order ...string) {
	s.Helper()
	for _, p := range order {
		s.must(replaceFile(filepath.Join(binaries, p), filepath.Join(s.bin, p)))
	}
}

var bothOrders = map[string][]string{"network plugin first": {"azure-vnet", "azure-vnet-ipam"},
	"IPAM plugin first": {"azure-vnet-ipam", "azure-vnet"}}

// start is an ADD as a runtime calls it: after a failure it takes the sandbox away and tries another one.
func (s *swapped) start(list *libcni.NetworkConfigList) (*node.Pod, error) {
	for {
		p, err := s.n.NewPod(list)
		if err != nil {
			return nil, err
		}
		if err := s.live(p); err != nil {
			return nil, err
		}
		failed := p.Add(s.ctx)
		if failed == nil {
			return p, nil
		}
		if err := s.end(p); err != nil {
			return nil, fmt.Errorf("%w, after %w", err, failed)
		}
	}
}

// live starts a process in the pod, which ends with the test, and is waited for: hundreds of zombies would slow down
// every test after it that looks at all processes.
func (s *swapped) live(p *node.Pod) error {
	cmd := p.NS.Command(s.ctx, "sleep", "3600")
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // killed
	return nil
}

// end is a DEL as a runtime calls it: until it succeeds.
func (s *swapped) end(p *node.Pod) error {
	for {
		err := p.Del(s.ctx)
		if err == nil || s.ctx.Err() != nil {
			return err
		}
	}
}

// verify looks at the node with these pods: each has its network, no two one address, and the state knows just them.
func (s *swapped) verify(pods []*node.Pod) {
	s.Helper()
	if text, err := os.ReadFile(filepath.Join(s.n.DataDir(), harm)); err == nil {
		s.Fatalf("%s: %s", text, harm)
	}
	s.host.flows()
	owner := map[netip.Addr]string{}
	for _, p := range pods {
		if other := owner[p.IP]; other != "" {
			s.Fatalf("%s is the address of %s and %s", p.IP, other, p.ID)
		}
		owner[p.IP] = p.ID
		s.reach("pod "+p.ID[:8], p.NS, "gateway", gateway, ttls[s.mode].fabric)
		s.reach("fabric", s.fabric.Ns(), "pod "+p.ID[:8], p.IP, ttls[s.mode].fromFabric)
	}
	want := slices.Sorted(maps.Values(owner))
	networks, pools := s.state(s.n)
	var known, holders []string
	for _, e := range networks.Networks[0].Endpoints {
		known = append(known, e.ContainerID)
	}
	for _, r := range pools.Pools[0].Reservations {
		holders = append(holders, r.ContainerID)
	}
	slices.Sort(known)
	slices.Sort(holders)
	if !slices.Equal(known, want) || !slices.Equal(holders, want) {
		s.Errorf("pods are     %v\nstate knows  %v\naddresses of %v", want, known, holders)
	}
	for _, p := range pods {
		s.must(s.end(p))
	}
	if left := s.leftovers(s.n); len(left) > 0 {
		s.Errorf("left: %v", left)
	}
	if rules := s.run(s.n, "ebtables-nft-save"); strings.Contains(rules, "-A ") {
		s.Errorf("rules of ebtables are left:\n%s", rules)
	}
}

// A call of the classic plugin is in the middle when the programs are replaced: it has its address, and not written its
// state yet.
func TestSwapWhileACallOfTheClassicPluginIsInside(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for name, order := range bothOrders {
			for _, locks := range []string{"flock", "file"} {
				t.Run(mode+", "+name+", "+locks, func(t *testing.T) {
					s := newLab(t, classicFabric()).swapNode(mode, locks, false)
					list := s.lab.list(s.n, s.list)
					s.must(os.WriteFile(s.pause, nil, 0o600))
					started := make(chan *node.Pod, 2)
					begin := func() {
						p, err := s.start(list)
						if err != nil {
							s.Error(err)
						}
						started <- p
					}
					go begin()
					inUse := strings.Count(s.read(ipamState(s.n)), `"InUse": true`)
					s.eventually("the call has not got its address", func() bool {
						return strings.Count(s.read(ipamState(s.n)), `"InUse": true`) > inUse
					})
					s.swap(order...)
					go begin() // ours
					select {
					case p := <-started:
						t.Errorf("an ADD came through while the call was inside: %v", p)
					case <-time.After(200 * time.Millisecond): // it can only be too short
					}
					s.must(os.Remove(s.pause))
					pods := append(slices.Clone(s.pods), <-started, <-started)
					if t.Failed() {
						return
					}
					s.verify(pods)
				})
			}
		}
	}
}

// Several calls wait for the classic plugin's lock when the programs are replaced.
func TestSwapWhileCallsOfTheClassicPluginWait(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, locks := range []string{"flock", "file"} {
			t.Run(mode+", "+locks, func(t *testing.T) {
				s := newLab(t, classicFabric()).swapNode(mode, locks, false)
				list := s.lab.list(s.n, s.list)
				free := s.hold()
				const waiting = 6
				pods := make([]*node.Pod, waiting+1)
				var wg sync.WaitGroup
				begin := func(i int) {
					wg.Go(func() {
						var err error
						if pods[i], err = s.start(list); err != nil {
							s.Error(err)
						}
					})
				}
				for i := range waiting {
					begin(i)
				}
				s.eventually("the calls have not begun", func() bool { return s.calls() >= waiting })
				s.swap("azure-vnet", "azure-vnet-ipam")
				begin(waiting) // ours
				free()
				wg.Wait()
				if t.Failed() {
					return
				}
				s.verify(append(slices.Clone(s.pods), pods...))
			})
		}
	}
}

// hold takes the classic plugin's lock.
func (s *swapped) hold() (free func()) {
	s.Helper()
	if s.locks == "file" {
		path := filepath.Join(s.n.DataDir(), "azure-vnet.json.lock")
		s.must(os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o600))
		return func() { s.must(os.Remove(path)) }
	}
	dir := filepath.Join(s.n.DataDir(), "azure-vnet")
	s.must(os.MkdirAll(dir, 0o755))
	f, err := os.Create(filepath.Join(dir, "azure-vnet.lock"))
	s.must(err)
	s.must(unix.Flock(int(f.Fd()), unix.LOCK_EX))
	return func() { s.must(f.Close()) }
}

// calls is how many processes of the node's network plugin there are.
func (s *swapped) calls() (n int) {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	s.must(err)
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == filepath.Join(s.bin, "azure-vnet") {
			n++
		}
	}
	return n
}

// Pods come and go from eight workers all the time, with the classic plugin at first and with ours then; not one call
// is waited for. SWAPS says how often, for each mode and each kind of lock.
func TestSwapUnderLoad(t *testing.T) {
	t.Parallel()
	swaps := 1
	if n, err := strconv.Atoi(os.Getenv("SWAPS")); err == nil {
		swaps = n
	}
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, locks := range []string{"flock", "file"} {
			for i := range swaps {
				t.Run(fmt.Sprintf("%s, %s, %d", mode, locks, i), func(t *testing.T) {
					l := newLab(t, classicFabric())
					order := []string{"azure-vnet", "azure-vnet-ipam"}
					if i%2 == 1 {
						slices.Reverse(order)
					}
					l.swapNode(mode, locks, false).underLoad(func(s *swapped) { s.swap(order...) }, time.Duration(i)*7*time.Millisecond)
				})
			}
		}
	}
}

// The same with legacy ebtables, and where the classic plugin's state is lost at that moment.
func TestSwapUnderLoadOfADamagedNode(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for _, damage := range []string{"legacy ebtables", "state emptied", "state deleted"} {
			old := damage == "legacy ebtables"
			if old && (mode == "transparent" || family == "netdev") {
				continue
			}
			t.Run(mode+", "+damage, func(t *testing.T) {
				l := newLab(t, classicFabric())
				l.swapNode(mode, "flock", old).underLoad(func(s *swapped) {
					networks := filepath.Join(s.n.DataDir(), "azure-vnet.json")
					switch damage {
					case "state emptied":
						s.must(os.WriteFile(networks, nil, 0o600))
					case "state deleted":
						s.must(os.Remove(networks))
					}
					s.swap("azure-vnet", "azure-vnet-ipam")
				}, 0)
			})
		}
	}
}

func (s *swapped) underLoad(swap func(*swapped), later time.Duration) {
	s.Helper()
	const workers, before, after = 8, 2, 4
	list := s.lab.list(s.n, s.list)
	var done atomic.Int64 // ADDs
	var ours atomic.Bool
	stay := make([]*node.Pod, workers)
	for _, p := range s.pods {
		s.occupy(p.NS)
	}
	go func() {
		for done.Load() < workers*before && s.ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(later) // at another moment each time
		swap(s)
		ours.Store(true)
	}()
	each(workers, func(i int) {
		for round := 0; round < after && !s.Failed(); {
			p, err := s.start(list)
			if err != nil {
				s.Error(err)
				return
			}
			done.Add(1)
			if ours.Load() {
				round++
			}
			if round == after {
				stay[i] = p
				return
			}
			if err := s.end(p); err != nil {
				s.Error(err)
				return
			}
		}
	})
	if s.Failed() {
		return
	}
	s.verify(append(slices.Clone(s.pods), stay...))
}
