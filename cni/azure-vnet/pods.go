package main

import (
	"context"

	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/network"
)

// podsOf are the pods that the state in the folder names. Without a state that can be read there is none: addresses may be other plugins'.
func podsOf(ctx context.Context, dir string) map[ipam.Owner]string {
	pods := map[ipam.Owner]string{}
	s, err := netplugin.OpenStore(dir, discard)
	if err != nil {
		return pods
	}
	_ = s.View(ctx, func(state *network.State) error { // as above
		for _, n := range state.Networks {
			for e := range n.Endpoints.All() {
				if e.PodName != "" {
					pods[ipam.Owner(e.Owner)] = e.PodNamespace + "/" + e.PodName
				}
			}
		}
		return nil
	})
	return pods
}
