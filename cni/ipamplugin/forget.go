package ipamplugin

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/platform"
)

// Known says how many addresses containers of the network hold by the state in the folder, and whether the network has
// a pool.
// Errors: the store's.
func Known(ctx context.Context, dir, network string, logger *slog.Logger) (held int, bound bool, err error) {
	s, err := OpenStore(cmp.Or(dir, platform.DefaultDataDir), logger)
	if err != nil {
		return 0, false, err
	}
	err = s.View(ctx, func(state *ipam.State) error {
		_, bound = state.Bindings[network]
		for _, p := range state.Pools {
			for _, r := range p.Reservations {
				if r.Network == network {
					held++
				}
			}
		}
		return nil
	})
	return held, bound, err
}

// Holders says which containers hold addresses by the state in the folder, whatever network they are of.
// Errors: the store's.
func Holders(ctx context.Context, dir string, logger *slog.Logger) (map[netip.Addr]string, error) {
	s, err := OpenStore(cmp.Or(dir, platform.DefaultDataDir), logger)
	if err != nil {
		return nil, err
	}
	holders := map[netip.Addr]string{}
	err = s.View(ctx, func(state *ipam.State) error {
		for _, p := range state.Pools {
			for _, r := range p.Reservations {
				holders[r.Address] = r.ContainerID
			}
		}
		return nil
	})
	return holders, err
}

// Forget frees all that the network holds, and lets others have its pool.
// Errors: the store's.
func Forget(ctx context.Context, dir, network string, logger *slog.Logger) error {
	dir = cmp.Or(dir, platform.DefaultDataDir)
	s, err := OpenStore(dir, logger)
	if err != nil {
		return err
	}
	m := &ipam.Manager{Store: s, InUse: func() (map[netip.Addr]ipam.Owner, error) { return InUse(dir) },
		Gone: platform.GoneNamespaces, Now: time.Now, Log: logger}
	return m.Forget(ctx, network)
}
