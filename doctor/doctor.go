// Package doctor looks for every known reason why a pod has no network, and says what to do.
package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

const name = netplugin.Name

// Options say where doctor looks, and what is said. The zero value is all, by the configuration that runtimes have.
type Options struct {
	Output      string // table or json
	Dir, Config string // of the state, and the file; "" for the usual ones
	Pod         string // only what is about this one, and what is wrong with the host
	Level       string // the least that is said: ok, warning or failure
	Ignore      []string
	checks      []string // nil, or the only ones that count
}

// How doctor ends: it has told what is wrong already, or cannot tell.
var (
	ErrWarning = errors.New("there are warnings")
	ErrFailure = errors.New("there are failures")
	ErrBlind   = errors.New("doctor cannot look")
)

// patience is how long what may be a command under way gets to end: an ADD takes milliseconds.
const patience = 2 * time.Second

// Run looks for every known reason why a pod has no network, and does what an ADD would as far as that changes nothing.
// Errors: ErrWarning or ErrFailure, the worst that was found and is not left out; ErrBlind without the rights to look.
func Run(ctx context.Context, o Options, stdout io.Writer) error {
	if err := Privileged(); err != nil {
		return fmt.Errorf("%w: %w %s doctor", ErrBlind, err, filepath.Join(cni.ProgramDir(), name))
	}
	d := New(o)
	found, err := d.Look(ctx)
	if err != nil {
		return err
	}
	if o.Pod != "" {
		found = d.aboutPod(ctx, found)
	} else {
		found = bounded(found)
	}
	found = o.wanted(found)
	if err := printFindings(found, o.Output, stdout); err != nil {
		return err
	}
	switch {
	case count(found, network.Failure) > 0:
		return ErrFailure
	case count(found, network.Warning) > 0:
		return ErrWarning
	}
	return nil
}

// Look is what a second look found, too, where the first saw what may be a command under way.
// Error: the context's.
func (d *Examination) Look(ctx context.Context) ([]network.Finding, error) {
	found := d.examine(ctx)
	if !slices.ContainsFunc(found, func(f network.Finding) bool { return f.Passing }) {
		return found, nil
	}
	select {
	case <-time.After(patience):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return d.lasting(found, d.examine(ctx)), nil
}

// wanted leaves out what nobody wants to hear of.
func (o Options) wanted(found []network.Finding) []network.Finding {
	return slices.DeleteFunc(found, func(f network.Finding) bool {
		return o.checks != nil && !slices.Contains(o.checks, f.Check) || slices.Contains(o.Ignore, f.Check) || o.Level == string(network.Warning) && f.Level == network.OK || o.Level == string(network.Failure) && f.Level != network.Failure
	})
}

// maxEach bounds how many lines one check takes for things of one kind.
const maxEach = 20

func bounded(list []network.Finding) (out []network.Finding) {
	seen, last := map[string]int{}, map[string]int{}
	for _, f := range list {
		if seen[f.Check]++; seen[f.Check] <= maxEach {
			last[f.Check] = len(out)
			out = append(out, f)
		}
	}
	for check, n := range seen {
		if n > maxEach {
			out[last[check]].Found += fmt.Sprintf(" (and %d others)", n-maxEach)
		}
	}
	return out
}

// Examination is what the checks share.
type Examination struct {
	Options
	node   *nodeConf    // nil if there is none that can be read
	conf   *cni.NetConf // nil if there is none, or none that can be used
	common *cni.Common  // what azure-vnet-ipam has of it, whoever calls that; nil as well
	tried  *tried

	DataDir, LogFile string // where state and log are, from Locate on
}

// New is an examination that has not begun.
func New(o Options) *Examination { return &Examination{Options: o} }

func (d *Examination) examine(ctx context.Context) []network.Finding {
	found := d.Locate()
	for _, check := range []func(context.Context) []network.Finding{
		d.plugins, d.folder, d.states, d.locks, d.logs, d.hostAgent, d.pools, d.hostAddresses, d.attachments, d.networks, d.managers,
	} {
		found = append(found, check(ctx)...)
	}
	for i := range found {
		if f := &found[i]; f.Remedy == "" && f.Owner != nil {
			f.Remedy = d.delOf(*f.Owner)
		}
		found[i].Remedy = strings.ReplaceAll(found[i].Remedy, network.RepairCommand, filepath.Join(cni.ProgramDir(), name)+" repair"+d.where())
	}
	return found
}

// Locate finds the configuration, and by it where everything is.
func (d *Examination) Locate() []network.Finding {
	d.node, d.conf, d.common, d.tried = nil, nil, nil, nil
	d.DataDir, d.LogFile = d.Dir, platform.DefaultLogFile(name)
	found := d.configuration()
	if d.DataDir == "" {
		d.DataDir = platform.DefaultDataDir
	}
	return found
}

// networks are the checks of the network package.
func (d *Examination) networks(ctx context.Context) []network.Finding {
	m, err := netplugin.NewManager(d.DataDir, discard)
	if err != nil {
		return network.Report("networks", "", []network.Finding{{Level: network.Failure, Found: err.Error(), Remedy: "run doctor as root, on the host"}})
	}
	var c *network.Config
	var name string
	if d.conf != nil {
		mode, _ := network.ParseMode(d.conf.Mode) // validated when it was parsed
		name, c = d.conf.Name, &network.Config{Mode: mode, Master: d.conf.Master, Bridge: d.conf.Bridge, Settings: netplugin.Settings(d.conf)}
	}
	found, err := m.Examine(ctx, name, c)
	if err != nil {
		return nil // the check of the state files says so
	}
	return found
}

// lasting is what the second look found, without what a command under way left for a moment.
func (d *Examination) lasting(first, second []network.Finding) []network.Finding {
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
func (d *Examination) delOf(o network.Owner) string {
	harmless := regexp.MustCompile(`^[a-zA-Z0-9_.:-]+$`) // a person may paste it into a shell
	for _, part := range []string{o.Network, o.ContainerID, o.IfName} {
		if !harmless.MatchString(part) {
			return "let the runtime collect garbage (GC)"
		}
	}
	conf := map[string]any{"cniVersion": "1.0.0", "name": o.Network, "type": name, "dataDir": d.DataDir, "ipam": json.RawMessage(`{"type":"` + ipamplugin.Name + `"}`)}
	if d.conf != nil {
		conf["logFile"], conf["ipam"] = d.LogFile, cni.Part(d.conf.Raw, "ipam")
	}
	b, err := json.Marshal(conf)
	if err != nil || strings.ContainsAny(string(b), `'`) {
		return "DEL of container " + o.ContainerID
	}
	bin := cni.ProgramDir()
	return fmt.Sprintf("if the container is gone: echo '%s' | CNI_COMMAND=DEL CNI_CONTAINERID=%s CNI_IFNAME=%s CNI_PATH=%s %s",
		b, o.ContainerID, o.IfName, strings.Join(cni.PluginFolders(), string(filepath.ListSeparator)), filepath.Join(bin, name))
}

// LogLevel is the configuration's, "" for the usual one.
func (d *Examination) LogLevel() string {
	if d.conf == nil {
		return ""
	}
	return d.conf.LogLevel
}

// where are the options by which a command looks where doctor does.
func (d *Examination) where() (options string) {
	if d.Config != "" {
		options += " --config " + d.Config
	}
	if d.Dir != "" {
		options += " --data-dir " + d.Dir
	}
	return options
}
