package netplugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/linux"
	"github.com/Azure/azure-container-networking/network/manager"
	"github.com/Azure/azure-container-networking/network/networktest"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

var discard = slog.New(slog.DiscardHandler)

// lab is a host in memory and an IPAM plugin, with all that a command asks of both in its order.
type lab struct {
	*testing.T
	host  *networktest.Host
	dir   string
	calls []string
	fails map[string]error           // calls that fail, by what is in calls
	held  map[string]map[string]bool // what the IPAM plugin has given: addresses by container
}

func newLab(t *testing.T) *lab {
	return &lab{T: t, host: networktest.New("/ns/c1", "/ns/c2"), dir: t.TempDir(), fails: map[string]error{},
		held: map[string]map[string]bool{}}
}

// told are the calls of the data plane that a command is about; others only look.
var told = []string{"CheckNetNS", "EnsureNetwork", "CreateEndpoint", "DeleteEndpoint", "CheckEndpoint", "Status"}

// plugin is one that works on the lab.
func (l *lab) plugin() *plugin {
	process := l.host.Process()
	process.Hook = func(s networktest.Step) {
		if s.Moment == networktest.Before && slices.Contains(told, s.Method) {
			process.FailAt(s.Call, s.Moment, l.call(s.Method))
		} else if s.Moment == networktest.Before {
			process.FailAt(s.Call, s.Moment, l.fails[s.Method])
		}
	}
	return &plugin{
		newManager: func(dir string, logger *slog.Logger) (*manager.Manager, error) {
			return &manager.Manager{
				Store:     store.New(store.Options[network.State]{Path: filepath.Join(dir, "azure-vnet.json")}),
				Dataplane: process, Now: time.Now, Log: logger,
				Interfaces: func() ([]platform.Interface, error) {
					return []platform.Interface{{Index: 2, Name: "eth0", MAC: net.HardwareAddr{0, 0x0d, 0x3a, 0, 0, 1}, MTU: 1500, Up: true,
						Prefixes: []netip.Prefix{netip.MustParsePrefix("10.240.0.4/16")}}}, nil
				},
			}, nil
		},
		newIPAM: func(c *cni.Command, _ *cni.NetConf) ipamCaller { return &ipamFake{l, c.ContainerID} },
	}
}

// call notes a call, and says whether it is to fail.
func (l *lab) call(what string) error {
	l.calls = append(l.calls, what)
	return l.fails[what]
}

// ipamFake has an address for each container: 10.240.1.1 is c1's.
type ipamFake struct {
	*lab
	container string
}

func addressOf(container string) string { return "10.240.1." + strings.TrimPrefix(container, "c") }

func (f *ipamFake) add(context.Context) (*types100.Result, error) {
	f.hold(f.container) // also if the answer does not come
	if err := f.call("ipam ADD"); err != nil {
		return nil, err
	}
	_, anywhere, err := net.ParseCIDR("0.0.0.0/0")
	gateway := net.ParseIP("10.240.0.1")
	return &types100.Result{IPs: []*types100.IPConfig{{Address: cni.IPNet(netip.MustParsePrefix(addressOf(f.container) + "/16")),
		Gateway: gateway}}, Routes: []*types.Route{{Dst: *anywhere}}}, err
}

func (f *ipamFake) del(context.Context) error {
	if err := f.call("ipam DEL"); err != nil {
		return err
	}
	delete(f.held, f.container)
	return nil
}

func (f *ipamFake) delOf(_ context.Context, o network.Owner) error {
	delete(f.held, o.ContainerID)
	return f.call("ipam DEL of " + o.ContainerID)
}

func (f *ipamFake) delAddress(_ context.Context, a netip.Addr) error {
	for _, has := range f.held {
		delete(has, a.String())
	}
	return f.call("ipam DEL of " + a.String())
}

func (f *ipamFake) check(context.Context, *types100.Result, []netip.Addr) error {
	return f.call("ipam CHECK")
}

func (f *ipamFake) gc(_ context.Context, valid []cni.Attachment) error {
	var names []string
	for _, a := range valid {
		names = append(names, a.ContainerID)
	}
	for container := range f.held {
		if !slices.Contains(names, container) {
			delete(f.held, container)
		}
	}
	return f.call("ipam GC but " + cmp.Or(strings.Join(names, ","), "nobody"))
}

func (f *ipamFake) status(context.Context) error { return f.call("ipam STATUS") }

func (f *ipamFake) inProcess() bool { return false }

func (l *lab) hold(container string) { l.held[container] = map[string]bool{addressOf(container): true} }

