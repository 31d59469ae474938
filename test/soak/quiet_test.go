//go:build linux

package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/network"
)

// probe is a pod of the soak's own, which shows that a machine works, and whose ADD repairs what it finds.
const probe = "99999999feed"

// repaired makes a pod and checks that it works: from here on all the machine's rules are there again. Only for who
// holds calls.
func (m *machine) repaired() error {
	ns, err := m.VM.NewPod(probe[:8])
	if err != nil {
		return err
	}
	s := &slot{id: probe, ns: ns}
	defer func() { _ = ns.Close() }()
	a := m.call("ADD", s, decision{op: "probe"}, nil)
	if !a.ok() {
		return fmt.Errorf("ADD in a quiet moment: %s", a)
	}
	s.addrs = a.addrs
	m.claim(s)
	m.disclaim(s)
	for _, v6 := range []bool{false, true} {
		if err := try(ns, v6); err != nil {
			return fmt.Errorf("a new pod with %v does not reach the fabric: %w", a.addrs, err)
		}
	}
	if a := m.call("DEL", s, decision{op: "probe"}, nil); !a.ok() {
		return fmt.Errorf("DEL in a quiet moment: %s", a)
	}
	return nil
}

// quiet looks at a machine on which nothing goes on: a new pod works, and so does every living one, if need be after
// CHECK has repaired it; the fabric has dropped nothing but what faults explain. Only for who holds calls.
func (m *machine) quiet() error {
	if err := m.repaired(); err != nil {
		return err
	}
	for _, s := range m.living() {
		if try(s.ns, false) != nil || try(s.ns, true) != nil {
			a := m.call("CHECK", s, decision{op: "repair"}, nil)
			if err := errors.Join(try(s.ns, false), try(s.ns, true)); err != nil {
				return fmt.Errorf("pod %s with %v does not reach the fabric, even after CHECK (%s): %w", s.id, s.addrs, a, err)
			}
		}
		// The first one may have repaired something.
		if a := m.call("CHECK", s, decision{op: "quiet"}, nil); !a.ok() {
			if a := m.call("CHECK", s, decision{op: "repaired"}, nil); !a.ok() {
				return fmt.Errorf("CHECK of pod %s in a quiet moment, for the second time: %s", s.id, a)
			}
		}
	}
	if _, err := m.sh("rm -f " + filepath.Join(m.DataDir(), "*.corrupt-*")); err != nil { // a person has looked at them
		return err
	}
	c, err := m.VM.Counters()
	if err != nil {
		return err
	}
	if v := c.Violations(); v != m.forgiven {
		return fmt.Errorf("the fabric dropped frames that Azure would have dropped: %s (faults explain: %s)", v, m.forgiven)
	}
	return nil
}

// watch requires all the time that the host has its network.
func (m *machine) watch(ctx context.Context) {
	for v6 := false; pause(ctx, 100*time.Millisecond); v6 = !v6 {
		excused := m.hostFault.watch()
		if err := try(m.VM.Ns, v6); err != nil && !excused() {
			m.fail("the host does not reach the fabric (v6 %t): %v", v6, err)
		}
	}
}

// end removes everything, as a node that is drained, and requires that nothing is left: in the state, in the pools, in
// the kernel.
func (m *machine) end() {
	m.calls.Lock()
	defer m.calls.Unlock()
	if err := m.quiet(); err != nil {
		m.fail("at the end: %v", err)
		return
	}
	for _, s := range m.slots {
		if s.state != absent {
			m.del(decision{op: "end"}, s)
		}
	}
	if a := m.call("GC", &slot{}, decision{op: "end"}, map[string]any{"cni.dev/valid-attachments": []any{}}); !a.ok() {
		m.fail("GC at the end: %s", a)
	}
	left, err := m.leftovers()
	if err != nil {
		m.fail("look for leftovers: %v", err)
	}
	if len(left) > 0 {
		m.fail("left at the end: %s", strings.Join(left, "\n"))
	}
}

// What of a pod shows in the kernel, by what lists it.
var traces = map[string]*regexp.Regexp{
	"ip -o link":       regexp.MustCompile(`azv\S+`),
	"ip route":         regexp.MustCompile(`.*azv.*`),
	"ip -6 route":      regexp.MustCompile(`.*azv.*`),
	"ip neigh":         regexp.MustCompile(`.*(azv|lladdr 0a:58).*`),
	"ip -6 neigh":      regexp.MustCompile(`.*(azv|lladdr 0a:58).*`),
	"bridge fdb":       regexp.MustCompile(`.*(azv|^0a:58).*`),
	"nft list ruleset": regexp.MustCompile(`[^,{]*comment "azure/[^,}]*|chain .*-azv.*`),
}

// gaveBack requires that an ADD which failed has left nothing. Its undoing may meet the same failure; then it says so.
func (m *machine) gaveBack(s *slot, a answer) {
	if strings.Contains(a.err, network.ErrLeft.Error()) {
		m.note("failed ADD that left something", "%.12s", s.id)
		return
	}
	m.note("failed ADD", "%.12s", s.id)
	excused := m.callFault.watch()
	for _, command := range []string{"ip link", "nft list ruleset", "$BIN/azure-vnet show -o json --data-dir run",
		"$BIN/azure-vnet-ipam show -o json --data-dir run"} {
		out, err := m.sh("BIN=" + binaries + "; " + command)
		if i := strings.Index(out, s.id); (err != nil || i >= 0) && !excused() {
			m.fail("ADD of %s failed (%s) and left, as %q says (%v): %s", s.id, a, command, err, out[max(0, i-200):min(len(out), i+200)])
		}
	}
}

// leftovers lists what there is of pods on a machine that has none.
func (m *machine) leftovers() (found []string, err error) {
	for command, trace := range traces {
		out, err := m.sh(command)
		if err != nil {
			return nil, err
		}
		for _, line := range trace.FindAllString(out, -1) {
			found = append(found, command+": "+line)
		}
	}
	for plugin, list := range map[string]string{"azure-vnet": "endpoints", "azure-vnet-ipam": "reservations"} {
		r, err := m.Operator(context.Background(), plugin, "show", "-o", "json", "--data-dir", m.DataDir())
		if err != nil {
			return nil, err
		}
		var shown struct {
			Networks []struct{ Endpoints []json.RawMessage }
			Pools    []struct{ Reservations []json.RawMessage }
		}
		if err := json.Unmarshal(r.Stdout, &shown); err != nil || r.Exit != 0 {
			return nil, fmt.Errorf("%s show: exit %d, %w: %s", plugin, r.Exit, err, r.Stdout)
		}
		for _, n := range shown.Networks {
			for _, e := range n.Endpoints {
				found = append(found, list+": "+string(e))
			}
		}
		for _, p := range shown.Pools {
			for _, e := range p.Reservations {
				found = append(found, list+": "+string(e))
			}
		}
	}
	return found, nil
}
