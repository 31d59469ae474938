package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a cluster is compared with, as seen from the repository's root.
const (
	quickstartDoc = "docs/quickstart-kubeadm.md"
	manifestsDir  = "scripts/kubernetes"
)

func main() {
	dir := flag.String("dir", "", "folder of what the cluster is made of, and of the logs")
	machine := flag.String("machine", "", "a Debian with systemd-networkd, NetworkManager and a bus, of the release of that in the folder")
	modes := flag.String("modes", "transparent bridge tunnel", "modes of the plugin")
	proxies := flag.String("proxies", "iptables nftables", "modes of kube-proxy")
	families := flag.String("families", "ipv4 dual", "ipv4, dual")
	focus := flag.String("focus", `\[sig-network\]`, "pattern of the names of Kubernetes' tests")
	procs := flag.Int("procs", 6, "tests at once")
	limit := flag.Duration("limit", time.Hour, "after which a cell is given up")
	chaos := flag.Bool("chaos", false, "instead of the tests: what happens to a node, and for how long nobody is answered")
	only := flag.String("events", "", "pattern of the names of what happens with -chaos; all of it without")
	policies := flag.Bool("policies", false, "with kube-router on the nodes, which enforces network policies")
	quickstart := flag.Bool("quickstart", false, "instead of the tests: only what each cell begins with, the commands of the quickstart")
	hold := flag.Bool("hold", false, "start the first cell's cluster, say how to enter it, and wait to be interrupted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	in, err := prepare(*dir, *machine)
	if err == nil {
		in.policies = *policies
		cells := table(strings.Fields(*modes), strings.Fields(*proxies), strings.Fields(*families))
		switch {
		case *hold:
			err = in.hold(ctx, cells[0])
		case *quickstart:
			err = in.each(ctx, cells, func(c *cluster, _ cell) error { return c.quickstart(ctx, quickstartDoc, manifestsDir) })
		case *chaos:
			err = in.chaos(ctx, cells, *only)
		default:
			err = in.test(ctx, cells, *focus, *procs, *limit)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/cluster:", err)
		os.Exit(1)
	}
}

// prepare makes the images.
func prepare(dir, machine string) (inputs, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return inputs{}, err
	}
	if machine, err = filepath.Abs(machine); err != nil {
		return inputs{}, err
	}
	in := inputs{userland: machine + ":" + filepath.Join(dir, "node"), programs: filepath.Join(dir, "bin"), logs: filepath.Join(dir, "logs"),
		configuration: "cni/conf/10-azure-linux.conflist"}
	images := filepath.Join(in.programs, "images")
	if err := errors.Join(os.RemoveAll(in.logs), os.MkdirAll(images, 0o755)); err != nil {
		return inputs{}, err
	}
	in.images, err = makeImages(images, in.programs, filepath.Join(dir, "agnhost.tar"), filepath.Join(dir, "busybox"))
	return in, err
}

func table(modes, proxies, families []string) (cells []cell) {
	for _, f := range families {
		for _, p := range proxies {
			for _, m := range modes {
				cells = append(cells, cell{m, p, f})
			}
		}
	}
	return cells
}

// test judges all cells and prints the table.
func (in inputs) test(ctx context.Context, cells []cell, focus string, procs int, limit time.Duration) error {
	var rows []string
	failed := false
	for _, cell := range cells {
		began := time.Now()
		v, err := in.judge(ctx, cell, focus, procs, limit)
		row := fmt.Sprintf("%s  %4d  %6d  %5d  %7d  %6d  %5.0f s", cell, len(v.passed)+len(v.failed), len(v.passed), len(v.again),
			len(v.skipped), len(v.failed), time.Since(began).Seconds())
		if err != nil {
			row += "  no verdict: " + strings.SplitN(err.Error(), "\n", 2)[0]
			fmt.Printf("%s: %v\n", cell, err)
		}
		failed = failed || err != nil || len(v.failed) > 0
		for _, f := range slices.Sorted(slices.Values(v.failed)) {
			fmt.Printf("FAILED %s: %s\n", cell, f)
		}
		for _, name := range v.again {
			fmt.Printf("failed among others, passed alone %s: %s\n", cell, name)
		}
		rows = append(rows, row)
		fmt.Println(row)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	fmt.Printf("\nmode         kube-proxy  family   run  passed  again  skipped  failed    time\n%s\n", strings.Join(rows, "\n"))
	if failed {
		return fmt.Errorf("the logs are in %s", in.logs)
	}
	return nil
}

// judge starts a cluster, has it judged, and ends it.
func (in inputs) judge(ctx context.Context, cell cell, focus string, procs int, limit time.Duration) (v verdict, err error) {
	list, err := exceptions(skippedText, cell, in.policies)
	if err != nil {
		return v, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("given up after %v", limit))
	defer cancel()
	c, err := startCluster(ctx, in, cell)
	logs := in.logsOf(cell)
	if err == nil {
		fmt.Printf("%s: the cluster is ready\n", cell)
		err = c.quickstart(ctx, quickstartDoc, manifestsDir)
	}
	if err == nil {
		v, err = c.control.judge(ctx, focus, list, procs)
	}
	if err == nil {
		err = errors.Join(c.well(ctx), c.lawful())
	}
	err = errors.Join(err, c.close(logs))
	if len(v.skipped) > 0 {
		err = errors.Join(err, os.WriteFile(filepath.Join(logs, "skipped.txt"), []byte(strings.Join(v.skipped, "\n")+"\n"), 0o644))
	}
	return v, err
}

// chaos lets things go wrong in a cluster of each cell.
func (in inputs) chaos(ctx context.Context, cells []cell, only string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	return in.each(ctx, cells, func(c *cluster, cell cell) error { return c.chaos(ctx, cell, pattern) })
}

// each does something with a cluster of each cell.
func (in inputs) each(ctx context.Context, cells []cell, do func(*cluster, cell) error) error {
	var errs []error
	for _, cell := range cells {
		c, err := startCluster(ctx, in, cell)
		if err == nil {
			err = do(c, cell)
		}
		errs = append(errs, err, c.close(in.logsOf(cell)))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (in inputs) logsOf(cell cell) string {
	return filepath.Join(in.logs, fmt.Sprintf("%s-%s-%s", cell.mode, cell.proxy, cell.family))
}

// hold starts a cluster to look at.
func (in inputs) hold(ctx context.Context, cell cell) error {
	c, err := startCluster(ctx, in, cell)
	for _, m := range c.vms {
		fmt.Printf("%s: nsenter --target %d --all   # its files and logs: %s\n", m.name, m.pid(), m.dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	<-ctx.Done()
	return c.close("")
}
