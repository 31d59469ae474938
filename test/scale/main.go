// Command scale lets the real address management of a few nodes live through a virtual day, and says what that means
// for thousands of them: how often host agents are asked, and how soon an address is given again. docs/scale.md has its
// output.
//
//	go run ./test/scale [-nodes 5] [-of 5000] [-services 200] [-jobs 50] [-seed 1]
package main

import (
	"container/heap"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
)

// A node as large ones are has 256 addresses. Most pods live for hours; some are jobs that live for minutes, and are
// followed by others.
const (
	addresses            = 256
	serviceLife, jobLife = 4 * time.Hour, 5 * time.Minute
	day                  = 24 * time.Hour
)

func main() {
	nodes := flag.Int("nodes", 5, "nodes that are simulated")
	of := flag.Int("of", 5000, "nodes that they stand for")
	services := flag.Int("services", 200, "pods of a node that live for hours")
	jobs := flag.Int("jobs", 50, "pods of a node that live for minutes")
	seed := flag.Uint64("seed", 1, "of the random lives")
	flag.Parse()
	if err := run(*nodes, *of, *services, *jobs, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(nodes, of, services, jobs int, seed uint64) error {
	var all results
	for i := range nodes {
		n, err := newNode(rand.New(rand.NewPCG(seed, uint64(i))))
		if err != nil {
			return err
		}
		err = n.live(services, jobs)
		if err = errors.Join(err, os.RemoveAll(n.dir)); err != nil {
			return err
		}
		all.adds += n.adds
		all.asked = append(all.asked, n.asked...)
		all.reuse = append(all.reuse, n.reuse...)
	}
	slices.Sort(all.reuse)
	perHour := float64(len(all.asked)) / float64(nodes) / day.Hours()
	fmt.Printf("%d nodes of %d addresses, %d pods each (%d live %s, %d live %s on average), one day; seed %d\n",
		nodes, addresses, services+jobs, services, serviceLife, jobs, jobLife, seed)
	fmt.Printf("ADDs:                            %.0f for each node and day\n", float64(all.adds)/float64(nodes))
	fmt.Printf("questions to the host agent:     %.2f for each node and hour; %.4f for each ADD\n", perHour,
		float64(len(all.asked))/float64(all.adds))
	fmt.Printf("%d nodes:                      %.2f questions each second, to as many host agents as there are hosts\n",
		of, perHour*float64(of)/3600)
	fmt.Printf("all of them start in 10 minutes: %.1f questions each second, one for each node\n", float64(of)/600)
	fmt.Printf("an address is given again:       after %s at the earliest, %s in the median\n", all.reuse[0].Round(time.Second),
		all.reuse[len(all.reuse)/2].Round(time.Second))
	return nil
}

type results struct {
	adds  int
	asked []time.Time
	reuse []time.Duration
}

// node is one node's address management with a clock of its own.
type node struct {
	results
	dir      string
	now      time.Time
	random   *rand.Rand
	manager  *ipam.Manager
	source   []netip.Addr
	ends     queue
	released map[netip.Addr]time.Time
}

var nic = net.HardwareAddr{0x00, 0x0d, 0x3a, 0, 0, 1}

func newNode(random *rand.Rand) (*node, error) {
	dir, err := os.MkdirTemp("/dev/shm", "azure-vnet-scale-")
	if err != nil {
		return nil, err
	}
	n := &node{dir: dir, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), random: random, released: map[netip.Addr]time.Time{}}
	a := netip.MustParseAddr("10.240.1.0")
	for range addresses {
		n.source = append(n.source, a)
		a = a.Next()
	}
	clock := func() time.Time { return n.now }
	n.manager = &ipam.Manager{
		Source: n, Environment: "azure", URL: azure.HostAgentURL, Interval: ipam.DefaultQueryInterval,
		RefreshLock: filepath.Join(dir, "refresh.lock"),
		Store: store.New(store.Options[ipam.State]{Path: filepath.Join(dir, "azure-vnet-ipam.json"),
			Schema: ipam.Schema, Boot: "boot", Now: clock}),
		Interfaces: func() ([]platform.Interface, error) {
			return []platform.Interface{{Index: 2, Name: "eth0", MAC: nic, Up: true}}, nil
		},
		InUse: func() (map[netip.Addr]ipam.Owner, error) { return nil, nil },
		Now:   clock, Log: slog.New(slog.DiscardHandler),
	}
	return n, nil
}

// Subnets implements ipam.Source: the host agent.
func (n *node) Subnets(context.Context) ([]source.Subnet, error) {
	n.asked = append(n.asked, n.now)
	return []source.Subnet{{MAC: nic.String(), Primary: true, Prefix: netip.MustParsePrefix("10.240.0.0/16"), Addresses: n.source}}, nil
}

// Stamp implements ipam.Source.
func (n *node) Stamp() string { return "" }

// live starts all pods, and follows each that ends by another of its kind.
func (n *node) live(services, jobs int) error {
	end := n.now.Add(day)
	for i := range services + jobs {
		if err := n.start(i >= services); err != nil {
			return err
		}
	}
	for len(n.ends) > 0 && n.ends[0].at.Before(end) {
		p, _ := heap.Pop(&n.ends).(pod)
		n.now = p.at
		if _, err := n.manager.Release(context.Background(), p.owner, netip.Addr{}); err != nil {
			return err
		}
		n.released[p.address] = n.now
		n.now = n.now.Add(time.Duration(n.random.Int64N(int64(5 * time.Second)))) // the scheduler's
		if err := n.start(p.job); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) start(job bool) error {
	n.adds++
	owner := ipam.Owner{Network: "azure", ContainerID: fmt.Sprintf("%064x", n.adds), IfName: "eth0"}
	given, err := n.manager.Allocate(context.Background(), []ipam.Request{{Owner: owner}})
	if err != nil {
		return err
	}
	a := given[0].Address
	if at, again := n.released[a]; again {
		n.reuse = append(n.reuse, n.now.Sub(at))
	}
	life := serviceLife
	if job {
		life = jobLife
	}
	heap.Push(&n.ends, pod{owner, a, job, n.now.Add(time.Duration(n.random.ExpFloat64() * float64(life)))})
	return nil
}

// pod is one that lives until then.
type pod struct {
	owner   ipam.Owner
	address netip.Addr
	job     bool
	at      time.Time
}

// queue has the pod that ends next at its top.
type queue []pod

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(p any) {
	if one, ok := p.(pod); ok {
		*q = append(*q, one)
	}
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	p := old[len(old)-1]
	*q = old[:len(old)-1]
	return p
}
