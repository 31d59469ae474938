package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// inputs are what a cluster is made of.
type inputs struct {
	userland      string   // a Debian with containerd, all that a kubelet calls, and those who manage a host's network: as in boot.sh
	programs      string   // Kubernetes' programs; two releases of the plugins in folders v2.0.1 and v2.0.2, images in images
	images        []string // archives
	configuration string   // the shipped one
	logs          string   // where the logs of a cell that failed go
	policies      bool     // somebody enforces network policies
}

const (
	nodes       = 2
	podsPerNode = 120

	loadBalancers = 20
)

// cluster is a control plane and nodes on a fabric.
type cluster struct {
	fabric  *fabric.Fabric
	dir     string
	control *control

	kubectlHere string // for what needs no cluster
	workers     []*worker
	vms         []*machine

	// background is the controller of load balancers, and who watches the VMs; stop ends them.
	background sync.WaitGroup
	stop       context.CancelFunc
	relayed    atomic.Uint64 // frames that kube-proxy made nodes send in the name of others: see witness
}

// vms are the fabric's machines: the first one is the control plane's.
func vms(family string) fabric.Config {
	cfg := fabric.Default(nodes+1, podsPerNode)
	if family == "dual" {
		cfg = fabric.DefaultDual(nodes+1, podsPerNode)
	}
	for i := range cfg.VMs {
		cfg.VMs[i].Name = fmt.Sprintf("node%d", i)
		cfg.VMs[i].NICs[0].Veth = cfg.VMs[i].Name == managed // which takes a macvlan for somebody else's
	}
	control := &cfg.VMs[0]
	control.Name = "control"
	// In a subnet of its own: the tests, which run there, take themselves for somebody outside of the cluster.
	nic := &control.NICs[0]
	nic.Prefix, nic.Address, nic.Pods, nic.Pods6 = netip.MustParsePrefix("10.250.0.0/16"), netip.MustParseAddr("10.250.0.4"), nil, nil
	if nic.Prefix6.IsValid() {
		nic.Prefix6, nic.Address6 = netip.MustParsePrefix("fd02::/64"), netip.MustParseAddr("fd02::4")
	}
	cfg.LoadBalancers = frontends(loadBalancers)
	return cfg
}

// startCluster starts all of it and waits until pods have names. What is returned beside an error is to be closed, too.
func startCluster(ctx context.Context, in inputs, cell cell) (c *cluster, err error) {
	c = &cluster{kubectlHere: filepath.Join(in.programs, "kubectl")}
	if c.dir, err = os.MkdirTemp("", "cluster"); err != nil {
		return c, err
	}
	if c.fabric, err = fabric.New(vms(cell.family)); err != nil {
		return c, err
	}
	watch, stop := context.WithCancel(ctx)
	c.stop = stop
	for i, vm := range c.fabric.VMs {
		m, err := boot(ctx, vm, filepath.Join(c.dir, vm.Config.Name), in.userland, in.programs)
		if err != nil {
			return c, err
		}
		c.vms = append(c.vms, m)
		if err := c.witness(watch, i+1, m); err != nil {
			return c, err
		}
	}
	if c.control, err = startControl(ctx, c.vms[0], cell.family == "dual"); err != nil {
		return c, err
	}
	c.workers = make([]*worker, nodes)
	var all sync.WaitGroup
	errs := make([]error, nodes)
	for i := range c.workers {
		all.Go(func() { c.workers[i], errs[i] = startWorker(ctx, c.vms[i+1], c.control, in, cell) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	b, err := newBalancer(c.fabric, c.control, c.workers)
	if err != nil {
		return c, err
	}
	c.background.Go(func() { b.run(watch) })
	if err := c.control.ready(ctx, nodes); err != nil || !in.policies {
		return c, err
	}
	for _, w := range c.workers {
		if err := w.enforce(ctx, cell); err != nil {
			return c, err
		}
	}
	return c, nil
}

// close ends the cluster. With keep, the VMs' logs are copied there first.
func (c *cluster) close(keep string) error {
	var errs []error
	if keep != "" {
		for _, m := range c.vms {
			errs = append(errs, os.CopyFS(filepath.Join(keep, m.name), os.DirFS(filepath.Join(m.dir, "log"))))
			plugins, _ := filepath.Glob(filepath.Join(m.dir, "upper/var/log/azure-vnet*"))
			for _, f := range plugins {
				b, err := os.ReadFile(f)
				errs = append(errs, err, os.WriteFile(filepath.Join(keep, m.name, filepath.Base(f)), b, 0o644))
			}
		}
	}
	if c.stop != nil {
		c.stop()
		c.background.Wait()
	}
	for _, m := range c.vms {
		errs = append(errs, m.halt())
	}
	if c.fabric != nil {
		errs = append(errs, c.fabric.Close())
	}
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// lawful says what the fabric has dropped because Azure would have dropped it.
func (c *cluster) lawful() error {
	counters, err := c.fabric.Counters()
	v := counters.Violations()
	v.ForeignAddress -= min(v.ForeignAddress, c.relayed.Load())
	if err == nil && v != (fabric.Counters{}) {
		err = fmt.Errorf("the fabric dropped frames that Azure would have dropped: %s; see foreign.log of each VM", v)
	}
	return err
}

// well waits until the tests' pods are gone, and asks each node's doctor: nothing may be wrong, nor left of a pod.
func (c *cluster) well(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("given up after five minutes"))
	defer cancel()
	if err := until(ctx, "the tests' pods to go", func(ctx context.Context) error {
		out, err := c.control.kubectl(ctx, "", "get", "pods", "--all-namespaces",
			"--field-selector=metadata.namespace!=kube-system", "-o", "name")
		if err == nil && out != "" && !strings.HasPrefix(out, "No resources") {
			err = errors.New(out)
		}
		return err
	}); err != nil {
		return err
	}
	var errs []error
	for _, w := range c.workers {
		_, err := w.run(ctx, "/opt/cni/bin/azure-vnet", "doctor")
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
