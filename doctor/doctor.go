// Package doctor looks for every known reason why a pod has no network, and says what to do. What is in this package
// needs no network of azure-vnet: it is all that azure-vnet-ipam has. The rest is in doctor/networks.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/platform"
)

const name = cni.NetworkPlugin

// Options say where doctor looks, and what is said. The zero value is all, by the configuration that runtimes have.
type Options struct {
	Output      string // table or json
	Dir, Config string // of the state, and the file; "" for the usual ones
	Pod         string // only what is about this one, and what is wrong with the host
	Level       string // the least that is said: ok, warning or failure
	Ignore      []string
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
func (d *Examination) Run(ctx context.Context, stdout io.Writer) error {
	if err := Privileged(); err != nil {
		return fmt.Errorf("%w: %w %s doctor", ErrBlind, err, filepath.Join(cni.ProgramDir(), d.program()))
	}
	found, err := d.Look(ctx)
	if err != nil {
		return err
	}
	if d.Pod != "" && d.Networks != nil {
		found = d.Networks.AboutPod(ctx, d, found)
	} else {
		found = bounded(found)
	}
	found = d.wanted(found)
	if err := printFindings(found, d.Output, stdout); err != nil {
		return err
	}
	switch {
	case count(found, finding.Failure) > 0:
		return ErrFailure
	case count(found, finding.Warning) > 0:
		return ErrWarning
	}
	return nil
}

// Look is what a second look found, too, where the first saw what may be a command under way.
// Error: the context's.
func (d *Examination) Look(ctx context.Context) ([]finding.Finding, error) {
	found := d.examine(ctx)
	if !slices.ContainsFunc(found, func(f finding.Finding) bool { return f.Transient }) {
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
func (o Options) wanted(found []finding.Finding) []finding.Finding {
	return slices.DeleteFunc(found, func(f finding.Finding) bool {
		return slices.Contains(o.Ignore, f.Check) || o.Level == string(finding.Warning) && f.Level == finding.OK ||
			o.Level == string(finding.Failure) && f.Level != finding.Failure
	})
}

// maxEach bounds how many lines one check takes for things of one kind.
const maxEach = 20

func bounded(list []finding.Finding) (out []finding.Finding) {
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

// Networks are those of azure-vnet, with their pods.
type Networks interface {
	// Mode says whether the configuration's is one.
	Mode(mode string) error

	// Versions asks a plugin for the versions of CNI that it speaks.
	Versions(ctx context.Context, path string) ([]string, error)

	// ReadState reads the state in the folder. What it cannot return, since it succeeds with the mirror, it logs.
	ReadState(ctx context.Context, dir string, logger *slog.Logger) error

	// Examine are the checks of what is there for pods, and of who holds which address.
	Examine(ctx context.Context, d *Examination) []finding.Finding

	// AboutPod leaves of what was found what is wrong with the host, and what is about d.Pod.
	AboutPod(ctx context.Context, d *Examination, found []finding.Finding) []finding.Finding
}

// Examination is what the checks share.
type Examination struct {
	Options
	Networks              // nil: only what is about addresses is looked at
	node     *nodeConf    // nil if there is none that can be read
	conf     *cni.NetConf // nil if there is none, or none that can be used
	common   *cni.Common  // what azure-vnet-ipam has of it, whoever calls that; nil as well
	tried    *tried

	DataDir, LogFile string // where state and log are, from Locate on
}

// program is the one that has this doctor.
func (d *Examination) program() string {
	if d.Networks == nil {
		return ipamplugin.Name
	}
	return name
}

func (d *Examination) examine(ctx context.Context) []finding.Finding {
	found := d.Locate()
	for _, check := range []func(context.Context) []finding.Finding{
		d.plugins, d.folder, d.states, d.locks, d.logs, d.hostAgent, d.pools, d.hostAddresses, d.system,
	} {
		found = append(found, check(ctx)...)
	}
	if d.Networks == nil {
		return append(found, d.holders(ctx)...)
	}
	return append(found, d.Networks.Examine(ctx, d)...)
}

// Locate finds the configuration, and by it where everything is.
func (d *Examination) Locate() []finding.Finding {
	d.node, d.conf, d.common, d.tried = nil, nil, nil, nil
	d.DataDir, d.LogFile = d.Dir, platform.DefaultLogFile(name)
	found := d.configuration()
	if d.DataDir == "" {
		d.DataDir = platform.DefaultDataDir
	}
	return found
}

// lasting is what the second look found, without what a command under way left for a moment.
func (d *Examination) lasting(first, second []finding.Finding) []finding.Finding {
	var out []finding.Finding
	for i, f := range second {
		before := func(g finding.Finding) bool { return g.Check == f.Check && g.Found == f.Found }
		if !f.Transient || slices.ContainsFunc(first, before) {
			out = append(out, f)
			continue
		}
		other := func(g finding.Finding) bool { return g.Check == f.Check }
		if !slices.ContainsFunc(out, other) && !slices.ContainsFunc(second[i+1:], other) {
			out = append(out, finding.Finding{Check: f.Check, Level: finding.OK, Found: "nothing but commands under way"})
		}
	}
	return out
}

// Conf is azure-vnet's configuration; nil if there is none, or none that can be used.
func (d *Examination) Conf() *cni.NetConf { return d.conf }

// LogLevel is the configuration's, "" for the usual one.
func (d *Examination) LogLevel() string {
	if d.conf == nil {
		return ""
	}
	return d.conf.LogLevel
}

// Where are the options by which a command looks where doctor does.
func (d *Examination) Where() (options string) {
	if d.Config != "" {
		options += " --config " + d.Config
	}
	if d.Dir != "" {
		options += " --data-dir " + d.Dir
	}
	return options
}
