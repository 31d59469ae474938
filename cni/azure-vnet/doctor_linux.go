package main

import (
	"io/fs"

	"github.com/Azure/azure-container-networking/platform"
	"golang.org/x/sys/unix"
)

// confDir is where runtimes look for configurations.
const confDir = platform.ConfDir

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
