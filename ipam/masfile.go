package ipam

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// File is the source of addresses on Azure Stack: a JSON file that the deployment writes (config.md, Sources).
type File struct{ Path string }

// Subnets reads the file. All errors wrap ErrSource and name the file.
func (f File) Subnets(context.Context) ([]Subnet, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	if len(raw) > maxAnswer {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrSource, f.Path, maxAnswer)
	}
	subnets, err := parseFile(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSource, f.Path, err)
	}
	return subnets, nil
}

func parseFile(raw []byte) ([]Subnet, error) {
	var l listing
	if err := json.Unmarshal(raw, &l); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	return l.subnets(), nil
}

// Stamp implements Source: the file's time and size.
func (f File) Stamp() string {
	info, err := os.Stat(f.Path)
	if err != nil {
		return "missing"
	}
	return fmt.Sprintf("%d %d", info.ModTime().UnixNano(), info.Size())
}
