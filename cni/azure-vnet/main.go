// Command azure-vnet is the CNI plugin pair for Azure virtual networks: the network plugin, and under the name
// azure-vnet-ipam the IPAM plugin. One program under two names lets the first call the second without starting it.
package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/cni/operator"
	"github.com/Azure/azure-container-networking/doctor"
)

// buildVersion is set by the linker (Makefile).
var buildVersion = "unknown"

// heapLimit is the heap, in bytes, at which the collector begins. A command lasts milliseconds: collecting what the end of
// the process frees anyway would take longer than the rest of it.
const heapLimit = 24 << 20

func main() {
	// A command is a chain of system calls. With more processors the runtime keeps threads awake that look for work.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(heapLimit)
	p := netplugin.New(buildVersion)
	operator.Serve(p)
	if called := filepath.Base(os.Args[0]); strings.TrimSuffix(called, ".exe") == ipamplugin.Name {
		p = ipamplugin.New(buildVersion)
		p.Operator = ipamplugin.Operator(doctor.Addresses)
	}
	os.Exit(p.Run(os.Args[1:]))
}
