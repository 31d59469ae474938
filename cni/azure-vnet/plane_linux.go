package main

import (
	"log/slog"
	"path/filepath"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// interfaceByName is the quick way to the master.
var interfaceByName = platform.InterfaceByName

func newPlane(dir string, logger *slog.Logger) network.Dataplane {
	return &network.Linux{LockPath: filepath.Join(dir, name+"-network.lock"), Log: logger}
}
