// Command azure-vnet-ipam is the CNI IPAM plugin for Azure virtual networks.
package main

import (
	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/doctor"
)

// buildVersion is set by the linker (Makefile).
var buildVersion = "unknown"

func main() {
	p := ipamplugin.New(buildVersion)
	p.Operator = ipamplugin.Operator(doctor.Addresses)
	cni.Main(p)
}
