package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// pack writes the tree as the archive that the kernel takes for its first root: cpio, "newc"
// (Documentation/driver-api/early-userspace/buffer-format.rst). All of it is root's.
func (t tree) pack(path string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriterSize(file, 1<<20)
	ino := 0
	entry := func(name string, mode uint32, data []byte) error {
		ino++
		// Magic, inode, mode, user, group, links, time, size, device (2), special file's device (2), length of the name,
		// checksum.
		_, err := fmt.Fprintf(w, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00%s", ino, mode, 0, 0, 1, 0,
			len(data), 0, 0, 0, 0, len(name)+1, 0,
			name, padding(110+len(name)+1))
		if err == nil {
			_, err = w.Write(data)
		}
		if err == nil {
			_, err = io.WriteString(w, padding(len(data)))
		}
		return err
	}
	err = filepath.WalkDir(string(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == string(t) {
			return err
		}
		name, err := filepath.Rel(string(t), path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return entry(name, unix.S_IFDIR|0o755, nil)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return entry(name, unix.S_IFREG|uint32(info.Mode().Perm()), data)
	})
	return errors.Join(err, entry("TRAILER!!!", 0, nil), w.Flush())
}

// padding fills up to a multiple of four.
func padding(length int) string { return "\x00\x00\x00"[:(4-length%4)%4] }
