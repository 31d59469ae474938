package main

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/platform"
)

// inUse finds the addresses that containers of this host use: those of azure-vnet's endpoints, and all that
// are configured in namespaces linked to the host's, whoever connected them.
func inUse(dir string, logger *slog.Logger) map[netip.Addr]ipam.Owner {
	found := attachments(dir)
	addrs, err := platform.NamespaceAddresses()
	if err != nil {
		logger.Warn("not every network namespace could be searched for addresses in use", "error", err)
	}
	for _, a := range addrs {
		if _, known := found[a]; !known {
			found[a] = ipam.Owner{}
		}
	}
	return found
}

// attachments reads who has which address from azure-vnet's state beside ours. It takes the first of the files
// that tells anything: the state, its mirror, then what was kept aside, the newest first.
func attachments(dir string) map[netip.Addr]ipam.Owner {
	state := filepath.Join(dir, "azure-vnet.json")
	files := []string{state, state + ".bak"}
	for _, kind := range []string{".classic-*", ".corrupt-*"} {
		aside, _ := filepath.Glob(state + kind) // fails for a bad pattern only
		slices.Sort(aside)
		slices.Reverse(aside)
		files = append(files, aside...)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if owners := ipam.AttachmentOwners(raw); len(owners) > 0 {
			return owners
		}
	}
	return map[netip.Addr]ipam.Owner{}
}
