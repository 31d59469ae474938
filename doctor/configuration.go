package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/platform/plain"
)

// nodeConf is a configuration of the node's, or a list of them.
type nodeConf struct {
	file    string
	plugins []string
	own     []byte // what azure-vnet gets; nil if another network plugin calls azure-vnet-ipam
	ipam    []byte // what its IPAM plugin gets
}

const remedyFile = "correct the file (docs/cni.md, Network configuration)"

// configuration finds the configuration, parses it as the plugin does, and takes from it where everything is.
func (d *Examination) configuration() []finding.Finding {
	const check = "configuration"
	fail := func(found, remedy string) []finding.Finding {
		return finding.Report(check, "", []finding.Finding{{Level: finding.Failure, Found: found, Remedy: remedy}})
	}
	file := d.Config
	if file == "" {
		var wrong []finding.Finding
		file, wrong = configured(confDirs)
		if len(wrong) > 0 {
			return finding.Report(check, "", wrong)
		}
		where := strings.Join(confDirs, " and ")
		// Where pods have been made, some runtime has a configuration, wherever it looks.
		if _, err := os.Stat(filepath.Join(platform.DefaultDataDir, name+".json")); file == "" && d.Dir == "" && err != nil {
			return fail("none in "+where+" names azure-vnet or azure-vnet-ipam: the runtime starts no pod by them",
				"put one there (docs/cni.md has examples), or name it where the runtime looks elsewhere: azure-vnet doctor "+
					"--config FILE")
		}
		if file == "" {
			return finding.Report(check,
				"none in "+where+" names azure-vnet: what follows is by the state alone (--config FILE names one)", nil)
		}
	}
	c, err := readConf(file)
	if err == nil {
		err = d.take(c)
	}
	if err != nil {
		return fail(in(file, err), remedyFile)
	}
	if d.conf == nil {
		return finding.Report(check, fmt.Sprintf("%s: %s calls azure-vnet-ipam", file, c.plugins[0]), nil)
	}
	return finding.Report(check,
		fmt.Sprintf("%s: network %s, mode %s", file, d.conf.Name, cmp.Or(d.conf.Mode, azure.ModeTunnel)), nil)
}

// take parses the configuration, and looks where it says.
func (d *Examination) take(c *nodeConf) error {
	d.node = c
	if c.own == nil {
		conf, err := cni.ParseIPAMConf(c.ipam)
		if err != nil {
			return err
		}
		d.common, d.DataDir = &conf.Common, cmp.Or(d.Dir, conf.DataDir)
		return nil
	}
	conf, err := cni.ParseNetConf(c.own)
	if err != nil {
		return err
	}
	if d.Networks != nil {
		if err := d.Networks.Mode(conf.Mode); err != nil {
			return err
		}
	}
	d.conf, d.common = conf, &conf.Common
	d.DataDir, d.LogFile = cmp.Or(d.Dir, conf.DataDir), cmp.Or(conf.LogFile, d.LogFile)
	return nil
}

// NetworkNames are those of azure-vnet's configurations on this node.
func NetworkNames() (names []string) {
	for _, dir := range confDirs {
		file, _ := configuredIn(dir)
		if c, err := readConf(file); file != "" && err == nil && c.own != nil {
			if conf, err := cni.ParseNetConf(c.own); err == nil {
				names = append(names, conf.Name)
			}
		}
	}
	return names
}

// configured is the first file of the folders that is about us, and what is wrong with that.
func configured(dirs []string) (file string, wrong []finding.Finding) {
	for _, dir := range dirs {
		if file, wrong = configuredIn(dir); file != "" {
			break
		}
	}
	return file, wrong
}

func configuredIn(dir string) (file string, wrong []finding.Finding) {
	names, _ := plain.Names(dir, plain.All) // no folder, no file
	first := ""
	for _, name := range names {
		path := filepath.Join(dir, name)
		if !slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(path)) {
			continue
		}
		c, err := readConf(path)
		switch {
		case c != nil && first != "":
			return path, []finding.Finding{{Level: finding.Failure,
				Found:  fmt.Sprintf("the runtime takes the first file by name, %s, and not %s", first, path),
				Remedy: moveAside(first)}}
		case c != nil:
			return path, nil
		case strings.Contains(name, "azure"):
			return path, []finding.Finding{{Level: finding.Failure, Found: in(path, err), Remedy: remedyFile}}
		case errors.Is(err, errDelegates):
			continue // it calls what comes after it
		}
		first = cmp.Or(first, path)
	}
	return "", nil
}

// in says which file an error is about, unless it says so itself.
func in(file string, err error) string {
	if text := err.Error(); strings.Contains(text, file) {
		return text
	}
	return fmt.Sprintf("%s: %v", file, err)
}

var errDelegates = errors.New("it calls other network plugins")

// readConf reads a configuration, or a list: an error if it is not about us.
func readConf(file string) (*nodeConf, error) {
	sections, err := cni.Sections(file)
	if err != nil {
		return nil, err
	}
	c := &nodeConf{file: file}
	for _, s := range sections {
		c.plugins = append(c.plugins, s.Type)
		if s.Type != name && s.IPAM != ipamplugin.Name || c.ipam != nil {
			continue
		}
		if c.ipam = s.Raw; s.Type == name {
			c.own = s.Raw
		}
	}
	switch {
	case c.ipam != nil:
		return c, nil
	case slices.Contains(c.plugins, "multus"):
		return nil, errDelegates
	}
	return nil, fmt.Errorf("%s: no plugin of type %s in it", file, name)
}
