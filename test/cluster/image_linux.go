package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Images by the names that Kubernetes asks for them (test/utils/image/manifest.go of its release). They are made here, of Debian's packages
// and of Kubernetes' own program agnhost.
const (
	pauseImage   = "registry.k8s.io/pause:3.10.1"
	dnsImage     = "registry.k8s.io/coredns/coredns:test"
	busyboxImage = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1"
	resetImage   = "registry.k8s.io/e2e-test-images/regression-issue-74839:1.2"

	// Those of docs/quickstart-kubeadm.md.
	webImage    = "docker.io/library/nginx:1.28"
	clientImage = "docker.io/library/busybox:1.36"
)

// agnhostImages are those of which the tests want agnhost, or programs that are beside it here.
var agnhostImages = []string{"registry.k8s.io/e2e-test-images/agnhost:2.56", "registry.k8s.io/e2e-test-images/jessie-dnsutils:1.7",
	"registry.k8s.io/build-image/distroless-iptables:v0.7.14"}

// wget is busybox's as the tests call it, by curl: Debian's own tries again and again, and its busybox's crashes with -T (1.35).
const wget = `#!/bin/sh
limit=60
while [ $# -gt 1 ]; do
    [ "$1" != -T ] || limit=$2
    shift
done
exec curl --silent --show-error --fail --location --max-time "$limit" "$1"
`

// entry is a file of a layer: a copy of one of this machine's, a text, a link, or a folder.
type entry struct {
	path, from, text, link string
}

// image is what an archive is made of. Below the files there may be a whole layer that exists already.
type image struct {
	names      []string
	base       string
	files      []entry
	entrypoint []string
	command    []string
	env        []string
}

// makeImages writes the archives into a folder.
func makeImages(dir string, programs, base, busybox string) ([]string, error) {
	program := func(name string) string { return filepath.Join(programs, name) }
	list := map[string]image{
		"pause.tar": {names: []string{pauseImage}, files: []entry{{path: "pause", from: program("pause")}}, entrypoint: []string{"/pause"}},
		"reset.tar": {names: []string{resetImage}, files: []entry{{path: "regression-issue-74839", from: program("regression-issue-74839")}},
			entrypoint: []string{"/regression-issue-74839"}},
		"dns.tar": {names: []string{dnsImage}, files: []entry{{path: "coredns", from: program("coredns")}, {path: "tmp/"}},
			entrypoint: []string{"/coredns"}},
		"agnhost.tar": {names: agnhostImages, base: base, entrypoint: []string{"/agnhost"}, command: []string{"pause"},
			files: []entry{{path: "agnhost", from: program("agnhost")}, {path: "agnhost-2", link: "agnhost"},
				{path: "coredns", from: program("coredns")}, {path: "uploads/"},
				{path: "usr/local/bin/wget", text: wget},
				{path: "localhost.crt", from: program("localhost.crt")}, {path: "localhost.key", from: program("localhost.key")}}},
		"web.tar": {names: []string{webImage}, files: []entry{{path: "agnhost", from: program("agnhost")}},
			entrypoint: []string{"/agnhost", "netexec", "--http-port=80"}},
		"client.tar": {names: []string{clientImage}, base: base, command: []string{"sh"},
			files: []entry{{path: "usr/local/bin/wget", text: wget}}},
		"busybox.tar": {names: []string{busyboxImage}, files: busyboxFiles(busybox), command: []string{"sh"}},
	}
	var archives []string
	for name, i := range list {
		i.env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
		file := filepath.Join(dir, name)
		if err := i.write(file); err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		archives = append(archives, file)
	}
	return archives, nil
}

func busyboxFiles(program string) []entry {
	files := []entry{{path: "bin/"}, {path: "tmp/"}, {path: "etc/"}, {path: "bin/busybox", from: program}}
	for _, applet := range []string{"sh", "cat", "echo", "ls", "sleep", "wget", "nc", "ping", "ip", "mkdir", "rm", "true",
		"false", "test", "hostname", "grep",
		"sed", "awk", "env", "id", "touch", "stat", "cp", "mv", "chmod", "date", "head", "tail", "seq", "nslookup", "netstat", "ps", "kill",
		"printf", "tee", "vi", "du", "df", "mount", "httpd", "sysctl"} {
		files = append(files, entry{path: "bin/" + applet, link: "busybox"})
	}
	return files
}

// write writes an archive of the OCI's image layout (image-spec, image-layout.md), which "ctr images import" reads.
func (i image) write(file string) error {
	temp := file + ".layer"
	if err := i.layer(temp); err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	layers := []string{temp}
	if i.base != "" {
		layers = []string{i.base, temp}
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	w := &layout{tar: tar.NewWriter(out)}
	const kind = "application/vnd.oci.image."
	var blobs, sums []any
	for _, l := range layers {
		blob, err := w.file(kind+"layer.v1.tar", l)
		if err != nil {
			return err
		}
		blobs, sums = append(blobs, blob), append(sums, blob["digest"])
	}
	config := w.document(kind+"config.v1+json", map[string]any{"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": i.entrypoint, "Cmd": i.command, "Env": i.env},
		"rootfs": map[string]any{"type": "layers", "diff_ids": sums}})
	var entries []any
	for _, name := range i.names {
		manifest := w.document(kind+"manifest.v1+json",
			map[string]any{"schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "config": config, "layers": blobs})
		manifest["annotations"] = map[string]string{"io.containerd.image.name": name}
		entries = append(entries, manifest)
	}
	w.add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	w.add("index.json", marshal(map[string]any{"schemaVersion": 2, "manifests": entries}))
	w.close()
	return w.err
}

// layer writes the files as a layer.
func (i image) layer(file string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	w := tar.NewWriter(out)
	for _, f := range i.files {
		h := &tar.Header{Name: f.path, Mode: 0o755, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
		switch {
		case f.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		case f.from == "" && f.text == "":
			h.Typeflag = tar.TypeDir
			h.Mode = 0o777
		}
		content := []byte(f.text)
		h.Size = int64(len(content))
		if f.from != "" {
			if content, err = os.ReadFile(f.from); err != nil {
				return err
			}
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	return w.Close()
}

// layout is an image layout that is being written; after an error nothing more is.
type layout struct {
	tar   *tar.Writer
	err   error
	there map[string]bool
}

func (w *layout) add(name string, content []byte) {
	if w.err != nil || w.there[name] {
		return
	}
	if w.there == nil {
		w.there = map[string]bool{}
	}
	w.there[name] = true
	if w.err = w.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(0, 0)}); w.err == nil {
		_, w.err = w.tar.Write(content)
	}
}

// document adds a blob and returns its descriptor.
func (w *layout) document(mediaType string, v any) map[string]any {
	content := marshal(v)
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	w.add("blobs/sha256/"+sum, content)
	return map[string]any{"mediaType": mediaType, "digest": "sha256:" + sum, "size": len(content)}
}

// file adds a blob that is a file, without holding it in memory.
func (w *layout) file(mediaType, path string) (map[string]any, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return nil, err
	}
	sum := fmt.Sprintf("%x", h.Sum(nil))
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if err := w.tar.WriteHeader(&tar.Header{Name: "blobs/sha256/" + sum, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0)}); err != nil {
		return nil, err
	}
	_, err = io.Copy(w.tar, f)
	return map[string]any{"mediaType": mediaType, "digest": "sha256:" + sum, "size": size}, err
}

func (w *layout) close() {
	if w.err == nil {
		w.err = w.tar.Close()
	}
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and maps
	}
	return b
}
