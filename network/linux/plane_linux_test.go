package linux_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/linux"
	"github.com/Azure/azure-container-networking/network/manager"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
	"github.com/Azure/azure-container-networking/test/fabric"
)

// The Linux data plane starts goroutines, so it has to be the whole process that is in the VM's namespace: a
// command is this test binary, started again there.

// command is what the child does.
type command struct {
	Name     string // add, delete, check, collect, removeNetwork
	Dir      string
	Config   network.Config
	Endpoint network.Endpoint
}

// answer is what came of it. Errors are named, since they do not survive being text.
type answer struct {
	Error, Kind string
	Count       int
}

const childVariable = "NETWORK_TEST_COMMAND"

func TestMain(m *testing.M) {
	text, child := os.LookupEnv(childVariable)
	if !child {
		os.Exit(m.Run())
	}
	var c command
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	a := c.run(context.Background())
	_ = json.NewEncoder(os.Stdout).Encode(a)
}

func (c command) run(ctx context.Context) (a answer) {
	m := &manager.Manager{
		Store:      store.New(store.Options[network.State]{Path: filepath.Join(c.Dir, "azure-vnet.json")}),
		Dataplane:  &linux.Dataplane{LockPath: filepath.Join(c.Dir, "network.lock")},
		Interfaces: platform.Host{}.Interfaces, Now: time.Now,
	}
	var err error
	switch c.Name {
	case "add":
		if err = m.Precheck(ctx, c.Config, &c.Endpoint); err == nil {
			err = m.Announce(ctx, c.Config, &c.Endpoint)
		}
		if err == nil {
			_, err = m.Add(ctx, c.Config, &c.Endpoint)
		}
	case "delete":
		err = m.Delete(ctx, c.Endpoint.Owner)
	case "check":
		err = m.Check(ctx, c.Endpoint.Owner, "", manager.Believed{Addresses: c.Endpoint.Addresses, Routes: c.Endpoint.Routes})
	case "collect":
		var collected []network.Owner
		collected, _, err = m.Collect(ctx, c.Endpoint.Network, func(string, string) bool { return false })
		a.Count = len(collected)
	case "repairLate":
		err = repairLate(ctx, m)
	case "removeNetwork":
		err = m.Dataplane.DeleteNetwork(ctx, &network.Network{Master: "eth0", Bridge: c.Config.Bridge})
	}
	if err != nil {
		a.Error = err.Error()
	}
	for name, target := range map[string]error{"exists": network.ErrExists, "master": network.ErrMaster, "difference": network.ErrDifference,
		"unsupported": network.ErrUnsupported, "conflict": network.ErrConflict, "netns": network.ErrNetNS,
		"lost": network.ErrLost} {
		if errors.Is(err, target) {
			a.Kind = name
		}
	}
	return a
}

// repairLate is a repair that knew of no pod when it began to wait for its lock.
func repairLate(ctx context.Context, m *manager.Manager) error {
	var before network.Network
	var now network.Network
	err := m.Store.View(ctx, func(s *network.State) error {
		before, now = *s.Networks["azure"], *s.Networks["azure"]
		now.Carried = []network.Endpoints{now.Endpoints}
		return nil
	})
	before.Suspect = true
	before.Current = func(context.Context) (*network.Network, error) { return &now, nil }
	if err == nil {
		_, err = m.Dataplane.EnsureNetwork(ctx, &before)
	}
	return err
}

// node is a VM on which commands are run.
type node struct {
	*testing.T
	vm  *fabric.VM
	dir string
}

func newNode(t *testing.T) *node {
	t.Helper()
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	return &node{t, fabric.Start(t, fabric.Default(1, 3)).VMs[0], t.TempDir()}
}

func (n *node) run(c command) (a answer) {
	n.Helper()
	c.Dir = n.dir
	text, err := json.Marshal(c)
	if err != nil {
		n.Fatal(err)
	}
	cmd := n.vm.Ns.Command(n.Context(), os.Args[0])
	// The race detector would wait a second at each end.
	cmd.Env = append(os.Environ(), childVariable+"="+string(text), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &a)
	}
	if err != nil {
		n.Fatalf("%s: %v: %s", c.Name, err, out)
	}
	return a
}

