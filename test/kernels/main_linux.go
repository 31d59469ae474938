package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() == 1 {
		guest()
	}
	name := flag.String("kernel", "", "one of 5.10, 6.1, 6.12, azl3; all of them by default")
	dir := flag.String("dir", "", "folder of the unpacked kernels, and of what is made of them")
	bin := flag.String("bin", "", "folder of the two plugins")
	netdevBin := flag.String("netdev", "", "folder of those that do not ask for the bridge family")
	reference := flag.String("reference", "", "folder of the reference plugins")
	tests := flag.String("tests", "", "folder of e2e.test and fabric.test")
	accel := flag.String("accel", "tcg,thread=single", "what runs the guest: tcg or kvm")
	limit := flag.Duration("limit", 45*time.Minute, "after which a guest is given up")
	flag.Parse()
	if runtime.GOARCH != "amd64" {
		fmt.Fprintln(os.Stderr, "test/kernels: the kernels are amd64's, and the guests' tools this machine's, so it has to be one")
		os.Exit(1)
	}
	if len(chosen(*name)) == 0 {
		fmt.Fprintf(os.Stderr, "test/kernels: no kernel %q: one of 5.10, 6.1, 6.12, azl3\n", *name)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	s := sources{kernels: *dir, folders: map[string]string{
		"test/bin": *tests, "plugins": *bin, "plugins-netdev": *netdevBin, "reference": *reference,
		"ipam/testdata": "ipam/testdata", // what test/e2e calls ../../ipam/testdata
	}}
	others, err := leftOut("test/e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/kernels:", err)
		os.Exit(1)
	}
	failed := false
	for _, k := range chosen(*name) {
		if err := k.test(ctx, s, *accel, *limit); err != nil {
			fmt.Printf("%s: FAILED: %v\n", k.name, err)
			failed = true
		}
	}
	fmt.Printf("not in the subset for other kernels, of test/e2e: %s\n", strings.Join(others, " "))
	if failed || ctx.Err() != nil {
		os.Exit(1)
	}
}

// test boots the kernel, runs its tests, and says what was run and what was not.
func (k kernel) test(ctx context.Context, s sources, accel string, limit time.Duration) error {
	began := time.Now()
	root := tree(filepath.Join(s.kernels, k.name+".root"))
	image, err := root.plant(k, s, k.steps())
	if err != nil {
		return err
	}
	archive, log, console := string(root)+".cpio", filepath.Join(s.kernels, k.name+".log"), filepath.Join(s.kernels, k.name+".console.log")
	if err = errors.Join(root.pack(archive), os.RemoveAll(string(root))); err != nil {
		return err
	}
	file, err := os.Create(log)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	fmt.Printf("%s: booting %s; the log is in %s and %s\n", k.name, filepath.Base(image), log, filepath.Base(console))
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it was given up after %v", limit))
	defer cancel()
	var rep report
	err = boot(ctx, accel, image, archive, console, func(r io.Reader) {
		rep = listen(r, func(line string) {
			_, _ = fmt.Fprintln(file, line)
			if strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "kernels: ") {
				fmt.Printf("%s: %6.0f s  %s\n", k.name, time.Since(began).Seconds(), line)
			}
		})
	})
	faults := k.faults(rep)
	if err != nil {
		faults = append(faults, err.Error())
	}
	if len(faults) > 0 {
		return fmt.Errorf("see %s, %s:\n\t%s", log, console, strings.Join(faults, "\n\t"))
	}
	k.summary(rep, time.Since(began))
	return os.Remove(archive)
}

// steps are the runs as commands.
func (k kernel) steps() (steps []step) {
	for _, r := range k.runs {
		var patterns []string
		for _, p := range r.tests {
			patterns = append(patterns, anchored(p))
		}
		args := []string{"/test/bin/" + r.binary, "-test.v", "-test.timeout=20m", "-test.parallel=4", "-test.run", strings.Join(patterns, "|")}
		if len(k.not) > 0 {
			var not []string
			for _, p := range slices.Sorted(maps.Keys(k.not)) {
				not = append(not, anchored(p))
			}
			args = append(args, "-test.skip", strings.Join(not, "|"))
		}
		steps = append(steps, step{r.name, args,
			[]string{"AZURE_CNI_BIN=" + r.plugins, "AZURE_CNI_DATAPLANE=" + r.family, "REFERENCE_CNI_BIN=/reference"}})
	}
	return steps
}

// summary says what was run, and what was not.
func (k kernel) summary(r report, took time.Duration) {
	fmt.Printf("%s: passed on %s in %v\n", k.name, r.release, took.Round(time.Second))
	for _, got := range r.runs {
		names := slices.Sorted(maps.Keys(got.tests))
		top := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.Contains(name, "/") })
		fmt.Printf("%s: run, %s: %d tests with %d subtests: %s\n", k.name, got.name, len(top), len(names)-len(top), strings.Join(top, " "))
	}
	if k.lacks != "" {
		fmt.Printf("%s: not run, %s\n", k.name, k.lacks)
	}
	for _, pattern := range slices.Sorted(maps.Keys(k.not)) {
		fmt.Printf("%s: not run, %s: %s\n", k.name, pattern, k.not[pattern])
	}
}
