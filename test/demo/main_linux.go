package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

func main() {
	bin := flag.String("bin", "", "folder of the two plugins")
	mode := flag.String("mode", "both", "bridge, tunnel, transparent, or both: the first VM in bridge mode, the second in tunnel mode")
	flag.Parse()
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "The demo makes network namespaces and needs root: sudo make demo")
		os.Exit(1)
	}
	// Everything lives in namespaces that this process alone holds: an interrupted demo leaves nothing.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *bin, *mode); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// place is somewhere a ping can come from and go to.
type place struct {
	name string
	ns   *fabric.Namespace // nil for what can only be pinged
	ip   netip.Addr
}

func run(ctx context.Context, bin, mode string) (err error) {
	modes := map[string][]string{"bridge": {"bridge", "bridge"}, "tunnel": {"tunnel", "tunnel"},
		"transparent": {"transparent", "transparent"}, "both": {"bridge", "tunnel"}}[mode]
	if modes == nil {
		return fmt.Errorf("unknown mode %q: bridge, tunnel, transparent or both", mode)
	}
	dir, err := os.MkdirTemp("", "azure-vnet-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f, err := fabric.New(fabric.Default(2, 10))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fmt.Println("An Azure virtual network with two VMs, simulated in network namespaces:")
	for i, vm := range f.VMs {
		nic := vm.Config.PrimaryNIC()
		fmt.Printf("  %s  %s %s  %s mode  addresses for pods: %s to %s\n", vm.Config.Name, nic.Name, nic.Address, modes[i],
			nic.Pods[0], nic.Pods[len(nic.Pods)-1])
	}
	var nodes []*node.Node
	var pods []*node.Pod
	var places []place
	for i, vm := range f.VMs {
		n, err := node.New(vm, filepath.Join(dir, vm.Config.Name), bin)
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
		list, err := node.List(n.Conf(map[string]any{"mode": modes[i]}))
		if err != nil {
			return err
		}
		for range 2 {
			started := time.Now()
			p, err := n.AddPod(ctx, list)
			if err != nil {
				return err
			}
			fmt.Printf("  ADD on %s: %s in %.1f ms\n", vm.Config.Name, p.IP, float64(time.Since(started).Microseconds())/1000)
			pods = append(pods, p)
			places = append(places, place{fmt.Sprintf("pod%d", len(pods)), p.NS, p.IP})
		}
	}
	for _, vm := range f.VMs {
		places = append(places, place{vm.Config.Name, vm.Ns, vm.Config.PrimaryNIC().Address})
	}
	places = append(places, place{"gateway", nil, f.VMs[0].Config.PrimaryNIC().Gateway()}, place{"remote", nil, fabric.RemoteHost})
	if err := matrix(ctx, places); err != nil {
		return err
	}
	for _, n := range nodes {
		r, err := n.Operator(ctx, "azure-vnet", "show", "--data-dir", n.DataDir())
		if err != nil {
			return err
		}
		fmt.Printf("\n%s$ azure-vnet show\n%s", n.VM.Config.Name, r.Stdout)
	}
	return finish(ctx, f, nodes, pods)
}

// matrix pings everything from everywhere. 64 means that the packet was switched, 63 that the fabric routed it.
func matrix(ctx context.Context, places []place) error {
	fmt.Println("\nWho reaches whom, by the TTL of the answer (64: directly; one less for each router: the fabric, in transparent mode the " +
		"hosts):")
	t := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	var names []string
	for _, p := range places {
		names = append(names, p.name)
	}
	_, _ = fmt.Fprintf(t, "from\\to\t%s\t\n", strings.Join(names, "\t"))
	failed := 0
	for _, from := range places {
		if from.ns == nil {
			continue
		}
		row := []string{from.name + " " + from.ip.String()}
		for _, to := range places {
			if to.ip == from.ip {
				row = append(row, "-")
				continue
			}
			r, err := from.ns.Ping(ctx, to.ip, fabric.PingOptions{})
			if err != nil {
				failed++
				row = append(row, "FAIL")
				continue
			}
			row = append(row, fmt.Sprint(r.TTL))
		}
		_, _ = fmt.Fprintf(t, "%s\t\n", strings.Join(row, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of the pings got no answer", failed)
	}
	return ctx.Err()
}

func finish(ctx context.Context, f *fabric.Fabric, nodes []*node.Node, pods []*node.Pod) error {
	for _, p := range pods {
		if err := p.Del(ctx); err != nil {
			return err
		}
	}
	c, err := f.Counters()
	if err != nil {
		return err
	}
	var queries uint64
	for _, n := range nodes {
		queries += n.VM.Agent.Queries()
	}
	fmt.Printf("\nThe pods are deleted. Frames that Azure would have dropped: %v. Questions to the host agent: %d.\n", c.Violations(), queries)
	return nil
}
