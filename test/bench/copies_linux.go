package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// programs are those that are executed.
var programs = []string{"azure-vnet", "azure-vnet-ipam", "bridge", "ptp", "host-local", "floor"}

// install copies the programs of both sides, as an operator does: one that was copied starts faster than one that the
// linker has written.
func (b *bench) install(folder string) error {
	b.copies = map[string]string{}
	for _, from := range []*string{&b.bin, &b.reference, &b.floor} {
		to, err := os.MkdirTemp(folder, "")
		if err != nil {
			return err
		}
		b.copies[to], *from = *from, to
	}
	return b.renew(0)
}

// renew copies the programs again in some rounds: how fast one starts depends on the pieces of memory in which the kernel
// keeps it, and by 5 % that is another one with each copy.
func (b *bench) renew(round int) error {
	const often = 20
	if round%often != 0 {
		return nil
	}
	for to, from := range b.copies {
		err := fs.WalkDir(os.DirFS(from), ".", func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !slices.Contains(programs, path) {
				return err
			}
			return copyFile(filepath.Join(from, path), filepath.Join(to, path))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copyFile makes a new file; who executes the one before goes on with that.
func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	const extension = ".new"
	if err := os.WriteFile(to+extension, text, 0o755); err != nil {
		return err
	}
	return os.Rename(to+extension, to)
}
