//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// The reference plugins with "ipam": {"type": "azure-vnet-ipam"} and nothing else: as many containers as
// addresses, the next one learns why it gets none, each DEL frees its own (field-notes row 5).
func TestThirdPartyNetworkPlugins(t *testing.T) {
	t.Parallel()
	for _, plugin := range []map[string]any{
		{"type": "bridge", "bridge": "cni0"},
		{"type": "ptp"},
		{"type": "macvlan", "master": "eth0"},
	} {
		for _, version := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
			t.Run(fmt.Sprint(plugin["type"], " ", version), func(t *testing.T) {
				cfg := fabric.Default(1, 4)
				cfg.VMs[0].NICs[0].Veth = plugin["type"] == "macvlan" // which cannot be stacked on the usual NIC
				l := newLab(t, cfg)
				l.broken = true // what these plugins send is theirs
				n := l.nodes[0]
				n.Mounts = n.DefaultPaths()
				conf := map[string]any{"cniVersion": version, "name": "third", "ipam": map[string]any{"type": "azure-vnet-ipam"}}
				for k, v := range plugin {
					conf[k] = v
				}
				l.fillAndDrain(n, conf)
			})
		}
	}
}

func (l *lab) fillAndDrain(n *node.Node, conf map[string]any) {
	l.Helper()
	list, err := node.List(conf)
	l.must(err)
	want := n.VM.Config.PrimaryNIC().Pods
	given := map[netip.Addr]*node.Pod{}
	for range want {
		p := l.add(n, list)
		if given[p.IP] != nil {
			l.Errorf("%s is given twice", p.IP)
		}
		given[p.IP] = p
	}
	_, err = n.AddPod(l.ctx, list)
	if err == nil {
		l.Fatal("more containers than addresses")
	}
	for _, text := range []string{"no free address", "10.240.0.0/16", fmt.Sprintf("%d addresses, %d in use", len(want), len(want))} {
		if !strings.Contains(err.Error(), text) {
			l.Errorf("%q is not in %q", text, err)
		}
	}
	left := len(want)
	for _, p := range given {
		l.checkIPAM(n, p, conf)
		for range 3 {
			if err := p.Del(l.ctx); err != nil {
				l.Errorf("DEL: %v", err)
			}
		}
		left--
		if _, pools := l.state(n); pools.Pools[0].Used != left {
			l.Errorf("%d addresses are in use after a DEL, instead of %d", pools.Pools[0].Used, left)
		}
	}
}

// checkIPAM runs CHECK of the IPAM plugin alone: that of the reference bridge fails with pods of one's own, since
// its bridge takes another MAC whenever one comes (field-notes row 9).
func (l *lab) checkIPAM(n *node.Node, p *node.Pod, conf map[string]any) {
	l.Helper()
	if conf["cniVersion"] == "0.3.1" { // which has no CHECK
		return
	}
	with := map[string]any{"prevResult": p.Result}
	for k, v := range conf {
		with[k] = v
	}
	if v, err := p.Result.GetAsVersion(conf["cniVersion"].(string)); err == nil {
		with["prevResult"] = v
	}
	b, err := json.Marshal(with)
	l.must(err)
	l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet-ipam", Command: "CHECK", ContainerID: p.ID,
		NetNS: p.NS.Path(), IfName: "eth0", Conf: b}))
}

// ipamCall is a call of azure-vnet-ipam by hand.
func (l *lab) ipamCall(n *node.Node, command, id string, fields map[string]any) node.Call {
	l.Helper()
	conf := map[string]any{"cniVersion": "1.1.0", "name": "hand", "type": "by-hand", "dataDir": n.DataDir(),
		"logFile": n.LogFile("azure-vnet-ipam")}
	ipam := map[string]any{"type": "azure-vnet-ipam"}
	for k, v := range fields {
		if name, ok := strings.CutPrefix(k, "ipam."); ok {
			ipam[name] = v
		} else {
			conf[k] = v
		}
	}
	conf["ipam"] = ipam
	b, err := json.Marshal(conf)
	l.must(err)
	return node.Call{Plugin: "azure-vnet-ipam", Command: command, ContainerID: id, NetNS: "/var/run/netns/none", IfName: "eth0", Conf: b}
}

// given runs ADD of the IPAM plugin and returns the addresses.
func (l *lab) given(n *node.Node, c node.Call) []string {
	l.Helper()
	r := l.exec(n, c)
	l.wantSuccess(r)
	var result types100.Result
	oneDocument(l.T, r.Stdout, &result)
	var out []string
	for _, ip := range result.IPs {
		out = append(out, ip.Address.String())
	}
	if len(result.Interfaces) > 0 {
		l.Errorf("the result of an IPAM plugin has interfaces: %s", r.Stdout)
	}
	return out
}

