//go:build linux

package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// repack puts a release into a folder of the node whose archive has other files in place of its own.
func (m *machine) repack(version, folder string, replaced map[string]string) {
	m.Helper()
	m.release(version, folder)
	name := filepath.Join(folder, "azure-vnet-cni-linux-"+arch+"-"+version+".tgz")
	in, err := os.Open(m.path(name))
	m.must(err)
	defer in.Close()
	unzip, err := gzip.NewReader(in)
	m.must(err)
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	r, w := tar.NewReader(unzip), tar.NewWriter(zip)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		m.must(err)
		text, err := io.ReadAll(r)
		m.must(err)
		if other, there := replaced[h.Name]; there {
			text, h.Size = []byte(other), int64(len(other))
		}
		m.must(w.WriteHeader(h))
		_, err = w.Write(text)
		m.must(err)
	}
	m.must(errors.Join(w.Close(), zip.Close()))
	m.write(name, out.String())
	m.write(name+".sha256", fmt.Sprintf("%x  %s\n", sha256.Sum256(out.Bytes()), filepath.Base(name)))
}
