//go:build linux

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/cni"
)

// work does what is drawn until the soak ends. Every pod gets a container ID and a namespace of its own.
func (m *machine) work(ctx context.Context, worker int, r *rand.Rand) {
	s := &slot{}
	m.mu.Lock()
	m.slots = append(m.slots, s)
	m.mu.Unlock()
	for step := 0; ; step++ {
		d := draw(r)
		if !pause(ctx, d.pause) {
			return
		}
		if d.op == "GC" {
			m.gc(d)
			continue
		}
		m.calls.RLock()
		m.step(d, s, fmt.Sprintf("%02d%06d%056x", worker, step, 0xfeed))
		m.calls.RUnlock()
	}
}

// pause says whether the soak goes on after it.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return ctx.Err() == nil
	}
}

func (m *machine) step(d decision, s *slot, id string) {
	switch d.op {
	case "STATUS":
		if a := m.call("STATUS", &slot{}, d, nil); a.code != 0 && !a.excused {
			m.fail("STATUS: %s", a)
		}
	case "turn":
		m.turn(d, s, id)
	case "lose":
		if s.state == live {
			m.note("lose", "%.12s", s.id)
			m.disclaim(s)
			m.forget(s)
		}
	case "ping":
		if s.state == live {
			m.ping(s, d)
		}
	case "CHECK":
		m.check(s, d)
	}
}

// turn makes a pod, ends one, or clears up what is not known for sure.
func (m *machine) turn(d decision, s *slot, id string) {
	switch {
	case s.state == absent:
		ns, err := m.VM.NewPod(id[:8])
		if err != nil {
			m.fail("make a namespace: %v", err)
			return
		}
		s.id, s.ns = id, ns
		m.add(d, s)
	case s.state == unknown && d.hasty:
		m.add(d, s)
	default:
		m.del(d, s)
	}
}

func (m *machine) add(d decision, s *slot) {
	again := s.state == unknown // and may have something from before
	s.state = unknown
	a := m.call("ADD", s, d, nil)
	switch {
	case a.ok():
		s.state, s.addrs, s.result = live, a.addrs, a.result
		m.claim(s)
		m.ping(s, d)
	case a.killed, a.excused, again && a.code == cni.CodeExists: // the killed one had done all but say so
	case a.code == 11 && strings.Contains(a.err, "the kernel is too busy"): // it says so, and leaves nothing
		m.note("ADD that gave up waiting for the kernel", "%.12s", s.id)
		if !again {
			m.gaveBack(s, a)
		}
	case d.fail == 0:
		m.fail("ADD of %s: %s", s.id, a)
	case !again:
		m.gaveBack(s, a)
	}
}

func (m *machine) del(d decision, s *slot) {
	s.state = unknown
	m.disclaim(s)
	a := m.call("DEL", s, d, nil)
	switch {
	case a.ok():
		m.forget(s)
	case !a.killed && !a.excused:
		m.fail("DEL of %s: %s", s.id, a)
	}
}

// forget ends the pod's namespace. Its veth goes with it.
func (m *machine) forget(s *slot) {
	if err := s.ns.Close(); err != nil {
		m.fail("close a namespace: %v", err)
	}
	*s = slot{}
}

func (m *machine) check(s *slot, d decision) {
	if s.state != live {
		return
	}
	excused := m.dataFault.watch()
	a := m.call("CHECK", s, d, nil)
	switch {
	case a.ok(), a.killed, a.excused, excused():
	case strings.Contains(a.err, "repaired just now"): // what an earlier fault left: a repair that crossed a DEL, say
		m.note("CHECK that repaired", "%.12s", s.id)
	default:
		m.fail("CHECK of %s: %s", s.id, a)
	}
}

func (m *machine) ping(s *slot, d decision) {
	excused := m.dataFault.watch()
	if err := try(s.ns, d.v6); err != nil && !excused() {
		m.fail("pod %s with %v does not reach the fabric: %v", s.id, s.addrs, err)
	}
}

// gc lets the runtime name what it knows. What it is not sure of it lists, or does not.
func (m *machine) gc(d decision) {
	m.calls.Lock()
	defer m.calls.Unlock()
	valid := []any{}
	for _, s := range m.slots {
		if s.state == live || s.state == unknown && !d.hasty {
			valid = append(valid, map[string]string{"containerID": s.id, "ifname": "eth0"})
		}
	}
	a := m.call("GC", &slot{}, d, map[string]any{"cni.dev/valid-attachments": valid})
	if a.code != 0 && !a.excused {
		m.fail("GC: %s", a)
	}
}
