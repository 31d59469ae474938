package platform

import (
	"errors"
	"fmt"
	"os"
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

// namespaceLinks are the links of a process, a folder of /proc, that lead to the namespaces which it holds.
func namespaceLinks(process string) (links []string) {
	for _, thread := range numbered(process + "/task") {
		links = append(links, thread+"/ns/net")
	}
	return append(links, numbered(process+"/fd")...)
}

// numbered lists what in a folder of /proc has a number for its name: processes, threads, open files. A pattern would
// do, but has each process's and each thread's own folder listed, for which the kernel makes some fifty files; a node
// has thousands of threads. What cannot be listed is gone meanwhile.
func numbered(dir string) (paths []string) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = folder.Close() }() // read only: nothing can be lost
	names, _ := folder.Readdirnames(-1)
	for _, name := range names {
		if name[0] >= '0' && name[0] <= '9' {
			paths = append(paths, dir+"/"+name)
		}
	}
	return paths
}

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
	for _, process := range numbered("/proc") {
		if len(gone) == 0 {
			break
		}
		for _, link := range namespaceLinks(process) {
			ino, err := namespaceBehind(link)
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
