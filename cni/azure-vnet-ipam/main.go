// Command azure-vnet-ipam is the CNI IPAM plugin for Azure virtual networks.
package main

import (
	"os"
	"runtime/debug"

	"github.com/Azure/azure-container-networking/cni"
)

// buildVersion is set by the linker (Makefile).
var buildVersion = "unknown"

// heapLimit is where garbage collection begins, in bytes. A command ends before it gets there, even one on a pool of ten
// thousand addresses, of which collecting would take a fifth of the time.
const heapLimit = 24 << 20

func main() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(heapLimit)
	os.Exit(newPlugin(buildVersion).Run(os.Args[1:]))
}

func newPlugin(version string) *cni.Plugin {
	return &cni.Plugin{
		Name: name, Version: version, Usage: usage, Codes: codes, OpenLog: openLog,
		Add: add, Del: del, Check: check, GC: gc, Status: status, Operator: operator,
	}
}
