package platform

import (
	"errors"
	"io"
	"os"

	"github.com/Azure/azure-container-networking/platform/plain"
)

// head reads the beginning of a file, at most so many bytes. The kernel gives a value of its own with one read.
func head(path string, size int) ([]byte, error) {
	f, err := plain.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	b := make([]byte, size)
	n, err := f.Read(b)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}
