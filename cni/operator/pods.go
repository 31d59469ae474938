package operator

import (
	"context"
	"log/slog"

	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/network"
)

// PodsOf are the pods that the state in the folder names. Without a state that can be read there is none: addresses may be other plugins'.
func PodsOf(ctx context.Context, dir string) map[ipam.Owner]string {
	pods := map[ipam.Owner]string{}
	s, err := netplugin.OpenStore(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return pods
	}
	_ = s.View(ctx, func(state *network.State) error {
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
