package linux

import (
	"context"

	"github.com/Azure/azure-container-networking/network"
)

// Share implements network.Dataplane: on Linux containers of a pod share its namespace, and the runtime calls once.
func (*Dataplane) Share(context.Context, *network.Network, *network.Endpoint, string) (bool, error) {
	return false, nil
}

// Unshare implements network.Dataplane.
func (*Dataplane) Unshare(context.Context, *network.Network, *network.Endpoint, string) error {
	return nil
}
