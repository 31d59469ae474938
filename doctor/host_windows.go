package doctor

import (
	"os"

	"github.com/Azure/azure-container-networking/platform"
	"golang.org/x/sys/windows"
)

// ConfDir is where containerd looks for configurations as it comes; the installer puts ours elsewhere.
const ConfDir = platform.ConfDir

// Where the installer puts configurations and programs.
var confDirs = []string{ConfDir, `C:\k\azurecni\netconf`}

const installedPrograms = `C:\k\azurecni\bin`

// loopback: there is no such plugin on Windows.
const loopback = ""

// Privileged says whether this process may look at everything: what a user may not see, HNS says.
func Privileged() error { return nil }

// writable says what can be said without writing: that the path is there.
func writable(path string) error {
	_, err := os.Stat(path)
	return err
}

// freeSpace is what is left for us, in bytes.
func freeSpace(dir string) (free uint64, err error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	return free, windows.GetDiskFreeSpaceEx(path, &free, nil, nil)
}

// releaseCommand is the remedy for addresses of pods on an adapter of the host.
func (*Examination) releaseCommand(adapter string) string {
	return "Remove-NetIPAddress -InterfaceAlias '" + adapter + "' -IPAddress each of them"
}
