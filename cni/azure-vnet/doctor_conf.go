package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/network"
)

// configuration finds the configuration, parses it as the plugin does, and takes from it where everything is.
func (d *examination) configuration() []network.Finding {
	const check = "configuration"
	file := d.config
	if file == "" {
		var wrong []network.Finding
		file, wrong = configured(confDir)
		if len(wrong) > 0 {
			return network.Report(check, "", wrong)
		}
		if file == "" {
			return network.Report(check, "none for azure-vnet in "+confDir+": what follows is by the state alone (--config FILE names one)", nil)
		}
	}
	fail := func(err error) []network.Finding {
		return network.Report(check, "", []network.Finding{{Level: network.Failure, Found: fmt.Sprintf("%s: %v", file, err), Remedy: "correct the file (docs/cni.md, Network configuration)"}})
	}
	raw, err := pluginConf(file)
	if err != nil {
		return fail(err)
	}
	conf, err := cni.ParseNetConf(raw)
	if err != nil {
		return fail(err)
	}
	if _, err := network.ParseMode(conf.Mode); err != nil {
		return fail(err)
	}
	d.conf, d.dataDir, d.logFile = conf, cmp.Or(d.dir, conf.DataDir), cmp.Or(conf.LogFile, d.logFile)
	return network.Report(check, fmt.Sprintf("%s: network %s", file, conf.Name), nil)
}

// configured is the first file of the folder that names azure-vnet, and what is wrong with that.
func configured(dir string) (file string, wrong []network.Finding) {
	entries, _ := os.ReadDir(dir) // ordered by name; no folder, no file
	first := ""
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(path)) {
			continue
		}
		first = cmp.Or(first, path)
		raw, err := pluginConf(path)
		switch {
		case raw != nil && first != path:
			wrong = append(wrong, network.Finding{Level: network.Failure, Found: fmt.Sprintf("the runtime takes the first file by name, %s, and not %s", first, path), Remedy: "mv " + first + " " + first + ".off"})
			return path, wrong
		case raw != nil:
			return path, nil
		case strings.Contains(e.Name(), "azure"):
			return path, append(wrong, network.Finding{Level: network.Failure, Found: fmt.Sprintf("%s: %v", path, err), Remedy: "correct the file (docs/cni.md, Network configuration)"})
		}
	}
	return "", nil
}

// pluginConf is what azure-vnet gets of a configuration or a list: nil and an error if it is not in there.
func pluginConf(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list struct {
		Name, CNIVersion, Type string
		Plugins                []map[string]json.RawMessage
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("no JSON: %w", err)
	}
	if list.Type == name {
		return raw, nil
	}
	for _, p := range list.Plugins {
		if string(p["type"]) != `"`+name+`"` {
			continue
		}
		for key, value := range map[string]string{"name": list.Name, "cniVersion": list.CNIVersion} {
			if p[key], err = json.Marshal(value); err != nil {
				return nil, err
			}
		}
		return json.Marshal(p)
	}
	return nil, fmt.Errorf("no plugin of type %s in it", name)
}
