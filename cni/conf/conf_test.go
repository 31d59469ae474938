// Package conf_test keeps the configurations that we ship in step with the plugins.
package conf_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/containernetworking/cni/libcni"
	"github.com/google/go-cmp/cmp"
)

// shipped is what a runtime, and we, shall read in one of the files.
type shipped struct {
	File, Version, Name, Mode string
	Bridge                    string
	Chain                     []string // the plugins' types
	Asks                      []string // capabilities of azure-vnet
	PortMappings              string   // the plugin of the chain that gets them
	Policies                  []string // HNS policies by type
}

func TestShippedConfigurationsSayWhatBothPluginsAndRuntimesUnderstand(t *testing.T) {
	for _, want := range []shipped{
		// containerd 1.6 reads up to 1.0.0, and every later runtime does.
		{File: "10-azure-linux.conflist", Version: "1.0.0", Name: "azure", Mode: "transparent", Chain: []string{"azure-vnet", "portmap"},
			Asks: []string{"ips", "mac"}, PortMappings: "portmap"},
		// The classic plugin ships this name of a bridge, which other people's scripts expect.
		{File: "10-azure-linux.conflist.bridge", Version: "1.0.0", Name: "azure", Mode: "bridge", Bridge: "azure0",
			Chain: []string{"azure-vnet", "portmap"}, Asks: []string{"ips", "mac"}, PortMappings: "portmap"},
		{File: "10-azure-linux.conflist.tunnel", Version: "1.0.0", Name: "azure", Mode: "tunnel", Bridge: "azure0",
			Chain: []string{"azure-vnet", "portmap"}, Asks: []string{"ips", "mac"}, PortMappings: "portmap"},
		// The oldest version with today's result, for runtimes of the Docker era; azure-vnet maps the ports itself on
		// Windows.
		{File: "10-azure-windows.conflist", Version: "0.3.0", Name: "azure", Mode: "bridge", Chain: []string{"azure-vnet"},
			Asks: []string{"dns", "portMappings"}, PortMappings: "azure-vnet", Policies: []string{"OutBoundNAT", "ROUTE"}},
	} {
		t.Run(want.File, func(t *testing.T) {
			if diff := cmp.Diff(want, read(t, want.File)); diff != "" {
				t.Error(diff)
			}
			if !slices.Contains(cni.Supported.SupportedVersions(), want.Version) {
				t.Errorf("the plugins do not speak version %s", want.Version)
			}
		})
	}
}

func read(t *testing.T, file string) shipped {
	t.Helper()
	list, err := libcni.ConfListFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := shipped{File: file, Version: list.CNIVersion, Name: list.Name}
	for i, plugin := range list.Plugins {
		got.Chain = append(got.Chain, plugin.Network.Type)
		if plugin.Network.Capabilities["portMappings"] {
			got.PortMappings = plugin.Network.Type
		}
		if i > 0 {
			continue
		}
		for name, asked := range plugin.Network.Capabilities {
			if asked {
				got.Asks = append(got.Asks, name)
			}
		}
		slices.Sort(got.Asks)
		conf := parse(t, list, plugin)
		got.Mode, got.Bridge = conf.Mode, conf.Bridge
		got.Policies = policies(t, conf.AdditionalArgs)
	}
	return got
}

// parse hands one plugin's configuration to our parsers as a runtime hands it to the plugins.
func parse(t *testing.T, list *libcni.NetworkConfigList, plugin *libcni.NetworkConfig) *cni.NetConf {
	t.Helper()
	injected, err := libcni.InjectConf(plugin, map[string]any{"name": list.Name, "cniVersion": list.CNIVersion})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cni.ParseIPAMConf(injected.Bytes); err != nil {
		t.Error(err)
	}
	conf, err := cni.ParseNetConf(injected.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if conf.IPAM.Type != "azure-vnet-ipam" {
		t.Errorf("ipam.type is %q", conf.IPAM.Type)
	}
	return conf
}

func policies(t *testing.T, raw json.RawMessage) []string {
	t.Helper()
	if raw == nil {
		return nil
	}
	var args []struct {
		Name  string
		Value struct{ Type string }
	}
	if err := json.Unmarshal(raw, &args); err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, a := range args {
		if a.Name != "EndpointPolicy" {
			t.Errorf("AdditionalArgs: %q is not an EndpointPolicy", a.Name)
		}
		types = append(types, a.Value.Type)
	}
	return types
}
