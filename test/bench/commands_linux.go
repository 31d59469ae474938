package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/libcni"
)

const rounds, present = 120, 250

// sample is what one call took.
type sample struct {
	wall, cpu float64 // ms
	faults    float64 // pages that the kernel had to provide
}

// The sides of a measurement.
const (
	ours = iota
	theReference
	theFloor // the kernel's part of ours
	sides
)

// commands measures ADD, CHECK and DEL, one after the other, on a VM without pods and on one with 250.
func (b *bench) commands(ctx context.Context) error {
	for _, p := range pairs {
		if err := b.commandsOf(ctx, p); err != nil {
			return fmt.Errorf("%s mode: %w", p.mode, err)
		}
	}
	return nil
}

// sequence is a VM with so many pods, and what the calls there took, by command, of each side.
type sequence struct {
	*vms
	there int
	floor *floor
	took  map[string][sides][]sample
}

// commandsOf goes from one VM to the other, since the machine is not always as fast.
func (b *bench) commandsOf(ctx context.Context, p pair) (err error) {
	var both []*sequence
	defer func() {
		for _, s := range both {
			err = errors.Join(err, s.close())
		}
	}()
	for _, there := range []int{0, present} {
		v, err := b.vms(p, present+10)
		if err != nil {
			return err
		}
		s := &sequence{vms: v, there: there, took: map[string][sides][]sample{}}
		both = append(both, s)
		if err := v.fill(ctx, max(there, 1)); err != nil { // the first one makes the network
			return err
		}
		if s.floor, err = newFloor(ctx, v); err != nil {
			return err
		}
	}
	for n := 0; !enough(n, rounds, slices.Concat(both[0].series(), both[1].series())...); n++ {
		if err := b.renew(n); err != nil {
			return err
		}
		for _, s := range both {
			if err := s.round(ctx, n); err != nil {
				return err
			}
		}
	}
	for _, s := range both {
		group := fmt.Sprintf("%s mode, %d pods there (reference: %s)", p.mode, s.there, p.name)
		b.commandRows(group, p.mode, s.took)
		b.report.single(group, "questions to the host agent for an ADD", "number",
			float64(s.nodes[ours].VM.Agent.Queries())/float64(s.there+len(s.took["ADD"][ours])), 0.02)
		if err := b.details(ctx, s.vms, group); err != nil {
			return err
		}
	}
	b.report.compare(p.mode+" mode (reference: ADD with no pods there)", "ADD with 250 pods there", "ms", walls(both[1].took["ADD"][ours]),
		walls(both[0].took["ADD"][ours]), 1.15)
	return nil
}

// series are what decides how many rounds there are.
func (s *sequence) series() (all []series) {
	for _, of := range s.took {
		all = append(all, series{walls(of[ours]), walls(of[theReference])})
	}
	return all
}

// round makes and removes a pod of each side. Who comes first is another in each round: the kernel is still busy with
// the namespaces of the round before.
func (s *sequence) round(ctx context.Context, n int) error {
	order := [2]int{n % 2, 1 - n%2}
	var pods [2]*node.Pod
	for i, list := range s.lists {
		p, err := s.nodes[i].NewPod(list)
		if err != nil {
			return err
		}
		pods[i] = p
	}
	for _, command := range []string{"ADD", "CHECK", "DEL"} {
		for _, i := range order {
			p := pods[i]
			call := map[string]func(context.Context) error{"ADD": p.Add, "CHECK": p.Check, "DEL": p.Del}[command]
			if err := s.measure(command, i, func() error { return call(ctx) }); err != nil {
				return err
			}
		}
	}
	return errors.Join(s.floorRound(ctx), pods[0].NS.Close(), pods[1].NS.Close())
}

func (s *sequence) measure(command string, side int, call func() error) error {
	var used sample
	at := s.nodes[ours] // the floor's, too
	if side == theReference {
		at = s.nodes[theReference]
	}
	at.Ended = func(p *os.ProcessState) {
		used.cpu += (p.UserTime() + p.SystemTime()).Seconds() * 1e3
		if usage, ok := p.SysUsage().(*syscall.Rusage); ok {
			used.faults += float64(usage.Minflt)
		}
	}
	defer func() { at.Ended = nil }()
	begun := time.Now()
	if err := call(); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	used.wall = time.Since(begun).Seconds() * 1e3
	of := s.took[command]
	of[side] = append(of[side], used)
	s.took[command] = of
	return nil
}

