package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/store"
	"github.com/Azure/azure-container-networking/test/node"
)

// floor makes and removes pods by test/bench/floor: the kernel's part of what the plugin does.
type floor struct {
	network  *network.Network
	endpoint network.Endpoint // one that the plugin has made
	last     netip.Addr       // that a pod of the floor had; no pool has it
}

// newFloor reads what the plugin has made of the VM's network and of its first pod.
func newFloor(ctx context.Context, v *vms) (*floor, error) {
	state := store.New(store.Options[network.State]{Path: filepath.Join(v.nodes[ours].DataDir(), "azure-vnet.json"), Schema: network.Schema})
	f := &floor{last: netip.MustParseAddr("10.240.200.0")}
	err := state.View(ctx, func(s *network.State) error {
		f.network = s.Networks[v.lists[ours].Name]
		if f.network == nil {
			return errors.New("the state has no network")
		}
		for e := range f.network.Endpoints.All() {
			f.endpoint = *e
			return nil
		}
		return errors.New("the network has no pods")
	})
	return f, err
}

// list is the configuration for one pod.
func (f *floor) list(p *node.Pod) (err error) {
	e := f.endpoint
	f.last = f.last.Next()
	e.ContainerID, e.NetNS = p.ID, p.NS.Path()
	e.HostIfName, e.HostIfIndex, e.HostMAC = e.Owner.HostIfName(), 0, ""
	e.Addresses = []netip.Prefix{netip.PrefixFrom(f.last, e.Addresses[0].Bits())}
	e.MAC = network.MACOf(e.Addresses).String()
	p.List, err = node.List(map[string]any{"cniVersion": "1.0.0", "name": "floor", "type": "floor", "network": f.network, "endpoint": e,
		"lock": filepath.Join(p.Node.DataDir(), "floor.lock")})
	return err
}

// floorRound makes and removes a pod by the floor.
func (s *sequence) floorRound(ctx context.Context) error {
	p, err := s.nodes[ours].NewPod(nil)
	if err != nil {
		return err
	}
	if err := s.floor.list(p); err != nil {
		return err
	}
	if err := s.measure("ADD", theFloor, func() error { return p.Add(ctx) }); err != nil {
		return fmt.Errorf("the floor: %w", err)
	}
	return errors.Join(p.Del(ctx), p.NS.Close())
}
