package main

import "github.com/Azure/azure-container-networking/network"

func newPlane(string) network.Dataplane { return &network.Windows{} }
