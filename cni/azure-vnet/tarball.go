package main

import (
	"fmt"
	"io"
	"time"
)

// block is the unit of a tar archive, in bytes.
const block = 512

// writeMember writes a file of a tar archive as POSIX.1-1988 has it (ustar). archive/tar can much more, and made the program 50 KB larger.
func writeMember(w io.Writer, name string, text []byte, at time.Time) error {
	const longest = 100
	if len(name) > longest {
		return fmt.Errorf("%s: the name is too long for an archive", name)
	}
	var h [block]byte
	for _, f := range []struct {
		offset int
		text   string
	}{
		{0, name}, {100, "0000600"}, {108, "0000000"}, {116, "0000000"}, {124, fmt.Sprintf("%011o", len(text))}, {136, fmt.Sprintf("%011o", at.Unix())},
		{148, "        "}, {156, "0"}, {257, "ustar\x0000"},
	} {
		copy(h[f.offset:], f.text)
	}
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	padding := make([]byte, -len(text)&(block-1))
	for _, part := range [][]byte{h[:], text, padding} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// endArchive writes what stands behind the last file.
func endArchive(w io.Writer) error {
	_, err := w.Write(make([]byte, 2*block))
	return err
}
