package netplugin

import (
	"log/slog"
	"path/filepath"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/hns"
	"github.com/Azure/azure-container-networking/platform"
)

// interfaceByName is nil: an adapter can have two names, and be there twice.
func interfaceByName(platform.Host) func(name string) (platform.Interface, bool, error) { return nil }

func newPlane(dir string, _ platform.Host, logger *slog.Logger) network.Dataplane {
	return hns.New(filepath.Join(dir, Name+"-network.lock"), logger)
}

// addressRemedy is for addresses that an IPAM plugin must not give.
const addressRemedy = "let the IPAM plugin leave it out; take addresses of pods off the host: Remove-NetIPAddress"
