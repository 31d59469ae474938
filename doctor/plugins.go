package doctor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/platform"
)

// answerTime is what a plugin has to say its versions: it does nothing else.
const answerTime = 5 * time.Second

// plugins is the check of the programs that the configuration names: each is there, can be executed, and speaks the
// configuration's version, as far as it can be asked.
func (d *Examination) plugins(ctx context.Context) []finding.Finding {
	const check = "plugins"
	if d.common == nil {
		return nil
	}
	wanted := slices.Clone(d.node.plugins)
	if d.common.IPAM.Type != "" {
		wanted = append(wanted, d.common.IPAM.Type)
	}
	folders := cni.PluginFolders()
	var wrong []finding.Finding
	add := func(level finding.Level, remedy, format string, args ...any) {
		wrong = append(wrong, finding.Finding{Level: level, Found: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	for _, plugin := range wanted {
		found, remedy := d.examinePlugin(ctx, plugin, folders, d.common.CNIVersion)
		if found != "" {
			add(finding.Failure, remedy, "%s; %s names it, and no pod starts", found, d.node.file)
		}
	}
	do := "answer"
	if d.Networks == nil {
		do = "are there"
	}
	well := fmt.Sprintf("%s of %s %s", strings.Join(wanted, ", "), strings.Join(folders, " and "), do)
	if _, err := cni.FindPlugin(loopback, folders); loopback != "" && err != nil {
		const lacks = ": containerd starts no pod without it"
		if runsContainerd() {
			add(finding.Failure, remedyInstall(loopback, folders), "plugin %s is not in %s%s", loopback,
				strings.Join(folders, " or "), lacks)
		}
		well += "; " + loopback + " is not there" + lacks
	}
	return finding.Report(check, well, wrong)
}

// examinePlugin says what is wrong with a plugin; "" is nothing.
func (d *Examination) examinePlugin(ctx context.Context, plugin string, folders []string,
	want string) (found, remedy string) {
	path, err := cni.FindPlugin(plugin, folders)
	if err != nil {
		return fmt.Sprintf("plugin %s is not in %s", plugin, strings.Join(folders, " or ")), remedyInstall(plugin, folders)
	}
	if !platform.Executable(path) {
		return fmt.Sprintf("plugin %s is not executable", path), "chmod 755 " + path
	}
	if d.Networks == nil {
		return "", "" // azure-vnet-ipam starts no programs
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	versions, err := d.Networks.Versions(ctx, path)
	if err != nil {
		return fmt.Sprintf("plugin %s does not answer: %v", path, err),
			"install it anew, for this machine: " + remedyInstall(plugin, folders)
	}
	if want != "" && !slices.Contains(versions, want) {
		return fmt.Sprintf("plugin %s speaks CNI %s, and not %s", path, strings.Join(versions, ", "), want),
			"set \"cniVersion\" to one of those, or install a newer plugin: " + remedyInstall(plugin, folders)
	}
	return "", ""
}

// runsContainerd says whether containerd is on this host, by itself or as a part of K3s.
func runsContainerd() bool {
	for _, state := range []string{"/run/containerd", "/run/k3s/containerd"} {
		if _, err := os.Stat(state); err == nil {
			return true
		}
	}
	return false
}

// remedyInstall says where a plugin comes from.
func remedyInstall(plugin string, folders []string) string {
	switch {
	case plugin == "portmap", plugin == "loopback":
		return "install-cni-plugin.sh, or the package kubernetes-cni, puts it there (docs/install.md)"
	case plugin == name, strings.HasPrefix(plugin, name+"-"):
		return "install-cni-plugin.sh puts it there (docs/install.md)"
	}
	return fmt.Sprintf("put it there (cp %s %s), or take it out of the configuration", plugin, folders[0])
}