// want runs a command and requires success, or an error of the kind whose text has the part.
func (n *node) want(c command, kind, part string) {
	n.Helper()
	if a := n.run(c); a.Kind != kind || (a.Error == "") != (part == "") || !strings.Contains(a.Error, part) {
		n.Errorf("%s: error of kind %q: %s; want %q, %q", c.Name, a.Kind, a.Error, kind, part)
	}
}

func (n *node) tool(args ...string) string {
	n.Helper()
	out, err := n.vm.Ns.Command(n.Context(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		n.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// endpoint is an ADD's for a new pod.
func (n *node) endpoint(number int) (network.Endpoint, *fabric.Namespace) {
	n.Helper()
	ns, err := n.vm.NewPod(fmt.Sprintf("pod%d", number))
	if err != nil {
		n.Fatal(err)
	}
	return network.Endpoint{
		Owner: network.Owner{Network: "azure", ContainerID: fmt.Sprintf("c%d", number), IfName: "eth0"}, NetNS: ns.Path(),
		Addresses: prefixes(fmt.Sprintf("10.240.1.%d/16", number)),
		Routes:    []network.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: netip.MustParseAddr("10.240.0.1")}},
	}, ns
}

func (n *node) ping(from *fabric.Namespace) {
	n.Helper()
	if _, err := from.Ping(n.Context(), netip.MustParseAddr("10.240.0.1"), fabric.PingOptions{}); err != nil {
		n.Error(err)
	}
}

// leftovers is what the VM has of pods.
func (n *node) leftovers() string {
	n.Helper()
	var b strings.Builder
	for line := range strings.Lines(n.tool("ip", "-o", "link") + n.tool("ip", "neigh", "show", "nud", "permanent") + n.tool("bridge", "fdb") +
		n.tool("nft", "list", "ruleset")) {
		if strings.Contains(line, "azv") || strings.Contains(line, "0a:58:0a") || strings.Contains(line, "azure/") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestLinuxConnectsChecksAndDisconnectsAPod(t *testing.T) {
	for _, mode := range []network.Mode{network.ModeBridge, network.ModeTunnel} {
		t.Run(string(mode), func(t *testing.T) {
			n := newNode(t)
			c := network.Config{Mode: mode, Settings: network.Settings{AntiSpoof: true}}
			e, pod := n.endpoint(1)
			n.want(command{Name: "add", Config: c, Endpoint: e}, "", "")
			n.ping(pod)
			n.ping(n.vm.Ns)
			n.want(command{Name: "check", Endpoint: e}, "", "")
			n.want(command{Name: "add", Config: c, Endpoint: e}, "exists", "eth0 of container c1")
			n.want(command{Name: "delete", Endpoint: e}, "", "")
			same(t, n.leftovers(), "")
			n.want(command{Name: "delete", Endpoint: e}, "", "")
			n.want(command{Name: "check", Endpoint: e}, "difference", "no ready endpoint")
			n.want(command{Name: "removeNetwork", Config: network.Config{Bridge: "azure2"}}, "", "")
			same(t, n.tool("nft", "list", "ruleset"), "")
			n.ping(n.vm.Ns)
		})
	}
}

func TestLinuxCheckNamesTheFirstDifferenceAndTheNextAddRepairsTheNetwork(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		damage, want string
		repaired     bool // by the next ADD, since it is the network's
	}{
		"no rules": {"nft flush chain bridge azure-vnet azure2-prerouting", "rules of bridge azure2 are not in place", true},
		"an address back on eth0": {"ip addr add 10.240.0.4/16 dev eth0",
			"bridge azure2 does not have the configuration of master eth0", true},
		"a bridge that is down": {"ip link set azure2 down", "bridge azure2 does not have the configuration of master eth0", true},
		"no element": {"nft delete element bridge azure-vnet azure2-pods4 { 10.240.1.1 }",
			"elements of 10.240.1.1 (0a:58:0a:f0:01:01, port azvab9234ec104) are missing", false},
		"an element of another port": {"nft delete element bridge azure-vnet azure2-ports { azvab9234ec104 }", "are missing", false},
		"no neighbour":               {"ip neigh del 10.240.1.1 dev azure2", "neighbour 10.240.1.1", false},
		"no veth":                    {"ip link del azvab9234ec104", "host veth azvab9234ec104 is missing", false},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			c := network.Config{Mode: network.ModeTunnel, Settings: network.Settings{AntiSpoof: true}}
			first, _ := n.endpoint(1)
			second, _ := n.endpoint(2)
			n.want(command{Name: "add", Config: c, Endpoint: first}, "", "")
			n.tool(strings.Fields(test.damage)...)
			n.want(command{Name: "check", Endpoint: first}, "difference", test.want)
			n.want(command{Name: "add", Config: c, Endpoint: second}, "", "")
			n.want(command{Name: "check", Endpoint: second}, "", "")
			if test.repaired {
				n.want(command{Name: "check", Endpoint: first}, "", "")
			}
			n.want(command{Name: "delete", Endpoint: first}, "", "")
			n.want(command{Name: "delete", Endpoint: second}, "", "")
			same(t, n.leftovers(), "")
		})
	}
}

