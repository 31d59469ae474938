//go:build linux

package install

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// One commit, two folders: the same bytes, and sums that hold.
func TestAReleaseCanBeBuiltAgain(t *testing.T) {
	t.Parallel()
	dirs := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "another/folder")}
	var built []map[string]string
	for _, dir := range dirs {
		command(t, ".", "git", "clone", "--quiet", "../..", dir)
		command(t, dir, "make", "release")
		built = append(built, contents(t, filepath.Join(dir, "output/release")))
	}
	if diff := cmp.Diff(built[0], built[1]); diff != "" {
		t.Errorf("two builds of one commit differ:\n%s", diff)
	}
	release := filepath.Join(dirs[0], "output/release")
	command(t, release, "sh", "-c", "sha256sum --quiet -c *.sha256 && sha512sum --quiet -c *.sha512")
	command(t, release, "sh", "-c", "sha256sum --quiet -c SHA256SUMS && [ $(ls | grep -v -e '\\.sha' -e SHA256SUMS | wc -l) = $(wc -l "+
		"<SHA256SUMS) ]")
	signed(t, release)
	for _, want := range []string{"linux-amd64-*.tgz", "linux-arm64-*.tgz", "windows-amd64-*.zip", "linux-amd64-*.spdx.json"} {
		if found, err := filepath.Glob(filepath.Join(release, "azure-vnet-cni-"+want)); err != nil || len(found) != 1 {
			t.Errorf("%s: %v, %v", want, found, err)
		}
	}
	// Every file but VERSION has its sums, so that whoever takes one can tell.
	for name := range built[0] {
		if strings.HasSuffix(name, ".sha256") || strings.HasSuffix(name, ".sha512") || name == "VERSION" || name == "SHA256SUMS" {
			continue
		}
		for _, sum := range []string{".sha256", ".sha512"} {
			if _, there := built[0][name+sum]; !there {
				t.Errorf("%s has no %s", name, sum)
			}
		}
	}
}

// signed signs the release as the Makefile does, and requires that openssl verifies it by the documented line.
func signed(t *testing.T, release string) {
	t.Helper()
	dir := t.TempDir()
	command(t, dir, "openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "release.key")
	command(t, dir, "openssl", "ec", "-in", "release.key", "-pubout", "-out", "release.pub")
	command(t, "../..", "make", "sign-release", "RELEASE="+release, "KEY="+dir+"/release.key")
	command(t, release, "sh", "-c", "base64 -d SHA256SUMS.sig > "+dir+"/sig && openssl dgst -sha256 -verify "+dir+
		"/release.pub -signature "+dir+"/sig SHA256SUMS")
}

func command(t *testing.T, dir string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	// What this process got from a Makefile is not for another one.
	for _, v := range os.Environ() {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "VERSION", "SOURCE_DATE_EPOCH", "GOOS", "GOARCH", "OUTPUT":
		default:
			cmd.Env = append(cmd.Env, v)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%.3000s", name, args, err, out[max(0, len(out)-3000):])
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[e.Name()] = fmt.Sprintf("%x", sha256.Sum256(text))
	}
	return found
}
