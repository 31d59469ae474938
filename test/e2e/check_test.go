//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// prevResult is a pod's result as the runtime keeps it, with what change makes of it.
func (l *lab) prevResult(p *node.Pod, change func(result *types100.Result)) *types100.Result {
	l.Helper()
	text, err := json.Marshal(p.Result)
	l.must(err)
	result := &types100.Result{}
	l.must(json.Unmarshal(text, result))
	if change != nil {
		change(result)
	}
	return result
}

// checks is a CHECK of the pod by the plugin alone, with this result.
func (l *lab) checks(n *node.Node, p *node.Pod, fields map[string]any, prev *types100.Result) node.Reply {
	l.Helper()
	all := map[string]any{"prevResult": prev}
	for k, v := range fields {
		all[k] = v
	}
	return l.exec(n, node.Call{Plugin: "azure-vnet", Command: "CHECK", ContainerID: p.ID, NetNS: p.NS.Path(),
		IfName: p.IfName, Conf: l.conf(n, all)})
}

// own is the pod's interface in a result.
func own(r *types100.Result) *types100.Interface { return r.Interfaces[len(r.Interfaces)-1] }

// further is an address that somebody gave the pod's interface.
func further(r *types100.Result) {
	r.IPs = append(r.IPs, &types100.IPConfig{Address: cni.IPNet(netip.MustParsePrefix("192.0.2.9/24")),
		Interface: types100.Int(len(r.Interfaces) - 1)})
}

// What real plugins further back in the chain change, and what others record in the result, passes CHECK; the pod has
// its network, and doctor sees no failure (CNI specification 1.1.0, CHECK).
func TestCheckLetsOtherPluginsHaveTheirWay(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		for name, chained := range map[string]map[string]any{
			"tuning with mtu": {"type": "tuning", "mtu": 1400}, "tuning with mac": {"type": "tuning", "mac": "02:11:22:33:44:55"},
			"sbr": {"type": "sbr"},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				l := newLab(t, fabric.DefaultDual(1, 4))
				n := l.nodes[0]
				p := l.add(n, l.list(n, map[string]any{"mode": mode, "ipam": bothFamilies}, chained))
				other := l.add(n, l.list(n, map[string]any{"mode": mode, "ipam": bothFamilies}))
				for range 2 {
					l.must(p.Check(l.ctx))
				}
				for _, v6 := range []bool{false, true} {
					l.reach("fabric", l.fabric.Ns(), "pod", p.Addr(v6), ttls[mode].fromFabric)
					l.reach("host", n.VM.Ns, "pod", p.Addr(v6), ttls[mode].fromHost)
					l.reach("other pod", other.NS, "pod", p.Addr(v6), ttls[mode].samePod)
				}
				if err := l.ping(p.NS, remoteHost, fabric.PingOptions{Source: p.IP}); err != nil { // sbr moves the default route
					t.Error(err)
				}
				l.must(other.Check(l.ctx))
				l.noFailure(n)
				l.must(p.Del(l.ctx))
				l.must(other.Del(l.ctx))
				if found := l.leftovers(n); len(found) > 0 {
					t.Errorf("left: %v", found)
				}
			})
		}
	}
	for name, c := range map[string]struct {
		inPod  []string
		change func(result *types100.Result)
	}{
		"multus' default-route": {[]string{"ip route del default"}, func(r *types100.Result) { r.Routes = nil }},
		"a further address":     {[]string{"ip addr add 192.0.2.9/24 dev eth0"}, further},
		"a further interface": {nil, func(r *types100.Result) {
			r.Interfaces = append(r.Interfaces, &types100.Interface{Name: "net1", Sandbox: "/elsewhere"})
		}},
		"a smaller MTU": {[]string{"ip link set eth0 mtu 1300"}, func(r *types100.Result) { own(r).Mtu = 1300 }},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 4))
			n := l.nodes[0]
			p := l.add(n, l.list(n, map[string]any{"mode": "bridge"}))
			for _, line := range c.inPod {
				l.podRun(p, line)
			}
			l.wantSuccess(l.checks(n, p, map[string]any{"mode": "bridge"}, l.prevResult(p, c.change)))
			l.noFailure(n)
		})
	}
}

// noFailure says that doctor sees none.
func (l *lab) noFailure(n *node.Node) {
	l.Helper()
	for _, f := range l.findings(n) {
		if f.Level == "failure" {
			l.Errorf("doctor says: %+v", f)
		}
	}
}

