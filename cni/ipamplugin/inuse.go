package ipamplugin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/platform"
)

// InUse finds the addresses that containers of this host use: those of azure-vnet's endpoints, and all that are
// configured in namespaces linked to the host's, whoever connected them. Whose the latter are, files may tell that were
// kept aside: who is only in those, and in no namespace, is dead. Error: ipam.ErrSearch if not every namespace could be
// searched.
func InUse(dir string) (map[netip.Addr]ipam.Owner, error) {
	state := filepath.Join(dir, cni.NetworkPlugin+".json")
	found := current(state)
	former := firstAttachments(slices.Concat(aside(state, ".classic-*"), aside(state, ".corrupt-*")))
	addrs, err := platform.NamespaceAddresses()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ipam.ErrSearch, err)
	}
	for _, a := range addrs {
		if _, known := found[a]; !known {
			found[a] = former[a]
		}
	}
	return found, nil
}

// attachments reads who has which address from azure-vnet's state beside ours. It takes the first of the files
// that tells anything: the current state, then what was kept aside, the newest first.
func attachments(dir string) map[netip.Addr]ipam.Owner {
	state := filepath.Join(dir, cni.NetworkPlugin+".json")
	if found := current(state); len(found) > 0 {
		return found
	}
	return firstAttachments(slices.Concat(aside(state, ".classic-*"), aside(state, ".corrupt-*")))
}

// current reads the state and, where that is none of ours, its mirror before it: a call of the classic plugin that came
// too late writes the state as it was before ours.
func current(state string) map[netip.Addr]ipam.Owner {
	found := firstAttachments([]string{state})
	if raw, err := os.ReadFile(state); err != nil || !isOurs(raw) {
		maps.Copy(found, firstAttachments([]string{state + ".bak"}))
	}
	return found
}

// Pods says which pods the holders of addresses are of, as far as azure-vnet's state beside ours tells:
// "namespace/name" by owner. Without a state that can be read there is none: addresses may be other plugins'.
func Pods(dir string) map[ipam.Owner]string {
	state := filepath.Join(dir, cni.NetworkPlugin+".json")
	for _, file := range []string{state, state + ".bak"} {
		raw, err := os.ReadFile(file)
		if pods := ipam.AttachmentPods(raw); err == nil && len(pods) > 0 {
			return pods
		}
	}
	return nil
}

// takenOver is the classic plugin's state as this plugin found it.
func takenOver(dir string) *ipam.State {
	for _, f := range aside(filepath.Join(dir, Name+".json"), ".classic-*") {
		s := &ipam.State{}
		if raw, err := os.ReadFile(f); err == nil && ipam.ImportClassic(raw, s, classicAttachments(dir), time.Time{}) == nil {
			return s
		}
	}
	return &ipam.State{}
}

// classicAttachments adds the pods that azure-vnet took over from the classic plugin and removed already, when this
// plugin has not been called yet: in the classic plugin's file of addresses they are still there.
func classicAttachments(dir string) map[netip.Addr]ipam.Owner {
	owners := firstAttachments(aside(filepath.Join(dir, cni.NetworkPlugin+".json"), ".classic-*"))
	maps.Copy(owners, attachments(dir))
	return owners
}

// aside are the files that were kept of the state, the newest first.
func aside(state, pattern string) []string {
	files, _ := filepath.Glob(state + pattern) // fails for a bad pattern only
	slices.Sort(files)
	slices.Reverse(files)
	return files
}

func firstAttachments(files []string) map[netip.Addr]ipam.Owner {
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if owners := ipam.AttachmentOwners(raw); len(owners) > 0 && !ofEarlierBoot(raw) {
			return owners
		}
	}
	return map[netip.Addr]ipam.Owner{}
}

// ofEarlierBoot says whether a state of ours was written before the machine was booted: none of its containers is
// alive. Where the folder outlives a reboot (C:\k), azure-vnet finds that out only after it has asked us for an
// address.
func ofEarlierBoot(raw []byte) bool {
	boot, err := platform.BootID()
	return err == nil && isOurs(raw) && bootOf(raw) != boot
}

func isOurs(raw []byte) bool { return bootOf(raw) != "" }

func bootOf(raw []byte) string {
	var head struct{ BootID string }
	if json.Unmarshal(raw, &head) != nil {
		return ""
	}
	return head.BootID
}