func walls(list []sample) (out []float64) {
	return column(list, func(s sample) float64 { return s.wall })
}
func cpus(list []sample) (out []float64) {
	return column(list, func(s sample) float64 { return s.cpu })
}
func faults(list []sample) (out []float64) {
	return column(list, func(s sample) float64 { return s.faults })
}

func column(list []sample, of func(sample) float64) (out []float64) {
	for _, s := range list {
		out = append(out, of(s))
	}
	return out
}

func (b *bench) commandRows(group, mode string, took map[string][sides][]sample) {
	wall := map[string]float64{"ADD": 0.5, "CHECK": 1, "DEL": 0.95}
	if mode == "transparent" {
		wall["ADD"] = 0.6
	}
	cpu := map[string]float64{"ADD": 0.5}
	for _, command := range []string{"ADD", "CHECK", "DEL"} {
		own, reference := took[command][ours], took[command][theReference]
		b.report.compare(group, command, "ms", walls(own), walls(reference), wall[command])
		b.report.slow(group, command, walls(own), walls(reference))
		b.report.compare(group, command+", CPU time", "ms", cpus(own), cpus(reference), cpu[command])
		b.report.compare(group, command+", page faults", "number", faults(own), faults(reference), 0)
	}
	b.report.compare(group, "ADD, reference: the kernel's part of it (test/bench/floor)", "ms", walls(took["ADD"][ours]),
		walls(took["ADD"][theFloor]), 1.8)
}

// details measures what does not need many calls: memory, system calls, processes; and once what is of the files.
func (b *bench) details(ctx context.Context, v *vms, group string) error {
	var memory, calls, written, processes [2][]float64
	for range 5 {
		for i, list := range v.lists {
			p, err := v.nodes[i].NewPod(list)
			if err != nil {
				return err
			}
			m, err := v.peak(ctx, p)
			if err != nil {
				return err
			}
			t, err := v.trace(ctx, p)
			if err != nil {
				return err
			}
			memory[i], calls[i], written[i], processes[i] = append(memory[i], m/(1<<20)), append(calls[i], t.calls), append(written[i], t.written),
				append(processes[i], t.processes)
			if err := p.NS.Close(); err != nil {
				return err
			}
		}
	}
	b.report.compare(group, "ADD, peak memory of a process", "MiB", memory[0], memory[1], 0)
	b.report.single(group, "ADD, peak memory of a process, ours alone", "MiB", quantile(memory[0], 0.5), 8)
	b.report.compare(group, "ADD, system calls", "number", calls[0], calls[1], 0)
	b.report.single(group, "ADD, system calls, ours alone", "number", quantile(calls[0], 0.5), 400)
	b.report.compare(group, "ADD, written to files", "KiB", written[0], written[1], 0)
	b.report.compare(group, "ADD, processes", "number", processes[0], processes[1], 0)
	if b.files {
		return nil
	}
	b.files = true
	return b.fileRows(ctx)
}

func (b *bench) fileRows(ctx context.Context) error {
	const group = "programs"
	size := func(folder, name string) (float64, error) {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			return 0, err
		}
		return float64(info.Size()) / (1 << 20), nil
	}
	// Sizes in MiB, and the start against the reference's; 0: there is no target.
	targets := map[string]struct{ size, start float64 }{"azure-vnet": {6, 0}, "azure-vnet-ipam": {4, 1}}
	for _, f := range [][2]string{{"azure-vnet", "bridge"}, {"azure-vnet-ipam", "host-local"}} {
		own, err := size(b.bin, f[0])
		if err != nil {
			return err
		}
		other, err := size(b.reference, f[1])
		if err != nil {
			return err
		}
		b.report.compare(group, f[0]+" against "+f[1]+", size", "MiB", []float64{own}, []float64{other}, 0)
		b.report.single(group, f[0]+", size alone", "MiB", own, targets[f[0]].size)
		var took series
		for n := 0; !enough(n, 100, took); n++ {
			if err := b.renew(n); err != nil {
				return err
			}
			for i, path := range []string{filepath.Join(b.bin, f[0]), filepath.Join(b.reference, f[1])} {
				cmd := exec.CommandContext(ctx, path)
				cmd.Env, cmd.Stdin = []string{"CNI_COMMAND=VERSION"}, strings.NewReader(`{"cniVersion":"1.0.0"}`)
				begun := time.Now()
				if err := cmd.Run(); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				took[i] = append(took[i], time.Since(begun).Seconds()*1e3)
			}
		}
		b.report.compare(group, f[0]+" against "+f[1]+", start (VERSION)", "ms", took[0], took[1], targets[f[0]].start)
	}
	return nil
}

