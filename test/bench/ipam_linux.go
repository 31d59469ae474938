package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
	"github.com/Azure/azure-container-networking/test/node"
)

// ipam measures the IPAM plugins alone, as another network plugin executes them: on an empty node, with as many pods as a
// node of AKS has unless somebody says otherwise, with nearly all that a NIC has addresses for, and in a pool of 10,000.
func (b *bench) ipam(ctx context.Context) error {
	for _, of := range []struct{ size, there int }{{250, 0}, {250, 30}, {250, 240}, {10_000, 0}} {
		if err := b.ipamPool(ctx, of.size, of.there); err != nil {
			return fmt.Errorf("a pool of %d, %d pods there: %w", of.size, of.there, err)
		}
	}
	return nil
}

func (b *bench) ipamPool(ctx context.Context, size, there int) (err error) {
	v, err := b.vms(pairs[0], 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	nic := v.nodes[ours].VM.Config.PrimaryNIC() // only the host agent knows of so many: no pod will use them
	subnet := ipamtest.Subnet{Prefix: nic.Prefix, Primary: nic.Address}
	for a := nic.Pods[0]; len(subnet.Secondary) < size; a = a.Next() {
		subnet.Secondary = append(subnet.Secondary, a)
	}
	v.nodes[ours].VM.Agent.SetInterfaces(ipamtest.Interface{MAC: nic.MAC, Primary: true, Subnets: []ipamtest.Subnet{subnet}})
	for i, section := range []map[string]any{{"type": "azure-vnet-ipam"}, hostLocal(v.dir)} {
		// libcni executes a list's plugin by its type: here the IPAM plugin itself.
		conf := map[string]any{"cniVersion": "1.0.0", "name": "ipam", "type": section["type"], "ipam": section}
		if i == 0 {
			conf["dataDir"], conf["logFile"], conf["logLevel"] = v.nodes[ours].DataDir(), v.nodes[ours].LogFile("azure-vnet-ipam"), "info"
		}
		if v.lists[i], err = node.List(conf); err != nil {
			return err
		}
	}
	if err := v.fill(ctx, there); err != nil {
		return err
	}
	took := map[string]series{}
	for n := 0; !enough(n, rounds, slices.Collect(maps.Values(took))...); n++ {
		if err := b.renew(n); err != nil {
			return err
		}
		var pods [2]*node.Pod
		for i, list := range v.lists {
			if pods[i], err = v.nodes[i].NewPod(list); err != nil {
				return err
			}
		}
		for _, command := range []string{"ADD", "DEL"} {
			for _, i := range [2]int{n % 2, 1 - n%2} { // the first one meets a kernel that is busy with the new namespaces
				begun := time.Now()
				if _, err := v.call(ctx, command, pods[i]); err != nil {
					return err
				}
				of := took[command]
				if n >= 2 { // the first asks the host agent
					of[i] = append(of[i], time.Since(begun).Seconds()*1e3)
				}
				took[command] = of
			}
		}
		for _, p := range pods {
			if err := p.NS.Close(); err != nil {
				return err
			}
		}
	}
	for _, command := range []string{"ADD", "DEL"} {
		target := 0.0
		if command == "ADD" && size == 250 { // a NIC has no more
			target = 1
		}
		group := fmt.Sprintf("azure-vnet-ipam alone, a pool of %d, %d pods there (reference: host-local)", size, there)
		b.report.compare(group, command, "ms", took[command][0], took[command][1], target)
	}
	return nil
}
