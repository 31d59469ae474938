package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// folders is where the guest looks for programs.
var folders = []string{"/sbin", "/bin"}

// tools are this machine's programs that the tests and the reference plugins call, or that an operator would.
var tools = []string{
	"sh", "cat", "cp", "mkdir", "mount", "rm", "sleep", "stat", "touch", "true",
	"ip", "bridge", "nft", "sysctl", "iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore",
	"ebtables-nft", "ebtables-nft-save", "ebtables-nft-restore", // as the classic plugin left it
}

// tree is the root of a guest, in a folder of this machine.
type tree string

// sources is what goes into a guest's root.
type sources struct {
	kernels string            // folder with an unpacked package for each series
	folders map[string]string // of the guest, and what is copied there
}

// plant makes the root of a guest. It returns the path of the kernel's image.
func (t tree) plant(k kernel, s sources, steps []step) (image string, err error) {
	if err = os.RemoveAll(string(t)); err != nil {
		return "", err
	}
	for _, dir := range []string{"proc", "sys", "dev", "run", "tmp", "var", "etc/systemd", "root", "bin", "sbin"} {
		if err = os.MkdirAll(t.at(dir), 0o755); err != nil {
			return "", err
		}
	}
	plan, err := json.Marshal(steps)
	if err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if image, err = t.modules(k, filepath.Join(s.kernels, k.series)); err != nil {
		return "", err
	}
	errs := []error{os.WriteFile(t.at(planFile), plan, 0o644), copyFile(self, t.at("init")), t.tools()}
	for to, from := range s.folders {
		errs = append(errs, os.CopyFS(t.at(to), os.DirFS(from)))
	}
	return image, errors.Join(errs...)
}

func (t tree) at(path string) string { return filepath.Join(string(t), path) }

// inGuest are the folders of modules that a guest without devices may need.
var inGuest = regexp.MustCompile(`^(arch|crypto|lib|net|drivers/net/[^/]*\.ko[^/]*|drivers/net/(bonding|vxlan)/)`)

// modules copies those of a package's modules that the guest may need, and lists them for modprobe.
func (t tree) modules(k kernel, pkg string) (image string, err error) {
	images, err := filepath.Glob(filepath.Join(pkg, "boot/vmlinuz-"+k.series+".*"))
	if err != nil || len(images) != 1 {
		return "", fmt.Errorf("%s has not one kernel %s: %v", pkg, k.series, images)
	}
	release := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	from, to := filepath.Join(pkg, "lib/modules", release), t.at("lib/modules/"+release)
	if newer := filepath.Join(pkg, "usr/lib/modules", release); exists(newer) {
		from = newer
	}
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(from, path)
		if below, ok := strings.CutPrefix(name, "kernel/"); err != nil || ok && !inGuest.MatchString(below) {
			return err
		}
		return copyFile(path, filepath.Join(to, name))
	})
	if err == nil && k.azl3 {
		err = cut(to)
	}
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("depmod", "-b", string(t), release).CombinedOutput(); err != nil {
		return "", fmt.Errorf("depmod: %w: %s", err, out)
	}
	return images[0], nil
}

// tools copies programs of this machine, with the libraries that they are linked with, and iptables' own.
func (t tree) tools() error {
	programs := map[string]string{"kmod": "sbin/modprobe"}
	for _, name := range tools {
		programs[name] = "bin/" + name
	}
	var paths []string
	for name, to := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			return fmt.Errorf("%w (scripts/setup.sh kernels installs it)", err)
		}
		if err = copyFile(path, t.at(to)); err != nil {
			return err
		}
		paths = append(paths, path)
	}
	extensions, err := filepath.Glob("/usr/lib/*/xtables/*.so")
	if err != nil {
		return err
	}
	for _, path := range extensions {
		if err = copyFile(path, t.at(path)); err != nil {
			return err
		}
	}
	libraries, err := librariesOf(append(paths, extensions...))
	if err != nil {
		return err
	}
	for _, path := range append(libraries, "/etc/ethertypes") { // which ebtables reads
		if err := copyFile(path, t.at(path)); err != nil {
			return err
		}
	}
	return nil
}

var aPath = regexp.MustCompile(`/\S+`)

// librariesOf lists what programs and libraries are linked with.
func librariesOf(paths []string) ([]string, error) {
	out, err := exec.Command("ldd", paths...).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd: %w", err)
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		if path := aPath.FindString(line); strings.HasPrefix(line, "\t") && path != "" {
			list = append(list, path)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
