package netplugin

import (
	"log/slog"
	"path/filepath"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/linux"
	"github.com/Azure/azure-container-networking/platform"
)

// interfaceByName is the quick way to the master.
func interfaceByName(h platform.Host) func(name string) (platform.Interface, bool, error) {
	return h.InterfaceByName
}

func newPlane(dir string, host platform.Host, logger *slog.Logger) network.Dataplane {
	return &linux.Dataplane{LockPath: filepath.Join(dir, Name+"-network.lock"), Host: host, Log: logger}
}

// addressRemedy is for addresses that an IPAM plugin must not give.
const addressRemedy = "let the IPAM plugin leave it out (a range of host-local, for example, is to be this node's " +
	"own); take addresses of pods off the host: azure-vnet host release"
