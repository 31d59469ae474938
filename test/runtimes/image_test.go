//go:build linux

package runtimes

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"
)

// writeImage writes an image of one layer with one program, as an archive of the OCI's image layout (image-spec,
// image-layout.md) that "ctr images import" reads.
func writeImage(file, name, program, path string, entrypoint ...string) error {
	binary, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	layer, err := archive(map[string][]byte{path: binary})
	if err != nil {
		return err
	}
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	blob := func(mediaType string, content []byte) map[string]any {
		sum := fmt.Sprintf("%x", sha256.Sum256(content))
		files["blobs/sha256/"+sum] = content
		return map[string]any{"mediaType": mediaType, "digest": "sha256:" + sum, "size": len(content)}
	}
	document := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // strings and maps
		}
		return b
	}
	const kind = "application/vnd.oci.image."
	config := document(map[string]any{"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Entrypoint": entrypoint},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}}})
	manifest := document(map[string]any{"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
		"config": blob(kind+"config.v1+json", config), "layers": []any{blob(kind+"layer.v1.tar", layer)}})
	entry := blob(kind+"manifest.v1+json", manifest)
	entry["annotations"] = map[string]string{"io.containerd.image.name": name}
	files["index.json"] = document(map[string]any{"schemaVersion": 2, "manifests": []any{entry}})
	content, err := archive(files)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}

func archive(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), ModTime: time.Unix(0, 0)}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}
