package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-container-networking/network"
	"golang.org/x/sys/unix"
)

// confDir is where runtimes look for configurations.
const confDir = "/etc/cni/net.d"

func writable(path string) error { return unix.Access(path, unix.W_OK) }

// freeSpace is what is left for us, in bytes.
func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

func openToOthers(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// managers is the check of the programs that manage the host's network: they would take away what the bridge needs.
func (d *examination) managers(ctx context.Context) []network.Finding {
	s, err := openStore(d.dataDir, discard)
	if err != nil {
		return nil
	}
	bridge, master := "", ""
	_ = s.View(ctx, func(state *network.State) error {
		for _, n := range state.Networks {
			if n.Bridge != "" {
				bridge, master = n.Bridge, n.Master
			}
		}
		return nil
	})
	var wrong []network.Finding
	add := func(found, remedy string) {
		wrong = append(wrong, network.Finding{Level: network.Warning, Found: found, Remedy: remedy + " (docs/host.md has the files)"})
	}
	if bridge == "" {
		return network.Report("host-network", "there is no bridge that a manager of the host's network could harm", nil)
	}
	if exists("/run/systemd/netif/state") {
		text := settingsIn([]string{"/etc/systemd/network", "/run/systemd/network", "/usr/lib/systemd/network"}, "*.network", "*.network.d/*.conf")
		if !containsAny(text, "KeepMaster=yes", "KeepMaster=true") {
			add("systemd-networkd manages "+master+" without KeepMaster=yes: when it restarts, it takes "+master+" out of "+bridge, "add the drop-in for "+master+", and networkctl reload")
		}
		if !containsAny(text, "Unmanaged=yes", "Unmanaged=true") {
			add("systemd-networkd has no file that leaves "+bridge+" alone", "add 05-azure-vnet.network, and networkctl reload")
		}
	}
	if exists("/run/NetworkManager") && !containsAny(settingsIn([]string{"/etc/NetworkManager/conf.d", "/run/NetworkManager/conf.d", "/usr/lib/NetworkManager/conf.d"}, "*.conf"), "interface-name:"+bridge, "interface-name:azure*") {
		add("NetworkManager is not told to leave "+bridge+" alone", "add azure-vnet.conf, and nmcli general reload conf")
	}
	return network.Report("host-network", "nothing manages "+bridge+" but the plugin", wrong)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// settingsIn is the text of all files of the folders, without spaces, so that "Key = value" is found, too.
func settingsIn(dirs []string, patterns ...string) string {
	var text strings.Builder
	for _, dir := range dirs {
		for _, p := range patterns {
			files, _ := filepath.Glob(filepath.Join(dir, p)) // fails for a bad pattern only
			for _, f := range files {
				b, _ := os.ReadFile(f)
				for line := range strings.Lines(string(b)) {
					if line = strings.ReplaceAll(strings.TrimSpace(line), " ", ""); !strings.HasPrefix(line, "#") {
						text.WriteString(line + "\n")
					}
				}
			}
		}
	}
	return text.String()
}

func containsAny(text string, any ...string) bool {
	for _, s := range any {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}
