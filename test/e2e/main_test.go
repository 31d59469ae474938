//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

var binaries, reference string

// family is the family of nftables that the binaries use for bridges: make test-e2e DATAPLANE=netdev builds such that
// behave as on a kernel without the bridge family.
var family = "bridge"

func TestMain(m *testing.M) {
	if called := filepath.Base(os.Args[0]); called == "azure-vnet" || called == "azure-vnet-ipam" {
		os.Exit(standInMain(called))
	}
	if f := os.Getenv("AZURE_CNI_DATAPLANE"); f != "" {
		family = f
	}
	if bus := os.Getenv(standInBus); bus != "" {
		serveResolved(bus)
	}
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "test/e2e makes network namespaces and needs root")
		os.Exit(1)
	}
	for _, v := range []struct {
		name, file string
		dir        *string
	}{{"AZURE_CNI_BIN", "azure-vnet", &binaries}, {"REFERENCE_CNI_BIN", "portmap", &reference}} {
		*v.dir = os.Getenv(v.name)
		if _, err := os.Stat(filepath.Join(*v.dir, v.file)); err != nil || *v.dir == "" {
			fmt.Fprintf(os.Stderr, "test/e2e: %s does not name a folder with %s (%v); run \"make test\"\n", v.name, v.file, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// lab is a fabric with a node on each VM. When the test ends, the fabric must not have seen one frame that
// Azure would have dropped.
type lab struct {
	*testing.T
	ctx    context.Context
	fabric *fabric.Fabric
	nodes  []*node.Node
	// broken says that the test takes the rules away that keep the fabric content.
	broken bool
	// forgiven is what the fabric has seen already.
	forgiven fabric.Counters
}

// forgive starts counting anew.
func (l *lab) forgive() (err error) {
	l.forgiven, err = l.fabric.Counters()
	return err
}

func newLab(t *testing.T, cfg fabric.Config) *lab {
	t.Helper()
	t.Parallel()
	return newLabInTurn(t, cfg)
}

// newLabInTurn is newLab for a test that does not run beside others of its group.
func newLabInTurn(t *testing.T, cfg fabric.Config) *lab {
	t.Helper()
	f, err := fabric.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	l := &lab{T: t, ctx: ctx, fabric: f}
	dir := t.TempDir()
	for _, vm := range f.VMs {
		n, err := node.New(vm, filepath.Join(dir, vm.Config.Name), binaries, reference)
		if err != nil {
			t.Fatal(err)
		}
		l.nodes = append(l.nodes, n)
	}
	t.Cleanup(func() {
		defer cancel()
		c, err := f.Counters()
		if err != nil {
			t.Error(err)
		}
		if v := c.Violations(); v != l.forgiven.Violations() && !l.broken {
			t.Errorf("the fabric dropped frames that Azure would have dropped: %v (%v forgiven)", v, l.forgiven.Violations())
		}
		if t.Failed() {
			l.explain()
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// explain shows what a person would look at after a failure.
func (l *lab) explain() {
	for _, n := range l.nodes {
		for _, cmd := range [][]string{{"ip", "-d", "addr"}, {"ip", "route"}, {"ip", "neigh"}, {"nft", "list", "ruleset"}} {
			out, _ := n.VM.Ns.Command(l.ctx, cmd[0], cmd[1:]...).CombinedOutput()
			l.Logf("%s: %v\n%.8000s", n.VM.Config.Name, cmd, out)
		}
		for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
			if b, err := os.ReadFile(n.LogFile(plugin)); err == nil {
				l.Logf("%s: log\n%.16000s", n.VM.Config.Name, b[max(0, len(b)-16000):])
			}
		}
	}
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *lab) list(n *node.Node, fields map[string]any, chained ...map[string]any) *libcni.NetworkConfigList {
	l.Helper()
	list, err := node.List(append([]map[string]any{n.Conf(fields)}, chained...)...)
	l.must(err)
	return list
}

func (l *lab) add(n *node.Node, list *libcni.NetworkConfigList) *node.Pod {
	l.Helper()
	p, err := n.AddPod(l.ctx, list)
	l.must(err)
	return p
}

// conf is a network configuration as bytes, for calls of the binaries by hand.
func (l *lab) conf(n *node.Node, fields map[string]any) []byte {
	l.Helper()
	b, err := json.Marshal(n.Conf(fields))
	l.must(err)
	return b
}

func (l *lab) exec(n *node.Node, c node.Call) node.Reply {
	l.Helper()
	r, err := n.Exec(l.ctx, c)
	l.must(err)
	return r
}

// wantError requires a failure: exit code, one JSON document, the error code.
func (l *lab) wantError(r node.Reply, code uint) types.Error {
	l.Helper()
	var e types.Error
	if r.Exit == 0 {
		l.Fatalf("success instead of code %d: %s", code, r.Stdout)
	}
	oneDocument(l.T, r.Stdout, &e)
	if e.Code != code || e.Msg == "" {
		l.Fatalf("code %d (%s; %s) instead of %d", e.Code, e.Msg, e.Details, code)
	}
	return e
}

func (l *lab) wantSuccess(r node.Reply) {
	l.Helper()
	if r.Exit != 0 {
		l.Fatalf("exit %d: %s %s", r.Exit, r.Stdout, r.Stderr)
	}
}

// oneDocument requires that the output is exactly one JSON document, and decodes it.
func oneDocument(t *testing.T, out []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(out, into); err != nil { // Unmarshal refuses anything behind the first document
		t.Fatalf("standard output is not one JSON document: %v: %q", err, out)
	}
}

// state reads what the plugins keep.
func (l *lab) state(n *node.Node) (networks shownNetworks, pools shownPools) {
	l.Helper()
	for plugin, into := range map[string]any{"azure-vnet": &networks, "azure-vnet-ipam": &pools} {
		r, err := n.Operator(l.ctx, plugin, "show", "-o", "json", "--data-dir", n.DataDir())
		l.must(err)
		l.wantSuccess(r)
		oneDocument(l.T, r.Stdout, into)
	}
	return networks, pools
}

// The schemas of the commands' JSON (docs/cni.md), written down again: a change of the plugins' must show.
type shownNetworks struct {
	Networks []struct {
		Name, Mode, Master, Bridge string
		Prefixes                   []string
		Endpoints                  []struct {
			ContainerID, IfName, PodNamespace, PodName, MAC, HostIfName, NetNS, State, Created string
			Addresses                                                                          []string
		}
	}
}

type shownPools struct {
	Source struct{ Environment, LastRefresh, URL string }
	Pools  []struct {
		Prefix, Interface, Gateway string
		Capacity, Used, Available  int
		Reservations               []struct{ Address, Network, ContainerID, IfName, Created string }
	}
}

// leftovers lists what of pods is on the node: reservations, endpoints, host veths, neighbours, fdb entries
// and nftables elements. A node without pods has none.
func (l *lab) leftovers(n *node.Node) []string {
	l.Helper()
	var found []string
	networks, pools := l.state(n)
	for _, nw := range networks.Networks {
		for _, e := range nw.Endpoints {
			found = append(found, "endpoint "+e.ContainerID+"/"+e.IfName)
		}
	}
	for _, p := range pools.Pools {
		for _, r := range p.Reservations {
			found = append(found, "reservation "+r.Address+" of "+r.ContainerID)
		}
	}
	return append(found, l.hostLeftovers(n)...)
}

// each runs fn for 0 … n-1, all at once, and returns when the last one has ended.
func each(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

func (l *lab) read(path string) string {
	l.Helper()
	b, err := os.ReadFile(path)
	l.must(err)
	return string(b)
}
