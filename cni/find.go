package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/Azure/azure-container-networking/platform/plain"
)

// Section is what a plugin gets of a configuration file: the whole, or its part of a list with the name and version of
// that.
type Section struct {
	File    string
	Type    string // of the plugin
	IPAM    string // type of its IPAM plugin
	DataDir string // "" is the default
	Raw     []byte
}

// Sections reads a configuration, or a list of them. Values that a plugin would refuse are none of its business.
func Sections(file string) ([]Section, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list struct {
		Name, CNIVersion string
		Plugins          []map[string]json.RawMessage
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%s: no JSON: %w", file, err)
	}
	if list.Plugins == nil {
		return []Section{newSection(file, raw)}, nil
	}
	var found []Section
	for _, p := range list.Plugins {
		for key, value := range map[string]string{"name": list.Name, "cniVersion": list.CNIVersion} {
			p[key], _ = json.Marshal(value) // a string
		}
		part, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		found = append(found, newSection(file, part))
	}
	return found, nil
}

func newSection(file string, raw []byte) Section {
	var conf struct {
		Type, DataDir string
		IPAM          struct{ Type string }
	}
	_ = json.Unmarshal(raw, &conf) // what has another shape is not ours
	return Section{File: file, Type: conf.Type, IPAM: conf.IPAM.Type, DataDir: conf.DataDir, Raw: raw}
}

// FindSections reads a folder of configurations as runtimes do, by name. A file that cannot be read is an error if it
// names azure-vnet: what the others say may not be all.
func FindSections(dir string) (found []Section, err error) {
	names, _ := plain.Names(dir, plain.All) // no folder, no file
	for _, name := range names {
		file := filepath.Join(dir, name)
		if !slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(file)) {
			continue
		}
		sections, ferr := Sections(file)
		if raw, rerr := os.ReadFile(file); ferr != nil && (rerr != nil || bytes.Contains(raw, []byte("azure-vnet"))) {
			err = errors.Join(err, ferr)
		}
		found = append(found, sections...)
	}
	return found, err
}

// Folder says where the state is: in named, which has to be there, else where the configurations of ours say, the first
// one first; file is the only configuration that counts, "" are all of the folder confs. Without any it is usual.
func Folder(named, file, confs, usual string, ours func(Section) bool) (dirs []string, err error) {
	if named != "" {
		if info, serr := os.Stat(named); serr != nil {
			return nil, fmt.Errorf("--data-dir: %w", serr)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("--data-dir: %s is no folder", named)
		}
		return []string{named}, nil
	}
	var sections []Section
	if file != "" {
		sections, err = Sections(file)
	} else {
		sections, err = FindSections(confs)
	}
	if err != nil {
		return nil, fmt.Errorf("where the state is, a configuration says that cannot be read: %w; correct it, or name the "+
			"folder: --data-dir DIR", err)
	}
	for _, s := range sections {
		dir := s.DataDir
		if dir == "" {
			dir = usual
		}
		if ours(s) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		dirs = []string{usual}
	}
	return dirs, nil
}

// Part is a part of a configuration as it stands there.
func Part(raw []byte, key string) json.RawMessage {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(raw, &all) // whoever asks has decoded it before
	return all[key]
}
