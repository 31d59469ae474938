package main

import (
	"log/slog"

	"github.com/Azure/azure-container-networking/network"
)

func newPlane(string, *slog.Logger) network.Dataplane { return &network.Windows{} }
