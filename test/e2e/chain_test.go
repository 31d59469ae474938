//go:build linux

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// A MAC is asked for in three ways (CONVENTIONS.md, "mac"), of which the last one counts; nerdctl, podman and CRI-O
// take the first.
func TestAMACIsAskedForInThreeWays(t *testing.T) {
	t.Parallel()
	const byArgs, byConf, byRuntime = "02:42:ac:11:00:01", "02:42:ac:11:00:02", "02:42:ac:11:00:03"
	for _, mode := range []string{"bridge", "transparent"} {
		for name, c := range map[string]struct {
			args   string
			fields map[string]any
			want   string
		}{
			"CNI_ARGS": {"IgnoreUnknown=1;MAC=" + byArgs, nil, byArgs},
			"args.cni": {"MAC=" + byArgs, map[string]any{"args": map[string]any{"cni": map[string]string{"mac": byConf}}}, byConf},
			"capability": {"MAC=" + byArgs, map[string]any{"args": map[string]any{"cni": map[string]string{"mac": byConf}},
				"runtimeConfig": map[string]string{"mac": byRuntime}}, byRuntime},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				l := newLab(t, fabric.Default(1, 3))
				n := l.nodes[0]
				fields := map[string]any{"mode": mode}
				for k, v := range c.fields {
					fields[k] = v
				}
				p, err := n.NewPod(nil)
				l.must(err)
				call := node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: p.ID, NetNS: p.NS.Path(), IfName: "eth0",
					Args: c.args, Conf: l.conf(n, fields)}
				r := l.exec(n, call)
				l.wantSuccess(r)
				var result types100.Result
				oneDocument(t, r.Stdout, &result)
				if got := result.Interfaces[len(result.Interfaces)-1].Mac; got != c.want ||
					!strings.Contains(l.podRun(p, "ip link show eth0"), c.want) {
					t.Errorf("the result has %s instead of %s; %s", got, c.want, l.podRun(p, "ip link show eth0"))
				}
				l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
				call.ContainerID, call.Args = "other", "MAC=01:00:5e:00:00:01"
				call.Conf = l.conf(n, map[string]any{"mode": mode})
				if e := l.wantError(l.exec(n, call), 4); !strings.Contains(e.Msg, "MAC=01:00:5e:00:00:01") {
					t.Errorf("a group's MAC: %s", e.Msg)
				}
			})
		}
	}
}

// What plugins before ours in the chain have made stays in the result (CNI specification, ADD).
func TestResultsOfEarlierPluginsArePassedOn(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 3))
			n := l.nodes[0]
			list, err := node.List(map[string]any{"cniVersion": "1.1.0", "name": "azure", "type": "loopback"}, n.Conf(map[string]any{"mode": mode}))
			l.must(err)
			p := l.add(n, list)
			var got []string
			for _, ip := range p.Result.IPs {
				got = append(got, fmt.Sprintf("%s on %s", ip.Address.IP, p.Result.Interfaces[*ip.Interface].Name))
			}
			if all := strings.Join(got, ", "); !strings.Contains(all, "127.0.0.1 on lo") || !strings.Contains(all, "10.240.1.1 on eth0") {
				t.Errorf("the result has %s", all)
			}
			l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
			l.must(p.Check(l.ctx))
			l.must(p.Del(l.ctx))
			if left := l.leftovers(n); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// GC meets an error on the host: what could be removed has no address reserved any more, and what could not has its own
// still.
func TestGCGoesOnAfterAnError(t *testing.T) {
	l := newLab(t, fabric.Default(1, 8))
	n := l.nodes[0]
	list := l.list(n, nil)
	keep := l.add(n, list)
	for when := 4; when <= 12; when++ {
		for range 3 {
			l.add(n, list)
		}
		conf := l.conf(n, map[string]any{"cni.dev/valid-attachments": []any{map[string]string{"containerID": keep.ID, "ifname": "eth0"}}})
		cmd := n.VM.Ns.Command(l.ctx, "strace", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=sendto", "-e",
			fmt.Sprintf("inject=sendto:error=ENOBUFS:when=%d", when), filepath.Join(binaries, "azure-vnet"))
		cmd.Stdin, cmd.Env = strings.NewReader(string(conf)), []string{"CNI_COMMAND=GC", "CNI_PATH=" + binaries, "PATH=/usr/bin:/bin"}
		out, err := cmd.Output()
		networks, pools := l.state(n)
		if endpoints, held := len(networks.Networks[0].Endpoints), pools.Pools[0].Used; endpoints != held {
			t.Errorf("message %d fails: %d endpoints, %d addresses reserved: %v %s", when, endpoints, held, err, out)
		}
		l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "GC", Conf: conf}))
		l.must(keep.Check(l.ctx))
	}
}

