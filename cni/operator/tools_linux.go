package operator

import (
	"os"
	"path/filepath"
)

const toolPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// tools are what a person would ask first.
var tools = []tool{
	{"nft.txt", []string{"nft", "list", "ruleset"}},
	{"link.txt", []string{"ip", "-d", "link"}},
	{"addr.txt", []string{"ip", "addr"}},
	{"rule.txt", []string{"ip", "rule"}},
	{"rule6.txt", []string{"ip", "-6", "rule"}},
	{"route.txt", []string{"ip", "route", "show", "table", "all"}},
	{"route6.txt", []string{"ip", "-6", "route", "show", "table", "all"}},
	{"neigh.txt", []string{"ip", "neigh"}},
	{"bridge-fdb.txt", []string{"bridge", "fdb"}},
	{"unit.txt", []string{"systemctl", "--no-pager", "status", "azure-vnet-repair.service", "azure-vnet-metrics.timer"}},
}

// hostFacts are files that say what machine this is.
var hostFacts = []string{"/proc/version", "/etc/os-release", "/proc/modules", "/proc/meminfo", "/proc/mounts"}

// find looks where the system's programs are, whatever PATH says.
func find(program string) string {
	for _, dir := range filepath.SplitList(toolPath) {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return program
}

func toolEnv() []string { return []string{"PATH=" + toolPath, "LC_ALL=C"} }