// conf is the configuration of a list's only plugin, as libcni passes it.
func conf(list *libcni.NetworkConfigList) ([]byte, string, error) {
	one, err := libcni.InjectConf(list.Plugins[0], map[string]any{"name": list.Name, "cniVersion": list.CNIVersion})
	if err != nil {
		return nil, "", err
	}
	return one.Bytes, one.Network.Type, nil
}

// call executes one command of a pod's plugin below another program.
func (v *vms) call(ctx context.Context, command string, p *node.Pod, below ...string) (stderr string, err error) {
	raw, plugin, err := conf(p.List)
	if err != nil {
		return "", err
	}
	path := ""
	for _, dir := range p.Node.Path {
		if _, serr := os.Stat(filepath.Join(dir, plugin)); serr == nil {
			path = filepath.Join(dir, plugin)
			break
		}
	}
	line := slices.Concat(below, []string{path})
	cmd := p.Node.VM.Ns.Command(ctx, line[0], line[1:]...)
	cmd.Env = []string{"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + p.ID, "CNI_NETNS=" + p.NS.Path(), "CNI_IFNAME=" + p.IfName,
		"CNI_PATH=" + strings.Join(p.Node.Path, ":"), "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(raw), &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s%s", strings.Join(line, " "), err, out.Bytes(), errs.Bytes())
	}
	return errs.String(), nil
}

// peak is the peak memory in bytes of the largest process of an ADD.
func (v *vms) peak(ctx context.Context, p *node.Pod) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	text, err := v.call(ctx, "ADD", p, self, "-peak")
	if err != nil {
		return 0, err
	}
	var bytes float64
	if err := json.Unmarshal([]byte(text), &bytes); err != nil {
		return 0, fmt.Errorf("the helper says %q: %w", text, err)
	}
	_, err = v.call(ctx, "DEL", p)
	return bytes, err
}

// traced is what an ADD asked of the kernel.
type traced struct {
	calls     float64 // without those of Go's scheduler, whose number is another one each time
	processes float64
	written   float64 // KiB
}

// schedulers are the calls by which threads of Go wait for each other, and are told to let others run.
var schedulers = []string{"futex", "nanosleep", "sched_yield", "epoll_pwait", "rt_sigreturn", "tgkill", "getpid", "madvise"}

// trace counts the system calls and the processes of an ADD.
func (v *vms) trace(ctx context.Context, p *node.Pod) (t traced, err error) {
	file := filepath.Join(v.dir, "trace")
	if _, err := v.call(ctx, "ADD", p, "strace", "-f", "-qq", "-o", file); err != nil {
		return t, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return t, err
	}
	for line := range strings.Lines(string(text)) {
		_, call, _ := strings.Cut(strings.TrimSpace(line), " ") // behind the process's number
		call = strings.TrimSpace(call)
		if rest, resumed := strings.CutPrefix(call, "<... "); resumed {
			call, _, _ = strings.Cut(rest, " ")
			t.written += writtenBy(call, line)
			continue
		}
		name, _, is := strings.Cut(call, "(")
		t.written += writtenBy(name, line)
		if !is || slices.Contains(schedulers, name) {
			continue
		}
		t.calls++
		if name == "execve" {
			t.processes++
		}
	}
	_, err = v.call(ctx, "DEL", p)
	return t, err
}

// writtenBy is how much a call has written to a file, in KiB: the number behind the last "= ".
func writtenBy(name, line string) float64 {
	if name != "write" {
		return 0
	}
	at := strings.LastIndex(line, "= ")
	if at < 0 {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(line[at+2:]))
	if err != nil || n < 0 {
		return 0
	}
	return float64(n) / 1024
}
