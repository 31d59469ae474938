// Command pack makes a release's archive for one system from the built plugins, and says what is in it: the archive has
// the licences of all that the binaries contain, and beside it lies an SPDX document. The same input gives the same
// bytes.
//
// The docs/install.md of the project says what the files are for; the Makefile calls this.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// release is one archive that is to be made.
type release struct {
	os, arch, version string
	time              time.Time // of the commit: nothing in a release knows when it was built
	bin, out, source  string    // folders: the plugins, where the archive goes, the checkout
	reference         bool      // the plugins are the reference plugins that ours need, and source is their module
}

// name is the archive's, without what says its format.
func (r release) name() string {
	if r.reference { // as in their own releases
		return fmt.Sprintf("cni-plugins-%s-%s-%s", r.os, r.arch, r.version)
	}
	return fmt.Sprintf("azure-vnet-cni-%s-%s-%s", r.os, r.arch, r.version)
}

// programs are what the archive is for. On Windows a program installs it; on Linux a script does.
func (r release) programs() []string {
	names := []string{"azure-vnet", "azure-vnet-ipam"}
	exe := ""
	if r.reference {
		names = []string{"loopback", "portmap"}
	}
	if r.os == "windows" {
		names, exe = append(names, "azure-vnet-install"), ".exe"
	}
	var paths []string
	for _, n := range names {
		paths = append(paths, filepath.Join(r.bin, n+exe))
	}
	return paths
}

func main() {
	var r release
	var epoch int64
	flag.StringVar(&r.os, "os", "", "GOOS of the plugins")
	flag.StringVar(&r.arch, "arch", "", "GOARCH of the plugins")
	flag.StringVar(&r.version, "version", "", "version of the release")
	flag.Int64Var(&epoch, "time", 0, "seconds since 1970: the time of everything in the archive")
	flag.StringVar(&r.bin, "bin", "", "folder of the plugins")
	flag.StringVar(&r.out, "out", "", "folder for the archive and its SPDX document")
	flag.StringVar(&r.source, "source", ".", "the checkout")
	flag.BoolVar(&r.reference, "reference", false, "the archive is that of the reference plugins, without SPDX document")
	flag.Parse()
	r.time = time.Unix(epoch, 0).UTC()
	if err := r.make(); err != nil {
		fmt.Fprintf(os.Stderr, "pack %s: %v\n", r.name(), err)
		os.Exit(1)
	}
}

func (r release) make() error {
	modules, err := linked(r.source, r.programs())
	if err != nil {
		return err
	}
	contents := r.contents
	if r.reference {
		contents = r.referenceContents
	}
	files, err := contents(modules)
	if err != nil {
		return err
	}
	archive, err := r.pack(files)
	if err != nil {
		return err
	}
	path := filepath.Join(r.out, r.name()+r.format())
	if err = os.WriteFile(path, archive, 0o644); err != nil {
		return err
	}
	if r.reference {
		_, err = fmt.Println(path)
		return err
	}
	document, err := r.spdx(files, archive, modules)
	if err != nil {
		return err
	}
	if err = os.WriteFile(filepath.Join(r.out, r.name()+".spdx.json"), document, 0o644); err != nil {
		return err
	}
	_, err = fmt.Println(path)
	return err
}
