package main

import (
	"context"
	"io/fs"
	"os"

	"github.com/Azure/azure-container-networking/network"
	"golang.org/x/sys/windows"
)

// confDirs are where containerd looks for configurations: as it comes, and where the installer puts ours.
var confDirs = []string{`C:\Program Files\containerd\cni\conf`, `C:\k\azurecni\netconf`}

// loopback: there is no such plugin on Windows.
const loopback = ""

// privileged: what a user may not see, HNS says.
func privileged() error { return nil }

func executable(string) bool { return true }

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

// openToOthers: rights are not in the mode here.
func openToOthers(fs.FileInfo) bool { return false }

// managers: nothing manages the host's network beside HNS.
func (*examination) managers(context.Context) []network.Finding { return nil }
