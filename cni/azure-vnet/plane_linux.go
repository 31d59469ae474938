package main

import (
	"path/filepath"

	"github.com/Azure/azure-container-networking/network"
)

func newPlane(dir string) network.Dataplane {
	return &network.Linux{LockPath: filepath.Join(dir, name+"-network.lock")}
}
