package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/libcni"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-peak" {
		peak(os.Args[2:])
	}
	var b bench
	flag.StringVar(&b.bin, "bin", "", "folder of the two plugins")
	flag.StringVar(&b.reference, "reference", "", "folder of the reference plugins")
	flag.StringVar(&b.floor, "floor", "", "folder of test/bench/floor")
	file := flag.String("json", "", "file for the report; with -plot and -markdown: to read")
	only := flag.String("only", ".", "sections to measure: commands, bursts, ipam, packets")
	plot := flag.String("plot", "", "folder for charts of the report, instead of measuring")
	compare := flag.String("compare", "", "report of another run to compare that of -json with, instead of measuring")
	markdown := flag.Bool("markdown", false, "print the report as Markdown, instead of measuring")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case *plot != "":
		err = charts(*file, *plot)
	case *markdown:
		if b.report, err = readReport(*file); err == nil {
			b.report.markdown(os.Stdout)
		}
	case *compare != "":
		err = compareRuns(*file, *compare)
	default:
		err = b.run(ctx, regexp.MustCompile(*only), *file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// compareRuns prints where two runs differ.
func compareRuns(one, other string) error {
	var both [2]*report
	for i, path := range []string{one, other} {
		var err error
		if both[i], err = readReport(path); err != nil {
			return err
		}
	}
	return both[0].differences(both[1], os.Stdout)
}

// bench is one run.
type bench struct {
	bin, reference string
	floor          string            // folder of test/bench/floor
	copies         map[string]string // folder of copies, of which folder
	report         *report
	files          bool // the programs themselves are measured
}

func (b *bench) run(ctx context.Context, only *regexp.Regexp, file string) error {
	copied, err := os.MkdirTemp("", "azure-vnet-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(copied) }()
	if err := b.install(copied); err != nil {
		return err
	}
	b.report = newReport()
	var errs error // what was measured before is kept
	for _, section := range []struct {
		name    string
		measure func(context.Context) error
	}{{"commands", b.commands}, {"bursts", b.bursts}, {"ipam", b.ipam}, {"packets", b.packets}} {
		if !only.MatchString(section.name) {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring", section.name)
		if err := section.measure(ctx); err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", section.name, err))
		}
	}
	if file != "" {
		errs = errors.Join(errs, b.report.write(file))
	}
	return errors.Join(errs, b.report.print(os.Stdout))
}

// pair is a mode of ours and what a user would pick instead.
type pair struct {
	mode, name string
	plugin     map[string]any
}

var pairs = []pair{
	{"bridge", "bridge + host-local", map[string]any{"type": "bridge", "bridge": "cni0", "isGateway": true}},
	{"tunnel", "bridge + host-local", map[string]any{"type": "bridge", "bridge": "cni0", "isGateway": true}},
	{"transparent", "ptp + host-local", map[string]any{"type": "ptp"}},
}

// vms are two simulated VMs: one with ours, the other with the reference, so that neither pays for what the other leaves
// on a host. Their state lies in memory, as that of ours does on a node (/var/run).
type vms struct {
	nodes  [2]*node.Node
	lists  [2]*libcni.NetworkConfigList
	fabric *fabric.Fabric
	dir    string
}

func (b *bench) vms(p pair, addresses int) (_ *vms, err error) {
	v := &vms{}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.close())
		}
	}()
	if v.dir, err = os.MkdirTemp("/dev/shm", "azure-vnet-bench-"); err != nil {
		return nil, err
	}
	if v.fabric, err = fabric.New(fabric.Default(2, addresses)); err != nil {
		return nil, err
	}
	for i, name := range []string{"ours", "reference"} {
		if v.nodes[i], err = node.New(v.fabric.VMs[i], filepath.Join(v.dir, name), b.bin, b.reference, b.floor); err != nil {
			return nil, err
		}
	}
	if v.lists[ours], err = node.List(v.nodes[ours].Conf(map[string]any{"cniVersion": "1.0.0", "mode": p.mode,
		"logLevel": "info"})); err != nil {
		return nil, err
	}
	other := map[string]any{"cniVersion": "1.0.0", "name": "reference", "ipam": hostLocal(v.dir)}
	for k, value := range p.plugin {
		other[k] = value
	}
	v.lists[theReference], err = node.List(other)
	return v, err
}

func hostLocal(dir string) map[string]any {
	return map[string]any{"type": "host-local", "dataDir": dir + "/host-local", "ranges": [][]map[string]any{{{"subnet": "10.88.0.0/16"}}}}
}

func (v *vms) close() error {
	var err error
	if v.fabric != nil {
		err = v.fabric.Close()
	}
	return errors.Join(err, os.RemoveAll(v.dir))
}

// fill adds pods of ours and as many of the reference.
func (v *vms) fill(ctx context.Context, count int) error {
	for range count {
		for i, list := range v.lists {
			if _, err := v.nodes[i].AddPod(ctx, list); err != nil {
				return err
			}
		}
	}
	return nil
}

// peak executes a plugin from a process that is smaller than it, and prints its peak memory in bytes on standard error:
// a process inherits the peak of the one that starts it (fs/exec.c, setmax_mm_hiwater_rss), and this one has had more.
func peak(args []string) {
	cmd := exec.Command(args[0])
	cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	err := cmd.Run()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok && err == nil {
		_ = json.NewEncoder(os.Stderr).Encode(usage.Maxrss << 10)
		os.Exit(0)
	}
	os.Exit(1)
}
