package plain

import (
	"io/fs"
	"os"
)

// File is an open file.
type File struct{ *os.File }

// Open is os.OpenFile.
func Open(path string, flags int, mode fs.FileMode) (*File, error) {
	f, err := os.OpenFile(path, flags, mode)
	if err != nil {
		return nil, err
	}
	return &File{f}, nil
}

type identity struct{ file fs.FileInfo }

// Same says whether both are of the same file.
func (i Info) Same(other Info) bool { return os.SameFile(i.file, other.file) }

// Is says whether this is of the file that os.Stat or os.Lstat has looked at.
func (i Info) Is(found fs.FileInfo) bool { return os.SameFile(i.file, found) }

// Stat says what the file is now.
func (f *File) Stat() (Info, error) {
	info, err := f.File.Stat()
	if err != nil {
		return Info{}, err
	}
	return Info{Type: info.Mode().Type(), Size: info.Size(), Modified: info.ModTime(), identity: identity{info}}, nil
}

func openFolder(path string) (*os.File, error) { return os.Open(path) }