func TestLinuxFindsWhatBelongsToAnOwnerWithoutState(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*node, network.Endpoint, network.Endpoint){
		"by DEL": func(n *node, a, b network.Endpoint) {
			n.want(command{Name: "delete", Endpoint: a}, "", "")
			n.want(command{Name: "delete", Endpoint: b}, "", "")
		},
		"by GC": func(n *node, a, _ network.Endpoint) {
			if got := n.run(command{Name: "collect", Endpoint: a}); got.Count != 2 || got.Error != "" {
				n.Errorf("collected %d, %s", got.Count, got.Error)
			}
		},
		"by GC when the veth is gone": func(n *node, a, _ network.Endpoint) {
			n.tool("ip", "link", "del", a.Owner.HostIfName())
			n.run(command{Name: "collect", Endpoint: a})
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			a, _ := n.endpoint(1)
			b, _ := n.endpoint(2)
			for _, e := range []network.Endpoint{a, b} {
				n.want(command{Name: "add", Config: bridgeMode, Endpoint: e}, "", "")
			}
			n.dir = t.TempDir() // the state is lost
			remove(n, a, b)
			same(t, n.leftovers(), "")
		})
	}
}

func TestLinuxRefusesWhatCannotWorkAndLeavesTheHostAlone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		situation  string
		change     func(*node, *command)
		kind, part string
	}{
		"the bridge's name is a veth's": {"ip link add azure2 type veth peer name other", nil, "conflict", "azure2 is a veth"},
		"there is no such master":       {"true", func(_ *node, c *command) { c.Config.Master = "eth7" }, "master", "no interface eth7"},
		"the MTU is larger": {"true", func(_ *node, c *command) { c.Endpoint.MTU = 9000 }, "unsupported",
			"MTU 9000 is larger than 1500"},
		"the namespace is gone":          {"true", func(_ *node, c *command) { c.Endpoint.NetNS = "/nowhere" }, "netns", "/nowhere"},
		"the namespace is the host's":    {"true", func(n *node, c *command) { c.Endpoint.NetNS = n.vm.Ns.Path() }, "netns", "is the host's own"},
		"the namespace is none":          {"true", func(_ *node, c *command) { c.Endpoint.NetNS = "/etc/hostname" }, "netns", "/etc/hostname"},
		"the pod has such an interface":  {"true", func(_ *node, c *command) { c.Endpoint.IfName = "lo" }, "exists", "interface lo is in"},
		"the master is another bridge's": {"ip link set eth0 master br0", nil, "conflict", "eth0 is a port of br0"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.tool("ip", "link", "add", "br0", "type", "bridge")
			n.tool(strings.Fields(test.situation)...)
			e, _ := n.endpoint(1)
			c := command{Name: "add", Config: bridgeMode, Endpoint: e}
			if test.change != nil {
				test.change(n, &c)
			}
			conf := func() string {
				return n.tool("ip", "-o", "-4", "addr", "show", "scope", "global") + n.tool("ip", "route")
			}
			before := conf()
			n.want(c, test.kind, test.part)
			same(t, n.leftovers(), "")
			if test.kind != "unsupported" { // the bridge stays for the next pod
				same(t, conf()+n.tool("nft", "list", "ruleset"), before)
			}
		})
	}
}

