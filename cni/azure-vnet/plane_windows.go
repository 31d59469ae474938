package main

import (
	"log/slog"
	"path/filepath"

	"github.com/Azure/azure-container-networking/network"
)

func newPlane(dir string, logger *slog.Logger) network.Dataplane {
	return network.NewWindows(filepath.Join(dir, name+"-network.lock"), logger)
}