// command is one for a container; more is put into the configuration.
func (l *lab) command(name, container, more string) *cni.Command {
	conf := fmt.Sprintf(`{"cniVersion":"1.1.0","name":"azure","type":"azure-vnet","mode":"bridge","master":"eth0","dataDir":%q,"ipam":{"type":"azure-vnet-ipam"}%s}`, l.dir, more)
	return &cni.Command{Name: name, Log: discard,
		CmdArgs: &skel.CmdArgs{ContainerID: container, IfName: "eth0", Netns: "/ns/" + container, StdinData: []byte(conf)}}
}

// run runs a command, and returns the calls that it made.
func (l *lab) run(name, container, more string) (calls string, result types.Result, err error) {
	l.calls = nil
	c, p := l.command(name, container, more), l.plugin()
	switch name {
	case "ADD":
		result, err = p.add(l.Context(), c)
	case "DEL":
		err = p.del(l.Context(), c)
	case "CHECK":
		err = p.check(l.Context(), c)
	case "GC":
		err = p.gc(l.Context(), c)
	case "STATUS":
		err = p.status(l.Context(), c)
	}
	return strings.Join(l.calls, ", "), result, err
}

func (l *lab) must(name, container string) {
	l.Helper()
	if _, _, err := l.run(name, container, ""); err != nil {
		l.Fatalf("%s %s: %v", name, container, err)
	}
}

const prevResult = `,"prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"/ns/c1"}],"ips":[{"address":"10.240.1.1/16","interface":0}]}`

// What a command asks of the host and of the IPAM plugin, in which order, and what it takes back when one of them
// fails.
func TestTheOrderOfACommand(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		command string
		there   []string // containers
		fails   string   // a call, or several with commas
		more    string   // configuration
		calls   string
		held    string // containers with addresses in the end
		wrong   bool   // it ends with an error
		lost    bool   // the network's state was lost, and c1 found on the host
	}{
		"ADD":                                 {command: "ADD", calls: "CheckNetNS, ipam ADD, EnsureNetwork, CreateEndpoint", held: "c1"},
		"ADD, the namespace cannot be used":   {command: "ADD", fails: "CheckNetNS", calls: "CheckNetNS", wrong: true},
		"ADD, the IPAM plugin fails half way": {command: "ADD", fails: "ipam ADD", calls: "CheckNetNS, ipam ADD, ipam DEL", wrong: true},
		"ADD, the IPAM plugin fails altogether": {command: "ADD", fails: "ipam ADD,ipam DEL",
			calls: "CheckNetNS, ipam ADD, ipam DEL", held: "c1", wrong: true},
		"ADD, no network": {command: "ADD", fails: "EnsureNetwork",
			calls: "CheckNetNS, ipam ADD, EnsureNetwork, ipam DEL", wrong: true},
		"ADD, no endpoint": {command: "ADD", fails: "CreateEndpoint",
			calls: "CheckNetNS, ipam ADD, EnsureNetwork, CreateEndpoint, DeleteEndpoint, ipam DEL", wrong: true},
		"ADD, something of it stays on the host": {command: "ADD", fails: "CreateEndpoint,DeleteEndpoint",
			calls: "CheckNetNS, ipam ADD, EnsureNetwork, CreateEndpoint, DeleteEndpoint", held: "c1", wrong: true},
		"ADD of what is there": {command: "ADD", there: []string{"c1"}, calls: "", held: "c1", wrong: true},

		"DEL": {command: "DEL", there: []string{"c1"}, calls: "DeleteEndpoint, ipam DEL"},
		"DEL, the host does not": {command: "DEL", there: []string{"c1"}, fails: "DeleteEndpoint",
			calls: "DeleteEndpoint", held: "c1", wrong: true},
		"DEL, the IPAM plugin fails": {command: "DEL", there: []string{"c1"}, fails: "ipam DEL",
			calls: "DeleteEndpoint, ipam DEL", held: "c1", wrong: true},
		"DEL of what is not there": {command: "DEL", calls: "DeleteEndpoint, ipam DEL"},
		"DEL of what was found":    {command: "DEL", there: []string{"c1"}, lost: true, calls: "DeleteEndpoint, ipam DEL of 10.240.1.1"},

		"CHECK": {command: "CHECK", there: []string{"c1"}, more: prevResult,
			calls: "ipam CHECK, CheckEndpoint", held: "c1"},
		"CHECK, the IPAM plugin fails": {command: "CHECK", there: []string{"c1"}, more: prevResult, fails: "ipam CHECK",
			calls: "ipam CHECK", held: "c1", wrong: true},
		"CHECK, the host differs": {command: "CHECK", there: []string{"c1"}, more: prevResult, fails: "CheckEndpoint",
			calls: "ipam CHECK, CheckEndpoint", held: "c1", wrong: true},
		"CHECK without a result": {command: "CHECK", there: []string{"c1"}, calls: "ipam CHECK", held: "c1", wrong: true},

		"GC": {command: "GC", there: []string{"c1", "c2"}, more: `,"cni.dev/valid-attachments":[{"containerID":"c2","ifname":"eth0"}]`,
			calls: "DeleteEndpoint, ipam GC but c2", held: "c2"},
		"GC, one cannot be removed": {command: "GC", there: []string{"c1", "c2"}, fails: "DeleteEndpoint",
			more:  `,"cni.dev/valid-attachments":[{"containerID":"c2","ifname":"eth0"}]`,
			calls: "DeleteEndpoint, ipam GC but c2,c1", held: "c1,c2", wrong: true},
		"GC, what the host has is not known": {command: "GC", there: []string{"c1", "c2"}, fails: "Owners",
			more:  `,"cni.dev/valid-attachments":[{"containerID":"c2","ifname":"eth0"}]`,
			calls: "DeleteEndpoint, ipam DEL of c1", held: "c2", wrong: true},
		"GC, the IPAM plugin fails": {command: "GC", there: []string{"c1"}, fails: "ipam GC but nobody", more: `,"cni.dev/valid-attachments":[]`,
			calls: "DeleteEndpoint, ipam GC but nobody", wrong: true},

		"STATUS":                         {command: "STATUS", calls: "Status, ipam STATUS"},
		"STATUS, the host cannot":        {command: "STATUS", fails: "Status", calls: "Status", wrong: true},
		"STATUS, the IPAM plugin cannot": {command: "STATUS", fails: "ipam STATUS", calls: "Status, ipam STATUS", wrong: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			for _, container := range c.there {
				l.must("ADD", container)
			}
			if c.lost {
				l.rebuilt()
			}
			for call := range strings.SplitSeq(c.fails, ",") {
				l.fails[call] = broken
			}
			calls, _, err := l.run(c.command, "c1", c.more)
			if calls != c.calls {
				t.Errorf("calls: %s\nwant:  %s", calls, c.calls)
			}
			if c.wrong != (err != nil) || c.wrong && c.fails != "" && !strings.Contains(err.Error(), broken.Error()) {
				t.Errorf("it ends with %v", err)
			}
			var status *types.Error
			if c.command == "STATUS" && c.wrong && (!errors.As(err, &status) || status.Code != 50) {
				t.Errorf("STATUS ends with %v, whose code is not that of a plugin that is not available", err)
			}
			if c.command == "ADD" && len(c.there) == 0 && c.wrong && !strings.Contains(c.fails, "DeleteEndpoint") && l.records() > 0 {
				t.Error("the state has an endpoint that is not there")
			}
			var held []string
			for container, has := range l.held {
				if len(has) > 0 {
					held = append(held, container)
				}
			}
			slices.Sort(held)
			if got := strings.Join(held, ","); got != c.held {
				t.Errorf("addresses are held by %q, want %q", got, c.held)
			}
			// Nobody has an address on the host that another one may get.
			for _, container := range []string{"c1", "c2"} {
				if strings.Contains(l.host.String(), addressOf(container)) && !slices.Contains(held, container) {
					t.Errorf("the host has the address of %s, and it is not reserved:\n%s", container, l.host)
				}
			}
		})
	}
}

