package cni

import (
	"os"
	"path/filepath"
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
