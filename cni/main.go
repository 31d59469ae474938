package cni

import (
	"os"
	"runtime/debug"
)

// heapLimit is the heap, in bytes, at which the collector begins. A command lasts milliseconds: collecting what the end
// of the process frees anyway would take longer than the rest of it.
const heapLimit = 24 << 20

// Main is a plugin's main function: it does what this process was started for, and ends it.
func Main(p *Plugin) {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(heapLimit)
	os.Exit(p.Run(os.Args[1:]))
}
