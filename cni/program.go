package cni

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// NetworkPlugin is the name of the network plugin, of its program, and of its files.
const NetworkPlugin = "azure-vnet"

// ProgramDir is the folder of the program that runs, where the other plugins are, too.
func ProgramDir() string {
	self, err := os.Executable()
	if err != nil {
		return "/opt/cni/bin"
	}
	return filepath.Dir(self)
}

// PluginFolders are where plugins are: those of CNI_PATH, else the one of this program.
func PluginFolders() []string {
	if folders := filepath.SplitList(os.Getenv("CNI_PATH")); len(folders) > 0 {
		return folders
	}
	return []string{ProgramDir()}
}

// FindPlugin finds a plugin's program in folders, as libcni does, whose package for it starts programs, too.
// Error: it is not there.
func FindPlugin(plugin string, folders []string) (string, error) {
	for _, dir := range folders {
		for _, end := range programEnds {
			path := filepath.Join(dir, plugin) + end
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("there is no plugin %s in %s", plugin, strings.Join(folders, ", "))
}
