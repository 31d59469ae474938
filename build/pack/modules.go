package main

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
)

// module is something of other people's in the plugins: a Go module, or Go's standard library and runtime ("stdlib").
type module struct {
	Path, Version string
	Dir           string // where its files are
	licences      []licence
}

// linked lists what the binaries really contain, as the linker wrote it into them: not what go.mod offers, which is
// more.
func linked(source string, binaries []string) ([]module, error) {
	found := map[string]module{}
	for _, b := range binaries {
		info, err := buildinfo.ReadFile(b)
		if err != nil {
			return nil, fmt.Errorf("read what %s consists of: %w", b, err)
		}
		deps := slices.Concat(info.Deps, []*debug.Module{goItself(info)})
		if info.Main.Path == referenceModule { // a program of other people's
			deps = append(deps, &info.Main)
		}
		for _, dep := range deps {
			m := module{Path: dep.Path, Version: dep.Version}
			if dep.Replace != nil {
				return nil, fmt.Errorf("%s: module %s is replaced: a release consists of published modules", b, dep.Path)
			}
			if other, there := found[m.Path]; there && other.Version != m.Version {
				return nil, fmt.Errorf("%s has %s %s, the other plugin %s: build both anew", b, m.Path, m.Version, other.Version)
			}
			found[m.Path] = m
		}
	}
	modules := slices.SortedFunc(maps.Values(found), func(a, b module) int { return cmp.Compare(a.Path, b.Path) })
	if err := locate(source, modules); err != nil {
		return nil, err
	}
	for i := range modules {
		var err error
		if modules[i].licences, err = licencesOf(modules[i]); err != nil {
			return nil, err
		}
	}
	return modules, nil
}

const stdlib = "stdlib"

func goItself(info *debug.BuildInfo) *debug.Module {
	return &debug.Module{Path: stdlib, Version: strings.TrimPrefix(info.GoVersion, "go")}
}

// locate asks Go where the modules' files are.
func locate(source string, modules []module) error {
	args := []string{"list", "-m", "-json"}
	for _, m := range modules {
		if m.Path != stdlib {
			args = append(args, m.Path+"@"+m.Version)
		}
	}
	list := goCommand(source, args...)
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	dirs := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Dir string }
		if err = d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		dirs[m.Path] = m.Dir
	}
	root, err := goCommand(source, "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	dirs[stdlib] = strings.TrimSpace(string(root))
	for i, m := range modules {
		if modules[i].Dir = dirs[m.Path]; modules[i].Dir == "" {
			return fmt.Errorf("the files of module %s %s are not in the module cache: go mod download", m.Path, m.Version)
		}
	}
	return nil
}

func goCommand(source string, args ...string) *exec.Cmd {
	c := exec.Command("go", args...)
	c.Dir, c.Stderr = source, os.Stderr
	return c
}
