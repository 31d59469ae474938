// Package metrics writes what a monitoring system wants to know of a node: pods, addresses, what commands did.
package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/doctor"
	"github.com/Azure/azure-container-networking/doctor/networks"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
)

// gathered is what the metrics are about.
type gathered struct {
	version  string
	pods     map[string]int // by network
	ipam     ipam.State
	commands map[string]*tally
	drops    []network.Drop
	findings map[finding.Level]int
	failed   []string // what could not be gathered
}

const name = netplugin.Name

// Options say what is looked at, and where it goes.
type Options struct {
	doctor.Options
	Version  string // of the program
	Textfile string // "" for standard output
	Log      *slog.Logger
}

// Write writes what a monitoring system wants to know, as node_exporter's textfile collector reads it. What cannot be
// found out is left out, and makes an error; the rest is written. dir is the folder of the state.
func Write(ctx context.Context, o Options, dir string, stdout io.Writer) error {
	g, err := gather(ctx, o, dir)
	text := g.text()
	if o.Textfile == "" {
		_, werr := io.WriteString(stdout, text)
		return errors.Join(err, werr)
	}
	return errors.Join(err, replaceFile(o.Textfile, text))
}

func gather(ctx context.Context, o Options, dir string) (g gathered, err error) {
	g = gathered{version: o.Version, pods: map[string]int{}, findings: map[finding.Level]int{}}
	part := func(name string, perr error) {
		if perr != nil {
			g.failed = append(g.failed, name)
			err = errors.Join(err, fmt.Errorf("%s: %w", name, perr))
		}
	}
	d := networks.New(o.Options)
	d.Locate()
	d.DataDir = dir
	part("state", g.states(ctx, o, dir))
	part("commands", g.count(ctx, d))
	var derr error
	g.drops, derr = drops()
	part("drops", derr)
	found, ferr := d.Look(ctx)
	part("doctor", ferr)
	for _, f := range found {
		g.findings[f.Level]++
	}
	return g, err
}

func (g *gathered) states(ctx context.Context, o Options, dir string) error {
	s, err := netplugin.OpenStore(dir, o.Log)
	if err != nil {
		return err
	}
	err = s.View(ctx, func(state *network.State) error {
		for _, n := range state.Networks {
			g.pods[n.Name] = n.Endpoints.Len()
		}
		return nil
	})
	if err != nil {
		return err
	}
	pools, err := ipamplugin.OpenStore(dir, o.Log)
	if err != nil {
		return err
	}
	return pools.View(ctx, func(have *ipam.State) error {
		g.ipam = *have
		return nil
	})
}

// count reads what the logs have since the last time.
func (g *gathered) count(ctx context.Context, d *doctor.Examination) error {
	boot, err := platform.BootID()
	if err != nil {
		return err
	}
	path := filepath.Join(d.DataDir, name+"-metrics")
	claim, err := store.Claims{Path: path + ".lock"}.TakeAll(ctx)
	if err != nil {
		return err
	}
	defer claim.Release()
	c := remembered(path+".json", boot)
	logs := map[string]string{d.LogFile: name}
	if d.LogFile == platform.DefaultLogFile(name) {
		logs[platform.DefaultLogFile(ipamplugin.Name)] = ipamplugin.Name
	}
	for file, plugin := range logs {
		if rerr := c.read(file, plugin); rerr != nil {
			return rerr
		}
	}
	g.commands = c.Commands
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return replaceFile(path+".json", string(text))
}

// remembered is what was counted in this boot. What cannot be read is counted anew: the logs are there.
func remembered(file, boot string) *counted {
	c := &counted{}
	raw, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(raw, c) != nil || c.Boot != boot {
		c = &counted{Boot: boot, Since: time.Now().Add(-platform.SinceBoot()).UTC()}
	}
	return c
}

