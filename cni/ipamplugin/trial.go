package ipamplugin

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/containernetworking/cni/pkg/types"
)

// Try is what an ADD with the configuration would meet now: the source is asked, and nothing changes. dir is the folder
// of the state, if it is not the configuration's. Errors: those of the configuration, of the state, and of looking at
// the host.
func Try(ctx context.Context, raw []byte, dir string, logger *slog.Logger) (ipam.Trial, error) {
	conf, err := cni.ParseIPAMConf(raw)
	if err != nil {
		return ipam.Trial{}, err
	}
	conf.DataDir = cmp.Or(dir, conf.DataDir)
	m, err := newManager(conf, platform.Host{}, logger)
	if err != nil {
		return ipam.Trial{}, err
	}
	cmd := &command{conf, ipam.Owner{Network: conf.Name, ContainerID: "trial", IfName: "trial"}, m}
	requests, err := cmd.requests(cni.Args{})
	if err != nil {
		return ipam.Trial{}, err
	}
	for i := range requests { // an address that is always the same may have been given to its pod
		requests[i].Address = netip.Addr{}
	}
	return m.Try(ctx, requests)
}

// Explain is the error that a command would end with, with its remedy.
func Explain(err error) *types.Error { return cni.ErrorOf(err, codes) }
