package store

import (
	"encoding/binary"
	"strings"
)

// Rows is what a *T implements that has thousands of records. They are one text, the envelope's last member:
//
//	{"schema":2,…,"data":{…},"rows":"…"}
//
// encoding/json needs more time for a megabyte of such a file, however few strings are in it, than all the rest of a
// command takes (5 ms against 3). So the store writes and reads this one string itself, which is simple because nothing
// in it has to be escaped. A file in which somebody did escape something, or moved a member, is read as any other JSON.
type Rows interface {
	// AppendRows appends the text to pieces, in pieces, and returns it: printable ASCII without quotes and backslashes.
	// What stays as ParseRows got it is best given back as that text's own substrings, few and long: they are written, and
	// compared with the file, without being copied.
	AppendRows(pieces []string) []string
	// ParseRows reads what AppendRows wrote; the text is sure to be of those characters. The data has been decoded before.
	// If it fails, the file counts as damaged.
	ParseRows(text string) error
}

const rowsKey = `,"rows":"`

// cutRows takes the rows out of a file as body makes it. What it returns is together as valid as the file. Of any
// other file it returns all, and nil.
func cutRows(raw string) (doc string, rows *string) {
	before, after, found := strings.Cut(raw, rowsKey)
	text, closed := strings.CutSuffix(after, "\"}\n")
	if !found || !closed || !plain(text) {
		return raw, nil
	}
	return before + "}", &text
}

// plain says that a text has nothing but printable ASCII, no quote and no backslash: as a JSON string it stands for
// itself. It looks at thirty-two bytes at a time, since one at a time takes a third as long as encoding/json.
func plain(text string) bool {
	if strings.IndexByte(text, '"') >= 0 || strings.IndexByte(text, '\\') >= 0 {
		return false
	}
	// A byte's high bit is set if it is in the byte, or if subtracting a space borrows.
	const spaces, highs = 0x2020202020202020, 0x8080808080808080
	var high uint64
	var block [32]byte
	for ; len(text) >= len(block); text = text[len(block):] {
		copy(block[:], text)
		a, b := binary.LittleEndian.Uint64(block[:]), binary.LittleEndian.Uint64(block[8:])
		c, d := binary.LittleEndian.Uint64(block[16:]), binary.LittleEndian.Uint64(block[24:])
		high |= a | (a - spaces) | b | (b - spaces) | c | (c - spaces) | d | (d - spaces)
	}
	for i := range len(text) {
		high |= uint64(text[i] | (text[i] - ' '))
	}
	return high&highs == 0
}
