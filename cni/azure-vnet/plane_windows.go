package main

import (
	"log/slog"
	"path/filepath"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// interfaceByName is nil: an adapter can have two names, and be there twice.
var interfaceByName func(name string) (platform.Interface, bool, error)

func newPlane(dir string, logger *slog.Logger) network.Dataplane {
	return network.NewWindows(filepath.Join(dir, name+"-network.lock"), logger)
}
