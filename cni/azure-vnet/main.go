// Command azure-vnet is the CNI network plugin for Azure virtual networks.
package main

import (
	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/cni/operator"
)

// buildVersion is set by the linker (Makefile).
var buildVersion = "unknown"

func main() {
	p := netplugin.New(buildVersion)
	operator.Serve(p)
	cni.Main(p)
}
