// Command azure-vnet-ipam is the CNI IPAM plugin for Azure virtual networks.
package main

import (
	"os"

	"github.com/Azure/azure-container-networking/cni"
)

// buildVersion is set by the linker (Makefile).
var buildVersion = "unknown"

func main() { os.Exit(newPlugin(buildVersion).Run(os.Args[1:])) }

func newPlugin(version string) *cni.Plugin {
	return &cni.Plugin{
		Name: name, Version: version, Usage: usage, Codes: codes, OpenLog: openLog,
		Add: add, Del: del, Check: check, GC: gc, Status: status, Operator: operator,
	}
}