// What the result says, and is not so, is a difference.
func TestCheckReadsTheResult(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		inPod  []string
		change func(result *types100.Result)
		want   string
	}{
		"another MAC than the pod's": {nil, func(r *types100.Result) { own(r).Mac = "02:00:00:00:00:09" },
			"the runtime's result says 02:00:00:00:00:09"},
		"the host's MAC, in the pod, too": {[]string{"ip link set eth0 address 00:0d:3a:00:00:01"},
			func(r *types100.Result) { own(r).Mac = "00:0d:3a:00:00:01" }, "is that of the host's"},
		"another pod's MAC, in it, too": {[]string{"ip link set eth0 address 0a:58:0a:f0:01:02"},
			func(r *types100.Result) { own(r).Mac = "0a:58:0a:f0:01:02" }, "is that of azure/"},
		"a MAC that the result says not": {[]string{"ip link set eth0 address 02:00:00:00:00:09"}, nil, "has MAC 02:00:00:00:00:09 instead of"},
		"no interface of the name":       {nil, func(r *types100.Result) { own(r).Name = "eth7" }, "no interface eth0"},
		"another namespace":              {nil, func(r *types100.Result) { own(r).Sandbox = "/proc/1/ns/net" }, "/proc/1/ns/net"},
		"a smaller MTU than the pod has": {nil, func(r *types100.Result) { own(r).Mtu = 1300 }, "MTU 1500 instead of 1300"},
		"an address that the pod lacks":  {nil, further, "address 192.0.2.9/24 is missing"},
		"without the pod's address": {nil,
			func(r *types100.Result) { r.IPs[0].Address = cni.IPNet(netip.MustParsePrefix("10.240.9.9/16")) }, "10.240.9.9"},
		"a route that the pod has no more": {[]string{"ip route del default"}, nil, "route 0.0.0.0/0 by 10.240.0.1 is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 4))
			l.broken = true // what the pod sends with the host's MAC
			n := l.nodes[0]
			fields := map[string]any{"mode": "bridge"}
			p, other := l.add(n, l.list(n, fields)), l.add(n, l.list(n, fields))
			for _, line := range c.inPod {
				l.podRun(p, line)
			}
			if e := l.wantError(l.checks(n, p, fields, l.prevResult(p, c.change)), 104); !strings.Contains(e.Msg, c.want) {
				t.Errorf("CHECK says %q, which lacks %q", e.Msg, c.want)
			}
			l.must(other.Check(l.ctx))
			l.reach("other pod", other.NS, "gateway", gateway, 64)
		})
	}
}

// Routes of the IPAM plugin have attributes since CNI 1.1.0: the pod has them, and the result says so.
func TestAttributesOfRoutes(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 4))
			n := l.nodes[0]
			ipam := map[string]any{"type": "static", "addresses": []any{
				map[string]string{"address": "10.240.1.1/16", "gateway": "10.240.0.1"},
				map[string]string{"address": "fd00::1:1/64", "gateway": "fe80::1234:5678:9abc"}},
				"routes": []any{
					map[string]any{"dst": "0.0.0.0/0"}, map[string]any{"dst": "::/0"},
					map[string]any{"dst": "192.168.0.0/16", "table": 100},
					map[string]any{"dst": "172.16.0.0/12", "mtu": 1300, "advmss": 1200, "priority": 77},
					map[string]any{"dst": "fd77::/48", "mtu": 1400, "priority": 78},
					map[string]any{"dst": "10.99.0.0/16", "scope": 253},
				}}
			p := l.add(n, l.list(n, map[string]any{"mode": mode, "ipam": ipam}))
			main, aside, six := l.podRun(p, "ip -N route"), l.podRun(p, "ip -N route show table 100"), l.podRun(p, "ip -N -6 route")
			want := func(where, text string, words ...string) {
				t.Helper()
				for line := range strings.Lines(text) {
					if strings.HasPrefix(line, words[0]+" ") && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
						return
					}
				}
				t.Errorf("no route of %q in %s:\n%s", words, where, text)
			}
			want("the main table", main, "172.16.0.0/12", "metric 77", "mtu 1300", "advmss 1200")
			want("the main table", six, "fd77::/48", "metric 78", "mtu 1400")
			want("table 100", aside, "192.168.0.0/16")
			if strings.Contains(main, "192.168.0.0/16") {
				t.Errorf("the route of table 100 is in the main one:\n%s", main)
			}
			if mode == "bridge" {
				want("the main table", main, "10.99.0.0/16", "scope 253")
			}
			var told []string
			for _, r := range p.Result.Routes {
				table, scope := 0, 0
				if r.Table != nil {
					table = *r.Table
				}
				if r.Scope != nil {
					scope = *r.Scope
				}
				told = append(told, fmt.Sprint(r.Dst.String(), r.MTU, r.AdvMSS, r.Priority, table, scope))
			}
			for _, want := range []string{"192.168.0.0/16 0 0 0 100 0", "172.16.0.0/12 1300 1200 77 0 0", "fd77::/48 1400 0 78 0 0"} {
				if !slices.ContainsFunc(told, func(got string) bool { return strings.ReplaceAll(got, " ", "") == strings.ReplaceAll(want, " ", "") }) {
					t.Errorf("the result has %q, and not %q", told, want)
				}
			}
			l.must(p.Check(l.ctx))
			l.must(p.Del(l.ctx))
		})
	}
}
