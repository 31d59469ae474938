package metrics

import (
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/linux"
)

// drops says how many frames of pods were dropped, since the rules were made, and why.
func drops() ([]network.Drop, error) { return linux.Drops() }