// Somebody breaks the configuration while pods run. An ADD is refused; a DEL takes away what is there all the same (CNI
// specification, DEL), as long as it knows whose it is and where the state is.
func TestDelWithAWrongConfiguration(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 3))
			n := l.nodes[0]
			for name, wrong := range map[string]map[string]any{
				"mode": {"mode": "brdige"}, "mtu": {"mtu": 100}, "vnetCidrs": {"vnetCidrs": []string{"10.0.0/8"}},
				"logFile":     {"logFile": "relative.log"},
				"environment": {"ipam": map[string]string{"type": "azure-vnet-ipam", "environment": "gcp"}},
				"MAC":         {"runtimeConfig": map[string]string{"mac": "zz"}},
				"master":      {"master": "no such/interface"}, "bridge": {"bridge": "a bridge with a name that is too long"},
				"multiTenancy": {"multiTenancy": true},
			} {
				p := l.add(n, l.list(n, map[string]any{"mode": mode}))
				fields := map[string]any{"mode": mode}
				for k, v := range wrong {
					fields[k] = v
				}
				call := node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: "other", NetNS: p.NS.Path(),
					IfName: "eth1", Conf: l.conf(n, fields)}
				if r := l.exec(n, call); r.Exit == 0 {
					t.Errorf("%s: ADD says %s", name, r.Stdout)
				}
				call.Command, call.ContainerID, call.IfName = "DEL", p.ID, "eth0"
				l.wantSuccess(l.exec(n, call))
				if left := l.leftovers(n); len(left) > 0 {
					t.Errorf("%s: left after DEL: %v", name, left)
				}
			}
			p := l.add(n, l.list(n, map[string]any{"mode": mode}))
			call := node.Call{Plugin: "azure-vnet", Command: "DEL", ContainerID: p.ID, NetNS: p.NS.Path(), IfName: "eth0",
				Conf: l.conf(n, map[string]any{"dataDir": "relative"})}
			l.wantError(l.exec(n, call), 7)
		})
	}
}

// Routes of the IPAM plugin that no pod can have are its mistake, and no defect of ours; nothing of the pod is left.
func TestRoutesThatNoPodCanHave(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel"} { // in transparent mode every gateway is the host
		for name, routes := range map[string][]map[string]string{
			"a gateway that is not on the link": {{"dst": "0.0.0.0/0", "gw": "10.99.0.1"}},
			"the same route twice":              {{"dst": "192.168.0.0/16"}, {"dst": "192.168.0.0/16", "gw": "10.240.0.3"}},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				l := newLab(t, fabric.Default(1, 3))
				n := l.nodes[0]
				ipam := map[string]any{"type": "host-local", "dataDir": n.Dir, "routes": routes,
					"ranges": [][]map[string]string{{{"subnet": "10.240.0.0/16", "rangeStart": "10.240.1.1",
						"rangeEnd": "10.240.1.3", "gateway": "10.240.0.1"}}}}
				ns, err := n.VM.NewPod("pod")
				l.must(err)
				call := node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: "c0", NetNS: ns.Path(), IfName: "eth0",
					Conf: l.conf(n, map[string]any{"mode": mode, "ipam": ipam})}
				if e := l.wantError(l.exec(n, call), 7); !strings.Contains(e.Msg, routes[0]["dst"]) {
					t.Errorf("the route is not named: %s", e.Msg)
				}
				if left := l.hostLeftovers(n); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		}
	}
}

// A pod whose namespace is gone fails its CHECK for that reason.
func TestCheckOfAPodWhoseNamespaceIsGone(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	p := l.add(n, l.list(n, nil))
	path := p.NS.Path()
	l.must(p.NS.Close()) // the kernel takes the interface away at leisure: the answer must not depend on it
	call := node.Call{Plugin: "azure-vnet", Command: "CHECK", ContainerID: p.ID, NetNS: path, IfName: "eth0",
		Conf: l.conf(n, map[string]any{"prevResult": p.Result})}
	if e := l.wantError(l.exec(n, call), 8); !strings.Contains(e.Msg, path) {
		t.Errorf("the namespace is not named: %s", e.Msg)
	}
}
