package netplugin

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"strings"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// interfaceState is what the classic plugin answers to CNI_COMMAND=GET_ENDPOINT_STATE, by which Azure's CNS and network
// policy manager learn which pods there are.
type interfaceState struct {
	ContainerInterfaces map[string]interfaceInfo // by the endpoint's ID
}

type interfaceInfo struct {
	PodName, PodNamespace, PodEndpointId, ContainerID string // the names are the classic plugin's
	IPAddresses                                       []net.IPNet
}

// endpointState answers by the state in the folder of the configuration, if there is one; it changes nothing.
func endpointState(ctx context.Context, stdin []byte) (any, error) {
	var conf struct{ DataDir, LogFile, LogLevel string }
	_ = json.Unmarshal(stdin, &conf) // there need not be any
	logger, closer, err := OpenLog(cmp.Or(conf.LogFile, platform.DefaultLogFile(Name)), conf.LogLevel)
	if err == nil {
		defer func() { _ = closer.Close() }()
	}
	s, err := OpenStore(cmp.Or(conf.DataDir, platform.DefaultDataDir), logger)
	if err != nil {
		return nil, err
	}
	out := interfaceState{map[string]interfaceInfo{}}
	err = s.View(ctx, func(state *network.State) error {
		for _, n := range state.Networks {
			for e := range n.Endpoints.All() {
				if e.State != network.Ready || strings.HasPrefix(e.ContainerID, platform.NamelessPrefix) {
					continue
				}
				id := e.ContainerID[:min(8, len(e.ContainerID))] + "-" + e.IfName
				info := interfaceInfo{PodName: e.PodName, PodNamespace: e.PodNamespace,
					PodEndpointId: id, ContainerID: e.ContainerID}
				for _, a := range e.Addresses {
					info.IPAddresses = append(info.IPAddresses,
						net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())})
				}
				out.ContainerInterfaces[id] = info
			}
		}
		return nil
	})
	return out, err
}
