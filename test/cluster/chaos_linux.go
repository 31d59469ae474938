package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
)

//go:embed chaos.yaml
var chaosManifest string

// event is something that happens to a node while others ask a Service all the time, and how long nobody may get an answer.
type event struct {
	name  string
	limit time.Duration
	make  func(ctx context.Context, c *cluster) error
}

// events happen to the first node, on which the client is. Those that restart a daemon do so without a warning.
func events(cell cell) []event {
	list := []event{
		{"containerd is killed, and starts again", time.Second, restart("containerd", "containerd")},
		{"the kubelet is killed, and starts again", time.Second, func(ctx context.Context, c *cluster) error {
			w := c.workers[0]
			if err := w.kill(ctx, "kubelet"); err != nil {
				return err
			}
			return w.startKubelet(ctx)
		}},
		{"kube-proxy is killed, and starts again", time.Second, restart("kube-proxy", "kube-proxy", "--config=/etc/kubernetes/proxy.yaml", "--hostname-override=node1")},
		{"the plugins are upgraded, and go back", 2 * time.Second, func(ctx context.Context, c *cluster) error {
			_, err := c.workers[0].run(ctx, "sh", "/opt/cluster/v2.0.2/install-cni-plugin.sh", "--from", "/opt/cluster/v2.0.2")
			if err == nil {
				_, err = c.workers[0].run(ctx, "sh", "/opt/cluster/v2.0.2/install-cni-plugin.sh", "--rollback")
			}
			return err
		}},
		{"somebody deletes the plugins' rules", 2 * time.Second, func(ctx context.Context, c *cluster) error {
			_, err := c.workers[0].run(ctx, "sh", "-c", "nft list tables | grep azure-vnet | while read -r t; do nft delete $t; done")
			return err
		}},
		{"40 pods come and go on the node", 4 * time.Second, churn},
	}
	if cell.mode != "transparent" {
		list = append(list, event{"somebody deletes the bridge", 5 * time.Second, func(ctx context.Context, c *cluster) error {
			_, err := c.workers[0].run(ctx, "sh", "-c", `ip link del "$(ip -o link show type bridge | sed "s/^[0-9]*: //; s/:.*//")"`)
			return err
		}})
	}
	return list
}

// kill kills a daemon and waits until its process is gone.
func (m *machine) kill(ctx context.Context, daemon string) error {
	_, err := m.run(ctx, "sh", "-c", "p=$(cat /run/"+daemon+".pid) && kill -9 $p && while [ -d /proc/$p ]; do sleep 0.01; done")
	return err
}

func restart(daemon string, args ...string) func(context.Context, *cluster) error {
	return func(ctx context.Context, c *cluster) error {
		if err := c.workers[0].kill(ctx, daemon); err != nil {
			return err
		}
		return c.workers[0].start(ctx, daemon, args...)
	}
}

