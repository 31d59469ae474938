package source

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"unicode/utf16"
)

// File is the source of addresses on Azure Stack: a JSON file that the deployment writes (docs/ipam.md).
type File struct{ Path string }

// Subnets reads the file. All errors wrap ErrFile and name the file.
func (f File) Subnets(context.Context) ([]Subnet, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if len(raw) > maxAnswer {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrFile, f.Path, maxAnswer)
	}
	subnets, err := ParseJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFile, f.Path, err)
	}
	return subnets, nil
}

// ParseJSON reads what the file has, with a byte-order mark or without.
func ParseJSON(raw []byte) ([]Subnet, error) {
	var l listing
	if err := json.Unmarshal(plain(raw), &l); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	return l.subnets(), nil
}

// plain is the text without a byte-order mark, as UTF-8: Windows PowerShell writes files with one, in two encodings.
func plain(raw []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(raw, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(raw, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	}
	var units []uint16
	for rest := raw[2:]; len(rest) >= 2; rest = rest[2:] {
		units = append(units, order.Uint16(rest))
	}
	return []byte(string(utf16.Decode(units)))
}

// Stamp implements Source: the file's time and size.
func (f File) Stamp() string {
	info, err := os.Stat(f.Path)
	if err != nil {
		return "missing"
	}
	return fmt.Sprintf("%d %d", info.ModTime().UnixNano(), info.Size())
}
