package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// file is one of the archive's. All lie at its top, so that it can be unpacked into the plugins' folder.
type file struct {
	name string
	mode fs.FileMode
	data []byte
}

// contents are the archive's files in its order.
func (r release) contents(modules []module) ([]file, error) {
	var files []file
	var errs []error
	read := func(name string, mode fs.FileMode, path string) {
		data, err := os.ReadFile(path)
		errs = append(errs, err)
		files = append(files, file{name, mode, data})
	}
	read("10-azure.conflist", 0o644, filepath.Join(r.source, "cni", "conf", "10-azure-"+r.os+".conflist"))
	read("LICENSE", 0o644, filepath.Join(r.source, "LICENSE"))
	files = append(files, file{"THIRD-PARTY-LICENSES", 0o644, thirdParty(modules)})
	for _, p := range r.programs() {
		read(filepath.Base(p), 0o755, p)
	}
	if r.os == "linux" {
		// No runtime takes a file with such an ending for a configuration, wherever it is unpacked.
		for _, mode := range []string{".bridge", ".tunnel"} {
			read("10-azure.conflist"+mode, 0o644, filepath.Join(r.source, "cni", "conf", "10-azure-linux.conflist"+mode))
		}
		for _, unit := range []string{"azure-vnet-metrics.service", "azure-vnet-metrics.timer", "azure-vnet-repair.service"} {
			read(unit, 0o644, filepath.Join(r.source, "build", "systemd", unit))
		}
		read("azure-vnet.bash", 0o644, filepath.Join(r.source, "build", "completion", "azure-vnet.bash"))
	}
	return files, errors.Join(errs...)
}

// referenceModule is where the reference plugins come from.
const referenceModule = "github.com/containernetworking/plugins"

// referenceContents are the reference plugins with their licences.
func (r release) referenceContents(modules []module) ([]file, error) {
	i := slices.IndexFunc(modules, func(m module) bool { return m.Path == referenceModule })
	if i < 0 || modules[i].Version != r.version {
		return nil, fmt.Errorf("the programs in %s are not of %s %s", r.bin, referenceModule, r.version)
	}
	licence, err := os.ReadFile(filepath.Join(modules[i].Dir, "LICENSE"))
	if err != nil {
		return nil, err
	}
	files := []file{{"LICENSE", 0o644, licence}, {"THIRD-PARTY-LICENSES", 0o644, thirdParty(modules)}}
	for _, p := range r.programs() {
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		files = append(files, file{filepath.Base(p), 0o755, data})
	}
	return files, nil
}

// format is the archive's extension: Windows unpacks zip without further programs.
func (r release) format() string {
	if r.os == "windows" {
		return ".zip"
	}
	return ".tgz"
}

func (r release) pack(files []file) ([]byte, error) {
	if r.os == "windows" {
		return r.zip(files)
	}
	return r.tar(files)
}

func (r release) tar(files []file) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	t := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: int64(f.mode), Size: int64(len(f.data)),
			ModTime: r.time, Format: tar.FormatUSTAR}
		if err = t.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if _, err = t.Write(f.data); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	err = errors.Join(t.Close(), z.Close())
	return out.Bytes(), err
}

// The first time that zip can tell.
var zipEpoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

func (r release) zip(files []file) ([]byte, error) {
	modified := r.time
	if modified.Before(zipEpoch) { // a checkout without git has no time
		modified = zipEpoch
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: modified}
		h.SetMode(f.mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if _, err = w.Write(f.data); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	err := z.Close()
	return out.Bytes(), err
}
