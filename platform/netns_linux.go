package platform

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// NamespaceNumber is the inode of the network namespace that a path leads to; 0 if it leads to none. No two that are
// there at once have the same one.
func NamespaceNumber(path string) uint64 {
	const nsfs = 0x6e736673 // include/uapi/linux/magic.h
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := unix.Statfs(path, &fs); err != nil || fs.Type != nsfs || unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Ino
}

// namespaceLinks are the links of processes that lead to the namespaces which they hold.
var namespaceLinks = []string{"/proc/[0-9]*/task/[0-9]*/ns/net", "/proc/[0-9]*/fd/[0-9]*"}

// GoneNamespaces are those of the network namespaces, by inode, that nothing holds any more: no process or thread of
// one, no mount, no open file. Error: not everything could be looked at, so one that is missing may be there.
func GoneNamespaces(list []uint64) (map[uint64]bool, error) {
	gone := map[uint64]bool{}
	for _, ino := range list {
		gone[ino] = true
	}
	for _, path := range namespacePaths() { // these are few, and hold nearly all
		delete(gone, NamespaceNumber(path))
	}
	for _, pattern := range namespaceLinks {
		if len(gone) == 0 {
			break
		}
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			ino, err := namespaceBehind(path)
			if err != nil {
				return nil, fmt.Errorf("look for network namespaces: %w", err)
			}
			delete(gone, ino)
		}
	}
	return gone, nil
}

// namespaceBehind is the inode of the network namespace that a link of /proc leads to; 0 if it leads elsewhere, or is
// gone meanwhile.
func namespaceBehind(link string) (uint64, error) {
	to, err := os.Readlink(link) // net:[4026532281]
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ESRCH):
		return 0, nil
	case errors.Is(err, os.ErrPermission) && strings.HasPrefix(link, "/proc/1/"):
		return 0, nil // the first process is the host's own, and may have rights that this one lacks
	case errors.Is(err, os.ErrPermission) && !exists(link):
		return 0, nil // the kernel says so, too, of a process that ends meanwhile (fs/proc/base.c, proc_pid_readlink)
	case err != nil:
		return 0, err
	}
	number, ok := strings.CutPrefix(to, "net:[")
	if !ok {
		return 0, nil
	}
	return strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
}

func exists(link string) bool {
	_, err := os.Lstat(link)
	return !errors.Is(err, os.ErrNotExist)
}
