package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/traffic"
)

// packets measures what a packet costs from pod to pod of one VM, over a bridge without any rules, over the reference
// plugin's, and over ours; with two pods there and with 250. Both VMs track connections, as nodes with a kube-proxy do.
func (b *bench) packets(ctx context.Context) error {
	for _, p := range []pair{pairs[0], pairs[2]} {
		for _, there := range []int{2, present} {
			took, lost, err := b.paths(ctx, p, there)
			if err != nil {
				return fmt.Errorf("%s mode: %w", p.mode, err)
			}
			group := fmt.Sprintf("pod to pod, %s mode, %d pods", p.mode, there)
			for _, m := range traffic.Measures {
				toBridge, toReference := 0.0, 0.0
				if there == present {
					toBridge, toReference = map[string]float64{"bridge": 1.1}[p.mode], map[string]float64{"transparent": 1.05}[p.mode]
				}
				b.report.compare(group, m.Name+", reference: a plain bridge", "ms", took["ours "+m.Name], took["plain "+m.Name], toBridge)
				b.report.compare(group, m.Name+", reference: "+p.name, "ms", took["ours "+m.Name], took["reference "+m.Name], toReference)
			}
			b.report.Rows = append(b.report.Rows, row{Group: group, Measure: "datagrams sent again, reference: " + p.name, Unit: "number",
				Ours: lost["ours"], Reference: lost["reference"]})
		}
	}
	return nil
}

// namedPath goes over ours, the reference's, or a plain bridge.
type namedPath struct {
	name string
	*traffic.Path
}

// paths says how long what took on which path, in ms, and how many datagrams had to be sent again there.
func (b *bench) paths(ctx context.Context, p pair, there int) (_ map[string][]float64, _ map[string]float64, err error) {
	v, err := b.vms(p, there+10)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	for _, n := range v.nodes {
		if err := trackConnections(ctx, n.VM.Ns); err != nil {
			return nil, nil, err
		}
	}
	var paths []namedPath
	defer func() {
		for _, p := range paths {
			p.Close()
		}
	}()
	open := func(name string, from, to *fabric.Namespace, at netip.Addr) error {
		p, err := traffic.Open(ctx, from, to, net.JoinHostPort(at.String(), "7000"))
		if err == nil {
			paths = append(paths, namedPath{name, p})
		}
		return err
	}
	for i, list := range v.lists {
		var ends [2]*fabric.Namespace
		var last netip.Addr
		for n := range there {
			pod, err := v.nodes[i].AddPod(ctx, list)
			if err != nil {
				return nil, nil, err
			}
			if n >= there-2 {
				ends[n-there+2], last = pod.NS, pod.Addr(false)
			}
		}
		if err := open([]string{"ours", "reference"}[i], ends[0], ends[1], last); err != nil {
			return nil, nil, err
		}
	}
	from, to, at, err := v.plainBridge(ctx, there)
	if err == nil {
		err = open("plain", from, to, at)
	}
	if err != nil {
		return nil, nil, err
	}
	took := map[string][]float64{}
	const rounds = 30
	for n := 0; !enough(n, rounds, pairsOf(took)...); n++ {
		for _, m := range traffic.Measures {
			for i := range paths {
				p := paths[(i+n)%len(paths)]
				begun := time.Now()
				if err := m.Run(p.Path); err != nil {
					return nil, nil, fmt.Errorf("%s, %s: %w", p.name, m.Name, err)
				}
				took[p.name+" "+m.Name] = append(took[p.name+" "+m.Name], time.Since(begun).Seconds()*1e3)
			}
		}
	}
	lost := map[string]float64{}
	for _, p := range paths {
		lost[p.name] = float64(p.Lost)
	}
	return took, lost, nil
}

// pairsOf are ours with each of the two that it is compared with.
func pairsOf(took map[string][]float64) (all []series) {
	for _, m := range traffic.Measures {
		for _, other := range []string{"plain ", "reference "} {
			all = append(all, series{took["ours "+m.Name], took[other+m.Name]})
		}
	}
	return all
}

// trackConnections is what each node has by kube-proxy, before any network plugin: the kernel follows all connections,
// those of bridged frames, too.
func trackConnections(ctx context.Context, ns *fabric.Namespace) error {
	cmd := ns.Command(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader("table inet proxy { chain services { type nat hook prerouting priority dstnat; }; chain forward { type " +
		"filter hook forward priority filter; ct state established,related accept; }; }\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

// plainBridge makes a bridge with pods by hand, and returns the last two and the address of the last.
func (v *vms) plainBridge(ctx context.Context, pods int) (from, to *fabric.Namespace, at netip.Addr, err error) {
	var lines strings.Builder
	fmt.Fprintln(&lines, "link add plain0 up type bridge mcast_snooping 0")
	for i := range pods {
		ns, err := v.nodes[theReference].VM.NewPod(fmt.Sprintf("plain%d", i))
		if err != nil {
			return nil, nil, at, err
		}
		from, to, at = to, ns, netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i + 1)})
		line := fmt.Sprintf("link add plain%d up mtu 1500 master plain0 type veth peer name eth0 mtu 1500 netns %s", i+1, ns.Path())
		if err := v.ip(ctx, v.nodes[theReference].VM.Ns, line+"\n", lines.String()); err != nil {
			return nil, nil, at, err
		}
		lines.Reset()
		if err := v.ip(ctx, ns, fmt.Sprintf("link set eth0 up\naddr add %s/16 dev eth0\n", at), ""); err != nil {
			return nil, nil, at, err
		}
	}
	return from, to, at, nil
}

// ip runs "ip -batch" inside a namespace.
func (v *vms) ip(ctx context.Context, ns *fabric.Namespace, batch, before string) error {
	cmd := ns.Command(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(before + batch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", batch, err, out)
	}
	return nil
}
