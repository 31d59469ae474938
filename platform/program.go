package platform

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// programHead is how much of a program is read, in bytes: its headers and Go's build ID, which lies within the first
// pages of both ELF and PE files.
const programHead = 8 << 10

// stampPrefix begins what the Makefile has the linker write in the place of Go's build ID.
const stampPrefix = "azure-vnet/"

// SameBuild says whether the file is a program of the build that the running one is of. The two plugins of a build have
// one stamp, a hash of all that they are made of; a program without a stamp (go build, go install) is of the same build
// as none.
func SameBuild(path string) bool {
	own, err := runningProgram()
	if err != nil {
		return false
	}
	stamp := stampOf(own)
	return stamp != "" && stamp == stampOf(path)
}

// stampOf is the stamp of a program; "" if it has none, or there is no program. Nothing is executed.
func stampOf(path string) string {
	begin, err := head(path, programHead)
	if err != nil {
		return ""
	}
	if id := buildID(begin); strings.HasPrefix(id, stampPrefix) && id != stampPrefix {
		return id
	}
	return ""
}

// buildID finds what the linker was given: in an ELF file the text of Go's note, whose length stands before its type
// and its name; in others a text in quotes before the first instruction (cmd/link, textbuildid).
func buildID(head []byte) string {
	const note, text = "\x04\x00\x00\x00Go\x00\x00", "\xff Go build ID: \""
	const size = 4 // bytes of the length
	if at := bytes.Index(head, []byte(note)); at >= size {
		length := binary.LittleEndian.Uint32(head[at-size:])
		if rest := head[at+len(note):]; uint64(length) <= uint64(len(rest)) {
			return string(rest[:length])
		}
		return ""
	}
	_, id, _ := bytes.Cut(head, []byte(text))
	id, _, ended := bytes.Cut(id, []byte(`"`))
	if !ended {
		return ""
	}
	return string(id)
}
