package networks

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// managers is the check of the programs that manage the host's network: they would take away what the bridge needs.
func (e *examination) managers(ctx context.Context) []finding.Finding {
	bridges := map[string]*network.Network{} // by name
	s, err := netplugin.OpenStore(e.DataDir, discard)
	if err == nil {
		err = s.View(ctx, func(state *network.State) error {
			for _, n := range state.Networks {
				if n.Bridge != "" {
					bridges[n.Bridge] = n
				}
			}
			return nil
		})
	}
	if err != nil {
		return nil // the check of the state files says so
	}
	var wrong []finding.Finding
	for _, name := range slices.Sorted(maps.Keys(bridges)) {
		wrong = append(wrong, managersOf(bridges[name])...)
	}
	return finding.Report("host-network", "no manager of the host's network takes anything from a bridge", wrong)
}

func managersOf(n *network.Network) (wrong []finding.Finding) {
	// The command writes the file of docs/host.md, and puts right what its manager does to the network when it reads it:
	// networkd a moment later.
	add := func(found, path, text, reload string) {
		wrong = append(wrong, finding.Finding{Level: finding.Warning, Found: found,
			Remedy: fmt.Sprintf("mkdir -p %s; printf '%s' > %s; %s; %s", filepath.Dir(path), text, path,
				reload, network.RepairCommand)})
	}
	if exists("/run/systemd/netif/state") {
		if file, conf := NetworkdFile("/", n.Master, n.MAC); file != "" && !conf.On("KeepMaster") && !conf.On("Unmanaged") {
			add("systemd-networkd configures "+n.Master+" by "+file+" without KeepMaster=yes: when it restarts, it takes "+
				n.Master+" out of "+n.Bridge,
				"/etc/systemd/network/"+file+
					".d/azure-vnet.conf", `[Network]\nKeepMaster=yes\nKeepConfiguration=yes\n`, "networkctl reload; sleep 2")
		}
		if file, conf := NetworkdFile("/", n.Bridge, n.MAC); file != "" && !conf.On("Unmanaged") {
			add("systemd-networkd configures "+n.Bridge+" by "+file,
				"/etc/systemd/network/05-azure-vnet.network", `[Match]\nName=azure* azv*\n[Link]\nUnmanaged=yes\n`,
				"networkctl reload; sleep 2")
		}
	}
	if exists("/run/NetworkManager") && !networkManagerLeaves(n.Bridge) {
		add("NetworkManager is not told to leave "+n.Bridge+" alone",
			"/etc/NetworkManager/conf.d/azure-vnet.conf",
			`[keyfile]\nunmanaged-devices=interface-name:azure*;interface-name:azv*\n`, "nmcli general reload conf")
	}
	return wrong
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// found lists the files that match, ordered by their names; one of an earlier folder hides its namesakes.
func found(pattern string, dirs ...string) []string {
	byName := map[string]string{}
	for _, dir := range dirs {
		files, _ := filepath.Glob(filepath.Join(dir, pattern)) // fails for a bad pattern only
		for _, f := range files {
			byName[filepath.Base(f)] = cmp.Or(byName[filepath.Base(f)], f)
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, byName[name])
	}
	return out
}

var networkdDirs = []string{"/etc/systemd/network", "/run/systemd/network", "/usr/lib/systemd/network"}

// NetworkdFile is the name of the file by which networkd configures a link, "" if by none, and what it says with its
// drop-ins: the first one that matches (systemd.network(5)). The root is / but for a node that is seen from a
// container.
func NetworkdFile(root, link, mac string) (string, platform.INI) {
	var dirs []string
	for _, dir := range networkdDirs {
		dirs = append(dirs, filepath.Join(root, dir))
	}
	for _, file := range found("*.network", dirs...) {
		conf := platform.ReadINI(platform.INI{}, file)
		if !matches(conf, link, mac) {
			continue
		}
		name := filepath.Base(file)
		var dropIns []string
		for _, dir := range dirs {
			dropIns = append(dropIns, filepath.Join(dir, name+".d"))
		}
		for _, d := range found("*.conf", dropIns...) {
			platform.ReadINI(conf, d)
		}
		return name, conf
	}
	return "", nil
}

// matches says whether a .network file is for a link. Files that match by what only virtual devices have are not for
// ours.
func matches(c platform.INI, link, mac string) bool {
	given := false
	for key, want := range map[string]string{"Name": link, "MACAddress": mac, "PermanentMACAddress": mac} {
		if len(c[key]) == 0 {
			continue
		}
		given = true
		if !slices.ContainsFunc(strings.Fields(strings.Join(c[key], " ")), func(pattern string) bool {
			ok, err := filepath.Match(strings.ToLower(pattern), strings.ToLower(want))
			return ok && err == nil
		}) {
			return false
		}
	}
	return len(c["Kind"]) == 0 && (given || slices.Contains(c["Type"], "ether"))
}

// networkManagerLeaves says whether NetworkManager is told not to manage the bridge.
func networkManagerLeaves(bridge string) bool {
	for _, file := range found("*.conf", "/etc/NetworkManager/conf.d", "/run/NetworkManager/conf.d",
		"/usr/lib/NetworkManager/conf.d") {
		for _, devices := range platform.ReadINI(platform.INI{}, file)["unmanaged-devices"] {
			for device := range strings.SplitSeq(devices, ";") {
				if ok, err := filepath.Match(strings.TrimPrefix(device, "interface-name:"), bridge); ok && err == nil {
					return true
				}
			}
		}
	}
	return false
}
