package operator

import (
	"os"
	"path/filepath"
)

// tools are what a person would ask first.
var tools = []tool{
	{"ipconfig.txt", []string{"ipconfig.exe", "/all"}},
	{"route.txt", []string{"route.exe", "print"}},
	{"service.txt", []string{"sc.exe", "query", "hns"}},
}

// hostFacts are files that say what machine this is.
var hostFacts []string

// find looks where Windows has its programs, whatever PATH says.
func find(program string) string { return filepath.Join(systemRoot(), "System32", program) }

// toolEnv is what Windows' own programs need to be there.
func toolEnv() []string { return []string{"SystemRoot=" + systemRoot()} }

func systemRoot() string {
	if root := os.Getenv("SystemRoot"); root != "" {
		return root
	}
	return `C:\Windows`
}
