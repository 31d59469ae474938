package networktest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/Azure/azure-container-networking/network"
)

// Moment is when, in the course of a call, something happens.
type Moment string

// The moments of a call. Midway is half of an effect that has two: a veth without its element.
const (
	Before Moment = "before"
	Midway Moment = "midway"
	After  Moment = "after"
)

// Write is the Method of a step at which the store is about to write; see [Process.Clock].
const Write = "Write"

// Step is a moment of one call. Calls and writes of a process are counted together, from 1.
type Step struct {
	Call   int
	Method string // of network.Dataplane, or Write
	Moment Moment

	// The arguments of the call; nil where it has none.
	Network  *network.Network
	Endpoint *network.Endpoint
}

// Process is the host as one process drives it: calls can fail, and the process can be killed in the midst of them. It
// implements network.Dataplane.
type Process struct {
	// Hook runs at each step, outside of any lock of the host.
	Hook func(Step)

	host *Host

	mu    sync.Mutex // guards what follows
	calls int
	fails map[point]error
	kill  point
	dead  bool
}

type point struct {
	call   int
	moment Moment
}

var _ network.Dataplane = (*Process)(nil)

// Process starts a process.
func (h *Host) Process() *Process { return &Process{host: h, fails: map[point]error{}} }

// Calls is how many calls and writes there were.
func (p *Process) Calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// FailAt lets the n-th call fail with err: before, midway or after it took effect. A Write cannot fail.
func (p *Process) FailAt(n int, at Moment, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails[point{n, at}] = err
}

// KillAt ends the process in its n-th call: the goroutine that calls does not return from it (runtime.Goexit), and
// neither does any later call of the process.
func (p *Process) KillAt(n int, at Moment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kill = point{n, at}
}

// Run runs fn as the process, and says whether the process lived to the end of it.
func (p *Process) Run(fn func()) (alive bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

// Clock makes a clock for store.Options.Now. The store reads it once before each write and at no other time, so that
// the process can be killed there, too.
func (p *Process) Clock(now func() time.Time) func() time.Time {
	return func() time.Time {
		s := p.begin(Write)
		_ = p.at(s, Before)
		return now()
	}
}

// begin counts a call.
func (p *Process) begin(method string) Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		runtime.Goexit()
	}
	p.calls++
	return Step{Call: p.calls, Method: method}
}

// at is one step: it returns the failure that was asked for, or does not return.
func (p *Process) at(s Step, m Moment) error {
	s.Moment = m
	if p.Hook != nil {
		p.Hook(s)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	here := point{s.Call, m}
	if p.kill == here {
		p.dead = true
	}
	if p.dead {
		runtime.Goexit()
	}
	return p.fails[here]
}

// do is one call: its effects in order, with the steps between them.
func (p *Process) do(method string, n *network.Network, e *network.Endpoint, effects ...func() error) error {
	s := p.begin(method)
	s.Network, s.Endpoint = n, e
	if err := p.at(s, Before); err != nil {
		return err
	}
	for i, effect := range effects {
		if i > 0 {
			if err := p.at(s, Midway); err != nil {
				return err
			}
		}
		if err := p.host.change(effect); err != nil {
			return err
		}
	}
	return p.at(s, After)
}

// EnsureNetwork implements network.Dataplane.
func (p *Process) EnsureNetwork(_ context.Context, n *network.Network) (network.Ensured, error) {
	seen := network.Ensured{Observed: n.Observed}
	err := p.do("EnsureNetwork", n, nil, func() error { return p.host.forward(n, &seen) },
		func() error { return p.host.bridge(n, &seen) })
	return seen, err
}

// DeleteNetwork implements network.Dataplane.
func (p *Process) DeleteNetwork(_ context.Context, n *network.Network) error {
	return p.do("DeleteNetwork", n, nil, func() error { return p.host.unbridge(n) })
}

// CheckNetNS implements network.Dataplane.
func (p *Process) CheckNetNS(_ context.Context, e *network.Endpoint) error {
	return p.do("CheckNetNS", nil, e, func() error {
		if err := p.host.free(e); e.State != network.Pending || !errors.Is(err, network.ErrExists) {
			return err
		}
		return nil
	})
}

// CreateEndpoint implements network.Dataplane.
func (p *Process) CreateEndpoint(_ context.Context, n *network.Network, e *network.Endpoint) error {
	return p.do("CreateEndpoint", n, e, func() error { return p.host.plug(n, e) },
		func() error { return p.host.announce(n, e) })
}

// DeleteEndpoint implements network.Dataplane.
func (p *Process) DeleteEndpoint(_ context.Context, n *network.Network, e *network.Endpoint) error {
	return p.do("DeleteEndpoint", n, e, func() error { return p.host.unplug(e) },
		func() error { return p.host.withdraw(n, e) })
}

// DeleteEndpoints implements network.Dataplane: first all veths, then all elements.
func (p *Process) DeleteEndpoints(_ context.Context, n *network.Network, list []*network.Endpoint) error {
	var effects []func() error
	for _, e := range list {
		effects = append(effects, func() error { return p.host.unplug(e) })
	}
	for _, e := range list {
		effects = append(effects, func() error { return p.host.withdraw(n, e) })
	}
	return p.do("DeleteEndpoints", n, nil, effects...)
}

// CheckEndpoint implements network.Dataplane.
func (p *Process) CheckEndpoint(_ context.Context, n *network.Network, e *network.Endpoint) error {
	return p.do("CheckEndpoint", n, e, func() error { return p.host.compare(n, e) })
}

// There implements network.Dataplane: the host is one without names for networks.
func (*Process) There(context.Context, string) (bool, error) { return false, nil }

// Networks implements network.Dataplane.
func (*Process) Networks(context.Context) ([]string, error) { return nil, nil }

// Status implements network.Dataplane.
func (p *Process) Status(_ context.Context, n *network.Network) error {
	return p.do("Status", n, nil, func() error { return p.host.Kernel })
}
