package cni

import (
	"os"
	"path/filepath"
)

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
