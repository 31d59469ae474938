//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/pkg/types"
)

// What a runtime asks for by capabilities: an address, a MAC, DNS settings, in libcni's way.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 9))
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode, "capabilities": map[string]bool{"ips": true, "mac": true, "dns": true}})
			other := l.add(n, list)
			p, err := n.NewPod(list)
			l.must(err)
			p.Capabilities = map[string]any{
				"ips": []string{"10.240.1.7/16"}, "mac": "02:11:22:33:44:55",
				"dns": map[string]any{"servers": []string{"10.0.0.10"}, "searches": []string{"default.svc.cluster.local"},
					"options": []string{"ndots:5"}},
			}
			l.must(p.Add(l.ctx))
			if p.IP != addr("10.240.1.7") {
				t.Errorf("the pod has %s", p.IP)
			}
			if link := l.podRun(p, "ip link show eth0"); !strings.Contains(link, "02:11:22:33:44:55") {
				t.Errorf("the pod's link: %s", link)
			}
			d := p.Result.DNS
			if !slices.Equal(d.Nameservers, []string{"10.0.0.10"}) || !slices.Equal(d.Search, []string{"default.svc.cluster.local"}) ||
				!slices.Equal(d.Options, []string{"ndots:5"}) {
				t.Errorf("DNS: %+v", d)
			}
			l.must(p.Check(l.ctx))
			l.reach("pod", p.NS, "gateway", gateway, ttls[mode].fabric)
			l.reach("pod", other.NS, "pod", p.IP, ttls[mode].samePod)
			l.reach("fabric", l.fabric.Ns(), "pod", p.IP, ttls[mode].fromFabric)

			for mac, want := range map[string]string{
				"02:11:22:33:44:55": p.ID, "00:0d:3a:00:00:01": "eth0", fabric.VirtualMAC: "Azure", // taken, the master's, the fabric's
				"01:00:5e:00:00:01": "runtimeConfig.mac", "nonsense": "runtimeConfig.mac",
			} {
				clash, err := n.NewPod(list)
				l.must(err)
				clash.Capabilities = map[string]any{"mac": mac}
				if err := clash.Add(l.ctx); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("MAC %s: %v", mac, err)
				}
			}
			if networks, pools := l.state(n); len(networks.Networks[0].Endpoints) != 2 || pools.Pools[0].Used != 2 {
				t.Errorf("refused pods left something: %+v %+v", networks, pools)
			}
			l.must(p.Del(l.ctx))
			l.must(other.Del(l.ctx))
			if left := l.leftovers(n); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// DNS: the runtime's before the configuration's before the IPAM plugin's. go-cni spells the keys with capitals.
func TestDNSOfTheResult(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	conf := map[string]any{"nameservers": []string{"10.9.9.9"}, "search": []string{"example.org"}}
	for name, c := range map[string]struct {
		fields map[string]any
		want   types.DNS
	}{
		"IPAM":          {nil, types.DNS{Nameservers: []string{"168.63.129.16"}}},
		"configuration": {map[string]any{"dns": conf}, types.DNS{Nameservers: []string{"10.9.9.9"}, Search: []string{"example.org"}}},
		"runtime": {map[string]any{"dns": conf,
			"runtimeConfig": map[string]any{"dns": map[string]any{"Servers": []string{"10.0.0.10"}, "Searches": []string{"svc"},
				"Options": []string{"ndots:5"}}}},
			types.DNS{Nameservers: []string{"10.0.0.10"}, Search: []string{"svc"}, Options: []string{"ndots:5"}}},
	} {
		pod, err := n.NewPod(nil)
		l.must(err)
		call := node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: pod.ID, NetNS: pod.NS.Path(),
			IfName: "eth0", Conf: l.conf(n, c.fields)}
		r := l.exec(n, call)
		l.wantSuccess(r)
		var got struct{ DNS types.DNS }
		if err := json.Unmarshal(r.Stdout, &got); err != nil || fmt.Sprint(got.DNS) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, %+v instead of %+v", name, err, got.DNS, c.want)
		}
		call.Command = "DEL"
		l.wantSuccess(l.exec(n, call))
	}
}

// The pods' MTU is the master's, whatever it is by now: that of new ones, and on a bridge, which drops what is larger
// without a word, that of those that live. One that was configured with a smaller MTU keeps it.
func TestMTUFollowsTheMaster(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 6))
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode})
			old, small := l.add(n, list), l.add(n, l.list(n, map[string]any{"mode": mode, "mtu": 1280}))
			for _, mtu := range []int{1500, 1400, 1450} {
				has := fmt.Sprintf("mtu %d ", mtu)
				l.run(n, fmt.Sprintf("ip link set eth0 mtu %d", mtu))
				p := l.add(n, list)
				if link := l.podRun(p, "ip link show eth0"); !strings.Contains(link, has) {
					t.Errorf("the pod's link with MTU %d: %s", mtu, link)
				}
				for _, i := range p.Result.Interfaces {
					if i.Mtu != mtu {
						t.Errorf("the result says %+v with MTU %d", i, mtu)
					}
				}
				if link := l.podRun(old, "ip link show eth0"); mode != "transparent" && !strings.Contains(link, has) {
					t.Errorf("the old pod's link with MTU %d: %s", mtu, link)
				}
				if link := l.podRun(small, "ip link show eth0"); !strings.Contains(link, "mtu 1280 ") {
					t.Errorf("the small pod's link with MTU %d: %s", mtu, link)
				}
				largest := fabric.PingOptions{Size: mtu - 28, DontFragment: true}
				for what, way := range map[string][]*node.Pod{"old to new": {old, p}, "new to old": {p, old}} {
					if err := l.ping(way[0].NS, way[1].IP, largest); err != nil {
						t.Errorf("%s with MTU %d: %v", what, mtu, err)
					}
				}
				if err := l.ping(old.NS, remoteHost, largest); err != nil {
					t.Errorf("old pod to the remote host with MTU %d: %v", mtu, err)
				}
				l.must(p.Check(l.ctx))
				if mode != "transparent" {
					l.healthy(n)
				}
			}
			big, err := n.NewPod(l.list(n, map[string]any{"mode": mode, "mtu": 9000}))
			l.must(err)
			if err := big.Add(l.ctx); err == nil || !strings.Contains(err.Error(), "MTU 9000") {
				t.Errorf("an MTU larger than the master's: %v", err)
			}
		})
	}
}