// records is how many endpoints the state has.
func (l *lab) records() (n int) {
	l.Helper()
	m, err := l.plugin().newManager(l.dir, discard)
	if err == nil {
		err = m.Store.View(l.Context(), func(s *network.State) error {
			for _, known := range s.Networks {
				n += known.Endpoints.Len()
			}
			return nil
		})
	}
	if err != nil {
		l.Fatal(err)
	}
	return n
}

// rebuilt makes the record of c1 one that was found on the host, with no other trace of it.
func (l *lab) rebuilt() {
	l.Helper()
	m, err := l.plugin().newManager(l.dir, discard)
	if err == nil {
		err = m.Store.Update(l.Context(), func(s *network.State) error {
			n := s.Networks["azure"]
			for _, e := range slices.Collect(n.Endpoints.All()) {
				e.Rebuilt = true
				n.Endpoints.Set(e)
			}
			return nil
		})
	}
	if err != nil {
		l.Fatal(err)
	}
}

// The watch of a node makes a manager for each look, for months.
func TestAManagerKeepsNoSocketOpen(t *testing.T) {
	t.Parallel()
	m, err := NewManager(t.TempDir(), discard)
	if err != nil {
		t.Fatal(err)
	}
	if plane, ok := m.Dataplane.(*linux.Dataplane); !ok || plane.Host.Sockets != nil {
		t.Errorf("%+v keeps what it opens", m.Dataplane)
	}
}
