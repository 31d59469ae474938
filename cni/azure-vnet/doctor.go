package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// errFinding: doctor found something; it is printed already.
var errFinding = errors.New("something is wrong")

// patience is how long what may be a command under way gets to end: an ADD takes milliseconds.
const patience = 2 * time.Second

// doctor looks for every known reason why a pod has no network. It changes nothing.
// Error: errFinding, if anything is not ok, a warning too.
func doctor(ctx context.Context, o options, stdout io.Writer) error {
	d := &examination{options: o}
	found := d.examine(ctx)
	if slices.ContainsFunc(found, func(f network.Finding) bool { return f.Passing }) {
		select {
		case <-time.After(patience):
		case <-ctx.Done():
			return ctx.Err()
		}
		found = d.lasting(found, d.examine(ctx))
	}
	if err := printFindings(found, o.output, stdout); err != nil {
		return err
	}
	if slices.ContainsFunc(found, func(f network.Finding) bool { return f.Level != network.OK }) {
		return errFinding
	}
	return nil
}

// examination is what the checks share.
type examination struct {
	options
	conf    *cni.NetConf // nil if there is none, or none that can be used
	dataDir string
	logFile string
}

func (d *examination) examine(ctx context.Context) []network.Finding {
	found := d.locate()
	for _, check := range []func(context.Context) []network.Finding{
		d.folder, d.states, d.locks, d.logs, d.hostAgent, d.pools, d.hostAddresses, d.attachments, d.networks, d.managers,
	} {
		found = append(found, check(ctx)...)
	}
	for i := range found {
		if f := &found[i]; f.Remedy == "" && f.Owner != nil {
			f.Remedy = d.delOf(*f.Owner)
		}
		found[i].Remedy = strings.ReplaceAll(found[i].Remedy, network.RepairCommand, filepath.Join(selfDir(), name)+" repair"+d.where())
	}
	return found
}

// locate finds the configuration, and by it where everything is.
func (d *examination) locate() []network.Finding {
	d.conf, d.dataDir, d.logFile = nil, d.dir, platform.DefaultLogFile(name)
	found := d.configuration()
	if d.dataDir == "" {
		d.dataDir = platform.DefaultDataDir
	}
	return found
}

// networks are the checks of the network package.
func (d *examination) networks(ctx context.Context) []network.Finding {
	m, err := newManager(d.dataDir, discard)
	if err != nil {
		return network.Report("networks", "", []network.Finding{{Level: network.Failure, Found: err.Error(), Remedy: "run doctor as root, on the host"}})
	}
	var c *network.Config
	var name string
	if d.conf != nil {
		mode, _ := network.ParseMode(d.conf.Mode) // validated when it was parsed
		name, c = d.conf.Name, &network.Config{Mode: mode, Master: d.conf.Master, Bridge: d.conf.Bridge, Settings: settings(d.conf)}
	}
	found, err := m.Examine(ctx, name, c)
	if err != nil {
		return nil // the check of the state files says so
	}
	return found
}

// lasting is what the second look found, without what a command under way left for a moment.
func (d *examination) lasting(first, second []network.Finding) []network.Finding {
	var out []network.Finding
	for i, f := range second {
		before := func(g network.Finding) bool { return g.Check == f.Check && g.Found == f.Found }
		if !f.Passing || slices.ContainsFunc(first, before) {
			out = append(out, f)
			continue
		}
		other := func(g network.Finding) bool { return g.Check == f.Check }
		if !slices.ContainsFunc(out, other) && !slices.ContainsFunc(second[i+1:], other) {
			out = append(out, network.Finding{Check: f.Check, Level: network.OK, Found: "nothing but commands under way"})
		}
	}
	return out
}

// delOf is the command that takes an attachment away, whatever is left of it. It is what a runtime would do.
func (d *examination) delOf(o network.Owner) string {
	harmless := regexp.MustCompile(`^[a-zA-Z0-9_.:-]+$`) // a person may paste it into a shell
	for _, part := range []string{o.Network, o.ContainerID, o.IfName} {
		if !harmless.MatchString(part) {
			return "let the runtime collect garbage (GC)"
		}
	}
	conf := map[string]any{"cniVersion": "1.0.0", "name": o.Network, "type": name, "dataDir": d.dataDir, "ipam": map[string]string{"type": ipamplugin.Name}}
	if d.conf != nil {
		conf["logFile"], conf["ipam"] = d.logFile, map[string]string{"type": d.conf.IPAM.Type}
	}
	b, err := json.Marshal(conf)
	if err != nil {
		return "DEL of container " + o.ContainerID
	}
	bin := selfDir()
	return fmt.Sprintf("if the container is gone: echo '%s' | CNI_COMMAND=DEL CNI_CONTAINERID=%s CNI_IFNAME=%s CNI_PATH=%s %s",
		b, o.ContainerID, o.IfName, bin, filepath.Join(bin, name))
}

// The JSON schema of "doctor -o json" (docs/cni.md).
type diagnosis struct {
	Healthy  bool              `json:"healthy"`
	Findings []network.Finding `json:"findings"`
}

func printFindings(found []network.Finding, output string, w io.Writer) error {
	if output == "json" {
		healthy := !slices.ContainsFunc(found, func(f network.Finding) bool { return f.Level != network.OK })
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(diagnosis{healthy, found})
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, f := range found {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", f.Level, f.Check, f.Found)
		if f.Level != network.OK {
			_, _ = fmt.Fprintf(t, "\t\tremedy: %s\n", f.Remedy)
		}
	}
	return t.Flush()
}

// where are the options by which a command looks where doctor does.
func (d *examination) where() (options string) {
	if d.config != "" {
		options += " --config " + d.config
	}
	if d.dir != "" {
		options += " --data-dir " + d.dir
	}
	return options
}

// selfDir is the folder of this binary, where the other plugins are, too.
func selfDir() string {
	self, err := os.Executable()
	if err != nil {
		return "/opt/cni/bin"
	}
	return filepath.Dir(self)
}