// churn fills the node with pods and empties it again.
func churn(ctx context.Context, c *cluster) error {
	for _, replicas := range []string{"40", "0"} {
		if _, err := c.control.kubectl(ctx, "", "scale", "deployment/churn", "--replicas="+replicas); err != nil {
			return err
		}
		if err := until(ctx, replicas+" pods", func(ctx context.Context) error {
			out, err := c.control.kubectl(ctx, "", "get", "pods", "-l", "app=churn", "-o", `jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{" "}{end}`)
			if err == nil && fmt.Sprint(strings.Count(out, "True")) != replicas || replicas == "0" && out != "" {
				err = fmt.Errorf("ready: %q", out)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// asker asks a server from somewhere again and again.
type asker struct {
	name string
	from *fabric.Namespace
	to   netip.AddrPort

	mu     sync.Mutex
	last   time.Time     // of the last answer
	gap    time.Duration // the longest without an answer
	answer int
}

func (a *asker) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := a.ask(ctx); err == nil {
			now := time.Now()
			a.mu.Lock()
			a.gap, a.last = max(a.gap, now.Sub(a.last)), now
			a.answer++
			a.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ask makes a connection of its own. It does not wait for a packet that was lost to be sent again.
func (a *asker) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	c, err := a.from.Dial(ctx, "tcp", a.to.String())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := io.WriteString(c, "GET /hostname HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err == nil && !strings.HasPrefix(string(b), "HTTP/1.0 200") {
		err = errors.New(string(b))
	}
	return err
}

// reset forgets what was, and settled waits until there have been answers again, and returns the longest gap.
func (a *asker) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gap, a.last, a.answer = 0, time.Now(), 0
}

func (a *asker) settled(ctx context.Context) (time.Duration, error) {
	a.mu.Lock()
	before := a.answer
	a.mu.Unlock()
	err := until(ctx, "answers to "+a.name, func(context.Context) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.answer < before+50 {
			return fmt.Errorf("%d answers, the last %v ago", a.answer-before, time.Since(a.last).Round(time.Millisecond))
		}
		return nil
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(a.gap, time.Since(a.last)), err
}

// chaos lets all of it happen and prints how long nobody was answered.
func (c *cluster) chaos(ctx context.Context, cell cell) error {
	askers, end, err := c.askers(ctx)
	if err != nil {
		return err
	}
	defer end()
	var errs []error
	for _, e := range events(cell) {
		for _, a := range askers {
			a.reset()
		}
		began := time.Now()
		if err := e.make(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		took := time.Since(began)
		for _, a := range askers {
			ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("a minute is over"))
			gap, err := a.settled(ctx)
			cancel()
			fmt.Printf("%s  %-40s  %-20s  %6.2f s without an answer, in %.1f s\n", cell, e.name, a.name, gap.Seconds(), took.Seconds())
			if err == nil && gap > e.limit {
				err = fmt.Errorf("%s: %s had no answer for %v, the limit is %v", e.name, a.name, gap, e.limit)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// askers are a pod that asks a Service, and somebody outside that asks a node's port, from now until end is called.
func (c *cluster) askers(ctx context.Context) (list []*asker, end func(), err error) {
	manifest := strings.NewReplacer("$IMAGE", agnhostImages[0], "$PAUSE", pauseImage).Replace(chaosManifest)
	if _, err := c.control.kubectl(ctx, manifest, "apply", "-f", "-"); err != nil {
		return nil, nil, err
	}
	for _, what := range []string{"deployment/server", "deployment/client"} {
		if _, err := c.control.kubectl(ctx, "", "rollout", "status", what, "--timeout=120s"); err != nil {
			return nil, nil, err
		}
	}
	get := func(what ...string) (out string) {
		if err == nil {
			out, err = c.control.kubectl(ctx, "", append([]string{"get"}, what...)...)
		}
		return out
	}
	service := get("service", "server", "-o", "jsonpath={.spec.clusterIP}")
	pod := get("pods", "-l", "app=client", "-o", "jsonpath={.items[0].status.podIP}")
	if err != nil {
		return nil, nil, err
	}
	ns, err := c.workers[0].namespaceOf(ctx, pod)
	if err != nil {
		return nil, nil, err
	}
	list = []*asker{
		{name: "a pod, of a Service", from: ns, to: netip.AddrPortFrom(netip.MustParseAddr(service), 80)},
		{name: "from outside, a port", from: c.control.vm.Ns, to: netip.AddrPortFrom(c.workers[0].addrs[0], 30080)},
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, a := range list {
		a.reset()
		all.Go(func() { a.run(ctx) })
	}
	return list, func() { cancel(); all.Wait(); _ = ns.Close() }, nil
}

// namespaceOf opens the network namespace of a pod.
func (m *machine) namespaceOf(ctx context.Context, pod string) (*fabric.Namespace, error) {
	file, err := m.run(ctx, "sh", "-c", `for n in /run/netns/*; do nsenter --net=$n ip -o address | grep -q " $0/" && echo $n; done`, pod)
	if file == "" {
		return nil, errors.Join(fmt.Errorf("%s has no pod %s", m.name, pod), err)
	}
	return fabric.Open(fmt.Sprintf("/proc/%d/root%s", m.pid(), strings.TrimSpace(file)))
}