// The former bridge gives the host's configuration back before the new one takes it.
func TestLinuxChangesTheBridgeWhenThePodsAreGone(t *testing.T) {
	n := newNode(t)
	e, pod := n.endpoint(1)
	n.want(command{Name: "add", Config: bridgeMode, Endpoint: e}, "", "")
	c := bridgeMode
	c.Bridge = "br0"
	other, _ := n.endpoint(2)
	n.want(command{Name: "add", Config: c, Endpoint: other}, "conflict", "Drain the node")
	n.want(command{Name: "delete", Endpoint: e}, "", "")
	n.want(command{Name: "add", Config: c, Endpoint: e}, "", "")
	n.ping(pod)
	n.ping(n.vm.Ns)
	if text := n.tool("ip", "-o", "addr") + n.tool("nft", "list", "ruleset"); strings.Contains(text, "azure2") ||
		!strings.Contains(text, "br0") {
		t.Errorf("the VM has\n%s", text)
	}
	n.want(command{Name: "check", Endpoint: e}, "", "")
}

// A veth that an ADD has just made has no owner for a moment. Another ADD, which looks for pods of a lost state then, must not take it for
// one of which nothing can be found out.
func TestAPodThatIsBeingMadeIsNotLost(t *testing.T) {
	n := newNode(t)
	first, _ := n.endpoint(1)
	n.want(command{Name: "add", Config: bridgeMode, Endpoint: first}, "", "")
	second, pod := n.endpoint(2)
	second.State, second.HostIfName, second.MAC = network.Pending, second.Owner.HostIfName(), network.MACOf(second.Addresses).String()
	s := store.New(store.Options[network.State]{Path: filepath.Join(n.dir, "azure-vnet.json")})
	plant := func(known bool) {
		t.Helper()
		if err := s.Update(t.Context(), func(s *network.State) error {
			s.Networks["azure"].Unsearched = true
			if known {
				s.Networks["azure"].Endpoints.Set(&second)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	plant(true)
	n.tool("ip", "link", "add", second.HostIfName, "master", "azure2", "type", "veth", "peer", "name", "eth0", "netns", pod.Path())
	third, _ := n.endpoint(3)
	n.want(command{Name: "add", Config: bridgeMode, Endpoint: third}, "", "")
	n.want(command{Name: "delete", Endpoint: third}, "", "")
	n.want(command{Name: "delete", Endpoint: second}, "", "")
	// One that no record names is lost.
	n.tool("ip", "link", "add", second.HostIfName, "master", "azure2", "type", "veth", "peer", "name", "eth0", "netns", pod.Path())
	plant(false)
	n.want(command{Name: "add", Config: bridgeMode, Endpoint: third}, "lost", second.HostIfName)
}

// What a repair waits for is another one: pods that came meanwhile are repaired with the others.
func TestARepairKnowsThePodsThatCameWhileItWaited(t *testing.T) {
	n := newNode(t)
	e, pod := n.endpoint(1)
	n.want(command{Name: "add", Config: bridgeMode, Endpoint: e}, "", "")
	n.tool("nft", "flush", "ruleset")
	n.want(command{Name: "repairLate"}, "", "")
	n.ping(pod)
	n.want(command{Name: "check", Endpoint: e}, "", "")
}
