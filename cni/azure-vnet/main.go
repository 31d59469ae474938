// Command azure-vnet is the CNI network plugin for Azure virtual networks.
package main

import (
	"runtime"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/cni/operator"
)

// buildVersion is set by the linker (Makefile).
var buildVersion = "unknown"

func main() {
	// A command is a chain of system calls. With more processors the runtime keeps threads awake that look for work. (A
	// command of azure-vnet-ipam is too short for that to pay.)
	runtime.GOMAXPROCS(1)
	p := netplugin.New(buildVersion)
	operator.Serve(p)
	cni.Main(p)
}
