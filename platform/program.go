package platform

import (
	"bytes"
	"io"
	"os"
)

// programHead is how much of a program is compared: its headers and Go's build ID, which lies within the first pages of both
// ELF and PE files.
const programHead = 8 << 10

// SameProgram says whether the file is the very program that is running. The linker writes a hash of all that went into a
// program at its beginning, so its beginning tells; a program without that hash is the same as none.
func SameProgram(path string) bool {
	own, err := runningProgram()
	if err != nil {
		return false
	}
	a, errA := head(own)
	b, errB := head(path)
	return errA == nil && errB == nil && bytes.Equal(a, b) && hasBuildID(a)
}

func head(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	b := make([]byte, programHead)
	_, err = io.ReadFull(f, b)
	return b, err
}

// hasBuildID looks for an ELF note of Go's (its name, and then a text as long as four hashes), or for what stands in the
// text of other programs.
func hasBuildID(head []byte) bool {
	const note, text = "\x04\x00\x00\x00Go\x00\x00", "\xff Go build ID: \""
	if _, id, found := bytes.Cut(head, []byte(note)); found {
		return len(id) > 0 && id[0] != 0
	}
	_, id, found := bytes.Cut(head, []byte(text))
	return found && len(id) > 0 && id[0] != '"'
}
