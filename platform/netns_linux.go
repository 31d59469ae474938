package platform

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/Azure/azure-container-networking/platform/plain"
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
func namespaceLinks(process string) (links []string, err error) {
	threads, err := numbered(process + "/task")
	if err != nil {
		return nil, err
	}
	for _, thread := range threads {
		links = append(links, thread+"/ns/net")
	}
	files, err := numbered(process + "/fd")
	return append(links, files...), err
}

// numbered lists what in a folder of /proc has a number for its name: processes, threads, open files; nothing if the
// folder is gone. A pattern would do, but takes what it cannot list for empty, and has each process's and each thread's
// own folder listed, for which the kernel makes some fifty files; a node has thousands of threads.
func numbered(dir string) (paths []string, err error) {
	names, err := plain.Names(dir, plain.All)
	for _, name := range names {
		if name[0] >= '0' && name[0] <= '9' {
			paths = append(paths, dir+"/"+name)
		}
	}
	if unreadable(dir, err) {
		return nil, err
	}
	return paths, nil
}

// GoneNamespaces are those of the network namespaces, by inode, that nothing holds any more: no process or thread of
// one, no mount, no open file. Error: not everything could be looked at, so one that is missing may be there.
func GoneNamespaces(list []uint64) (map[uint64]bool, error) {
	gone, err := goneNamespaces(list)
	if err != nil {
		return nil, fmt.Errorf("look for network namespaces: %w", err)
	}
	return gone, nil
}

func goneNamespaces(list []uint64) (map[uint64]bool, error) {
	gone := map[uint64]bool{}
	for _, ino := range list {
		gone[ino] = true
	}
	paths, err := namespacePaths() // these are few, and hold nearly all
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		delete(gone, NamespaceNumber(path))
	}
	processes, err := numbered("/proc")
	for i := 0; err == nil && len(gone) > 0 && i < len(processes); i++ {
		err = deleteHeld(gone, processes[i])
	}
	return gone, err
}

// deleteHeld takes the namespaces away that a process holds.
func deleteHeld(gone map[uint64]bool, process string) error {
	links, err := namespaceLinks(process)
	if err != nil {
		return err
	}
	for _, link := range links {
		ino, err := namespaceBehind(link)
		if err != nil {
			return err
		}
		delete(gone, ino)
	}
	return nil
}

// namespaceBehind is the inode of the network namespace that a link of /proc leads to; 0 if it leads elsewhere, or is
// gone meanwhile.
func namespaceBehind(link string) (uint64, error) {
	to, err := os.Readlink(link) // net:[4026532281]
	if unreadable(link, err) {
		return 0, err
	}
	number, ok := strings.CutPrefix(to, "net:[")
	if !ok {
		return 0, nil
	}
	return strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
}

// unreadable says whether the error of reading something in /proc means that it is there.
func unreadable(path string, err error) bool {
	switch {
	case err == nil, errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ESRCH):
		return false
	case errors.Is(err, os.ErrPermission) && strings.HasPrefix(path, "/proc/1/"):
		return false // the first process is the host's own, and may have rights that this one lacks
	case errors.Is(err, os.ErrPermission) && !exists(path):
		return false // the kernel says so, too, of a process that ends meanwhile (fs/proc/base.c, proc_pid_readlink)
	}
	return true
}

func exists(link string) bool {
	_, err := os.Lstat(link)
	return !errors.Is(err, os.ErrNotExist)
}