func TestAskingForAnAddress(t *testing.T) {
	t.Parallel()
	ask := func(kind string, value any) map[string]any { return map[string]any{kind: value} }
	ips := func(v ...string) any { return map[string]any{"ips": v} }
	for name, c := range map[string]struct {
		fields map[string]any
		args   string
		want   string
	}{
		"ipam.ipAddress":                 {fields: ask("ipam.ipAddress", "10.240.1.3"), want: "10.240.1.3/16"},
		"ipam.ipAddress with a length":   {fields: ask("ipam.ipAddress", "10.240.1.3/16"), want: "10.240.1.3/16"},
		"CNI_ARGS":                       {args: "IP=10.240.1.4", want: "10.240.1.4/16"},
		"CNI_ARGS with a length":         {args: "IgnoreUnknown=1;IP=10.240.1.4/24;FOO=bar", want: "10.240.1.4/16"},
		"args.cni.ips":                   {fields: ask("args", map[string]any{"cni": ips("10.240.1.5")}), want: "10.240.1.5/16"},
		"runtimeConfig.ips":              {fields: ask("runtimeConfig", ips("10.240.1.6/16")), want: "10.240.1.6/16"},
		"CNI_ARGS before ipam.ipAddress": {fields: ask("ipam.ipAddress", "10.240.1.3"), args: "IP=10.240.1.4", want: "10.240.1.4/16"},
		"runtimeConfig before all": {fields: map[string]any{"ipam.ipAddress": "10.240.1.3",
			"args": map[string]any{"cni": ips("10.240.1.5")}, "runtimeConfig": ips("10.240.1.6")}, args: "IP=10.240.1.4", want: "10.240.1.6/16"},
		"subnet":        {fields: ask("ipam.subnet", "10.240.0.0/16"), want: "10.240.1.1/16"},
		"nothing":       {want: "10.240.1.1/16"},
		"families ipv4": {fields: ask("ipam.families", []string{"ipv4"}), want: "10.240.1.1/16"},
		"families ipv6": {fields: ask("ipam.families", []string{"ipv6"}), want: "fd00::1:1/64"},
		"both families": {fields: ask("ipam.families", []string{"ipv4", "ipv6"}), want: "10.240.1.1/16 fd00::1:1/64"},
		"both families, IPv6 asked for": {fields: map[string]any{"ipam.families": []string{"ipv4", "ipv6"},
			"runtimeConfig": ips("fd00::1:4")}, want: "10.240.1.1/16 fd00::1:4/64"},
		"one of each family":                {fields: ask("runtimeConfig", ips("10.240.1.5", "fd00::1:5")), want: "10.240.1.5/16 fd00::1:5/64"},
		"an IPv6 address":                   {fields: ask("ipam.ipAddress", "fd00::1:3"), want: "fd00::1:3/64"},
		"queryInterval as a string":         {fields: ask("ipam.queryInterval", "30"), want: "10.240.1.1/16"},
		"the classic plugin's addressSpace": {fields: ask("ipam.addressSpace", "local"), want: "10.240.1.1/16"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 8))
			n := l.nodes[0]
			call := l.ipamCall(n, "ADD", "c0", c.fields)
			call.Args = c.args
			for range 2 { // the same owner gets the same again
				if got := strings.Join(l.given(n, call), " "); got != c.want {
					t.Errorf("%s instead of %s", got, c.want)
				}
			}
			call.Command = "DEL"
			l.wantSuccess(l.exec(n, call))
			if left := l.leftovers(n); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestAskingForAnAddressThatCannotBeGiven(t *testing.T) {
	l := newLab(t, fabric.DefaultDual(1, 4))
	n := l.nodes[0]
	l.given(n, l.ipamCall(n, "ADD", "holder", map[string]any{"ipam.ipAddress": "10.240.1.2"}))
	for name, c := range map[string]struct {
		fields map[string]any
		code   uint
		text   string
	}{
		"held by another":   {map[string]any{"ipam.ipAddress": "10.240.1.2"}, 7, "10.240.1.2 is held by hand/holder/eth0"},
		"not ours":          {map[string]any{"ipam.ipAddress": "10.240.9.9"}, 7, "not an address of this host's pools: 10.240.9.9"},
		"the host's own":    {map[string]any{"ipam.ipAddress": "10.240.0.4"}, 7, "not an address of this host's pools"},
		"of another family": {map[string]any{"ipam.families": []string{"ipv4"}, "ipam.ipAddress": "fd00::1:1"}, 7, "another family"},
		"two of a family": {map[string]any{"runtimeConfig": map[string]any{"ips": []string{"10.240.1.3", "10.240.1.4"}}}, 7,
			"more than one"},
		"no address": {map[string]any{"args": map[string]any{"cni": map[string]any{"ips": []string{"web"}}}}, 7,
			"args.cni.ips=web"},
		"one of two is not to have": {map[string]any{"runtimeConfig": map[string]any{"ips": []string{"fd00::1:3", "10.240.1.2"}}}, 7,
			"10.240.1.2 is held"},
	} {
		r := l.exec(n, l.ipamCall(n, "ADD", "c1", c.fields))
		if e := l.wantError(r, c.code); !strings.Contains(e.Msg+e.Details, c.text) {
			t.Errorf("%s: %q is not in %q; %q", name, c.text, e.Msg, e.Details)
		}
		if _, pools := l.state(n); pools.Pools[0].Used+pools.Pools[1].Used != 1 {
			t.Errorf("%s: something stays reserved: %+v", name, pools.Pools)
		}
	}
}

// The classic explicit form of DEL frees an address whose holder is not known, and nobody else's.
func TestClassicDelByAddress(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	l.given(n, l.ipamCall(n, "ADD", "holder", map[string]any{"ipam.ipAddress": "10.240.1.2"}))
	del := l.ipamCall(n, "DEL", "stranger", map[string]any{"ipam.ipAddress": "10.240.1.2"})
	l.wantSuccess(l.exec(n, del))
	if _, pools := l.state(n); pools.Pools[0].Used != 1 {
		t.Error("a stranger's DEL freed the address of a holder")
	}
	del.ContainerID = "holder"
	l.wantSuccess(l.exec(n, del))
	if left := l.leftovers(n); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// The address that was released last is the last one to be given again.
func TestFairReuse(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	var order []string
	for i := range 10 {
		id := fmt.Sprintf("c%d", i)
		order = append(order, l.given(n, l.ipamCall(n, "ADD", id, nil))...)
		l.wantSuccess(l.exec(n, l.ipamCall(n, "DEL", id, nil)))
	}
	for i := 4; i < len(order); i++ {
		if order[i] != order[i-4] {
			t.Fatalf("not in turn: %v", order)
		}
	}
}

// A second network takes a pool that nobody uses, a secondary NIC's before the primary's; master pins it.
func TestNetworksAndPools(t *testing.T) {
	cfg := fabric.Default(1, 3)
	second := fabric.Default(2, 3).VMs[1].NICs[0]
	second.Name, second.Primary, second.Prefix = "eth1", false, netip.MustParsePrefix("10.244.0.0/16")
	second.Address, second.Pods = addr("10.244.0.4"), []netip.Addr{addr("10.244.1.1"), addr("10.244.1.2"), addr("10.244.1.3")}
	cfg.VMs[0].NICs = append(cfg.VMs[0].NICs, second)
	l := newLab(t, cfg)
	n := l.nodes[0]
	for _, c := range []struct {
		id, network string
		fields      map[string]any
		want        string
	}{
		{"a", "one", nil, "10.244.1.1/16"},                                             // the secondary NIC first
		{"b", "two", nil, "10.240.1.1/16"},                                             // then what nobody uses
		{"c", "one", nil, "10.244.1.2/16"},                                             // a network stays with its pool
		{"d", "three", nil, "10.244.1.3/16"},                                           // shared, in the same order
		{"e", "four", map[string]any{"master": "eth0"}, "10.240.1.2/16"},               // pinned
		{"f", "five", map[string]any{"ipam.subnet": "10.240.0.0/16"}, "10.240.1.3/16"}, // chosen
	} {
		fields := map[string]any{"name": c.network}
		for k, v := range c.fields {
			fields[k] = v
		}
		if got := strings.Join(l.given(n, l.ipamCall(n, "ADD", c.id, fields)), " "); got != c.want {
			t.Errorf("network %s: %s instead of %s", c.network, got, c.want)
		}
	}
	e := l.wantError(l.exec(n, l.ipamCall(n, "ADD", "g", map[string]any{"name": "one"})), 100)
	if !strings.Contains(e.Msg, "10.244.0.0/16") || strings.Contains(e.Msg, "10.240.0.0/16") {
		t.Errorf("a bound network names its own pool: %q", e.Msg)
	}
	gc := l.ipamCall(n, "GC", "", map[string]any{"name": "one", "cni.dev/valid-attachments": []any{}})
	l.wantSuccess(l.exec(n, gc))
	if _, pools := l.state(n); pools.Pools[0].Used+pools.Pools[1].Used != 4 {
		t.Errorf("GC of one network: %+v", pools.Pools)
	}
}