func (g gathered) text() string {
	e := &exposition{}
	e.family("azure_vnet_build_info", "gauge", "The version of azure-vnet that wrote this.")
	e.sample("azure_vnet_build_info", 1, "version", g.version)
	e.family("azure_vnet_metrics_missing", "gauge", "Parts that could not be found out this time.")
	e.sample("azure_vnet_metrics_missing", float64(len(g.failed)))
	e.family("azure_vnet_pods", "gauge", "Interfaces of pods in a network of azure-vnet.")
	for _, n := range slices.Sorted(maps.Keys(g.pods)) {
		e.sample("azure_vnet_pods", float64(g.pods[n]), "network", n)
	}
	g.addresses(e)
	g.outcomes(e)
	e.family("azure_vnet_dropped_frames_total", "counter",
		"Frames of pods that were dropped, by the rule that did it: what was spoofed among them. Begins anew when the "+
			"rules do.")
	for _, d := range g.drops {
		e.sample("azure_vnet_dropped_frames_total", float64(d.Packets), "interface", d.Name, "reason", d.Reason)
	}
	e.family("azure_vnet_doctor_findings", "gauge", "Lines of azure-vnet doctor by their level.")
	for _, l := range []finding.Level{finding.Failure, finding.OK, finding.Warning} {
		e.sample("azure_vnet_doctor_findings", float64(g.findings[l]), "level", string(l))
	}
	return e.String()
}

// addresses are the pools and the source.
func (g gathered) addresses(e *exposition) {
	for _, m := range []struct {
		name, help string
		of         func(*ipam.Pool) int
	}{
		{"azure_vnet_pool_addresses", "Addresses that Azure assigned to the NIC for pods.", (*ipam.Pool).Capacity},
		{"azure_vnet_pool_used_addresses", "Addresses that somebody holds.",
			func(p *ipam.Pool) int { return len(p.Reservations) }},
		{"azure_vnet_pool_free_addresses", "Addresses that could be given.", (*ipam.Pool).Available},
	} {
		e.family(m.name, "gauge", m.help)
		for _, p := range g.ipam.Pools {
			e.sample(m.name, float64(m.of(p)), "interface", p.Interface, "pool", p.Prefix.String())
		}
	}
	a := g.ipam.Answer
	if a.Refreshed.IsZero() && a.Failure == "" {
		return // it was never asked: addresses may be another plugin's
	}
	e.family("azure_vnet_source_answer_timestamp_seconds", "gauge",
		"When the source of addresses answered last; time() minus this is the answer's age.")
	e.sample("azure_vnet_source_answer_timestamp_seconds", float64(max(0, a.Refreshed.UnixMilli()))/1000)
	e.family("azure_vnet_source_failed", "gauge", "Whether the last question to the source failed.")
	failed := 0.0
	if a.Failure != "" {
		failed = 1
	}
	e.sample("azure_vnet_source_failed", failed)
}

// outcomes are the commands by code, and by how long they took.
func (g gathered) outcomes(e *exposition) {
	const total, took = "azure_vnet_commands_total", "azure_vnet_command_duration_seconds"
	keys := slices.Sorted(maps.Keys(g.commands))
	e.family(total, "counter", "Commands of both plugins by the code of their error, 0 is success, as the log has them "+
		"since the boot.")
	sums := map[string]*tally{}
	for _, k := range keys {
		f := strings.Fields(k)
		t := g.commands[k]
		e.sample(total, float64(t.Count), "code", f[2], "command", f[1], "plugin", f[0])
		key := f[0] + " " + f[1]
		if sums[key] == nil {
			sums[key] = &tally{Buckets: make([]uint64, len(bounds))}
		}
		s := sums[key]
		s.Count, s.Total = s.Count+t.Count, s.Total+t.Total
		for i := range min(len(s.Buckets), len(t.Buckets)) {
			s.Buckets[i] += t.Buckets[i]
		}
	}
	e.family(took, "histogram", "How long commands took.")
	for _, k := range slices.Sorted(maps.Keys(sums)) {
		plugin, command, _ := strings.Cut(k, " ")
		t := sums[k]
		for i, b := range bounds {
			e.sample(took+"_bucket", float64(t.Buckets[i]), "command", command, "plugin", plugin, "le", fmt.Sprint(b.Seconds()))
		}
		e.sample(took+"_bucket", float64(t.Count), "command", command, "plugin", plugin, "le", "+Inf")
		e.sample(took+"_sum", t.Total.Seconds(), "command", command, "plugin", plugin)
		e.sample(took+"_count", float64(t.Count), "command", command, "plugin", plugin)
	}
}

// replaceFile writes a file that others read, as a whole: whoever opens it meets the old text or the new one. Its
// temporary name is none that node_exporter reads.
func replaceFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	const everybody = 0o644 // node_exporter is not root
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(everybody), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
