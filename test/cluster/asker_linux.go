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

// asker asks a server from somewhere again and again.
type asker struct {
	name  string
	there bool                                             // asks on the node to which things happen, or asks that node
	find  func(context.Context) (*fabric.Namespace, error) // where to ask from: a pod may be in another namespace by now
	to    netip.AddrPort

	mu     sync.Mutex
	from   *fabric.Namespace
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
	a.mu.Lock()
	from := a.from
	a.mu.Unlock()
	c, err := from.Dial(ctx, "tcp", a.to.String())
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

// move makes the asker ask from where it is by now.
func (a *asker) move(ctx context.Context) error {
	ns, err := a.find(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	old := a.from
	a.from = ns
	a.mu.Unlock()
	if old != nil && old != ns {
		return old.Close()
	}
	return nil
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

// askers are a pod on each node that asks a Service, and somebody outside that asks a node's port, from now until end is called.
func (c *cluster) askers(ctx context.Context) (list []*asker, end func(), err error) {
	manifest := strings.NewReplacer("$IMAGE", agnhostImages[0], "$PAUSE", pauseImage).Replace(chaosManifest)
	if _, err := c.control.kubectl(ctx, manifest, "apply", "-f", "-"); err != nil {
		return nil, nil, err
	}
	for _, what := range []string{"deployment/server", "daemonset/client"} {
		if _, err := c.control.kubectl(ctx, "", "rollout", "status", what, "--timeout=120s"); err != nil {
			return nil, nil, err
		}
	}
	service, err := c.control.kubectl(ctx, "", "get", "service", "server", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return nil, nil, err
	}
	to := netip.AddrPortFrom(netip.MustParseAddr(service), 80)
	outside := func(context.Context) (*fabric.Namespace, error) { return c.control.vm.Ns, nil }
	list = []*asker{
		{name: "a pod, of a Service", there: true, to: to, find: c.client(c.workers[0])},
		{name: "a pod elsewhere, of a Service", to: to, find: c.client(c.workers[1])},
		{name: "from outside, a port", there: true, to: netip.AddrPortFrom(c.workers[0].addrs[0], 30080), find: outside},
	}
	for _, a := range list {
		if err := a.move(ctx); err != nil {
			return nil, nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, a := range list {
		a.reset()
		all.Go(func() { a.run(ctx) })
	}
	return list, func() {
		cancel()
		all.Wait()
		for _, a := range list {
			if a.from != c.control.vm.Ns {
				_ = a.from.Close()
			}
		}
	}, nil
}

// client finds the namespace of the node's pod that asks.
func (c *cluster) client(w *worker) func(context.Context) (*fabric.Namespace, error) {
	return func(ctx context.Context) (*fabric.Namespace, error) {
		pod, err := c.control.kubectl(ctx, "", "get", "pods", "-l", "app=client", "--field-selector=spec.nodeName="+w.name, "-o",
			"jsonpath={.items[0].status.podIP}")
		if err != nil {
			return nil, err
		}
		return w.namespaceOf(ctx, pod)
	}
}

// namespaceOf opens the network namespace of a pod.
func (m *machine) namespaceOf(ctx context.Context, pod string) (*fabric.Namespace, error) {
	file, err := m.run(ctx, "sh", "-c", `for n in /run/netns/*; do nsenter --net=$n ip -o address | grep -q " $0/" && echo $n; done`, pod)
	if file == "" {
		return nil, errors.Join(fmt.Errorf("%s has no pod %s", m.name, pod), err)
	}
	return fabric.Open(fmt.Sprintf("/proc/%d/root%s", m.pid(), strings.TrimSpace(file)))
}
