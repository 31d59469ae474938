package store

import (
	"os"
	"path/filepath"
	"strings"
)

// isClassic says whether the process is there and has one of the plugins' names: numbers are given again.
func isClassic(pid string) bool {
	if strings.ContainsAny(pid, "/.") {
		return false
	}
	name, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
	return err == nil && strings.HasPrefix(string(name), "azure-vnet")
}
