package manager_test

import (
	"context"
	"slices"
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/networktest"
)

// after is what a runtime, or a person, does after a plugin was killed. Each leaves no trace of c1.
var after = map[string]func(*lab){
	"DEL":           func(l *lab) { l.del(c1) },
	"DEL, ADD, DEL": func(l *lab) { l.del(c1); l.add(c1); l.del(c1) },
	"ADD, DEL":      func(l *lab) { l.addOrHave(c1); l.del(c1) },
	"GC":            func(l *lab) { l.collect(c2) },
	"state lost, DEL": func(l *lab) {
		l.forgetState()
		l.del(c1)
	},
	"state lost, GC": func(l *lab) {
		l.forgetState()
		l.collect(c2)
	},
}

// addOrHave is an ADD that may come after one which had ended.
func (l *lab) addOrHave(o network.Owner) {
	l.Helper()
	if n := l.state().Networks[o.Network]; n == nil || n.Endpoints.Get("c1/eth0") == nil || n.Endpoints.Get("c1/eth0").State != network.Ready {
		l.add(o)
	}
}

func (l *lab) collect(keep ...network.Owner) {
	l.Helper()
	_, _, err := l.start().Collect(l.Context(), "azure", func(id, ifName string) bool {
		return slices.Contains(keep, network.Owner{Network: "azure", ContainerID: id, IfName: ifName})
	})
	check(l.T, err)
}

// killEverywhere kills a command in each of its calls and writes, and then does each of the things that may follow.
func killEverywhere(t *testing.T, prepare func(*lab), command func(process)) {
	for name, follow := range after {
		t.Run("then "+name, func(t *testing.T) {
			t.Parallel()
			everyPoint(t, func(t *testing.T, call int, at networktest.Moment) bool {
				l := newLab(t)
				l.add(c2) // a pod that must not notice anything
				prepare(l)
				p := l.start()
				p.host.KillAt(call, at)
				if p.host.Run(func() { command(p) }) {
					return false
				}
				follow(l)
				l.wantOnlyC2()
				return true
			})
		})
	}
}

// wantOnlyC2 requires that nothing is left of another pod than c2, which is as it was.
func (l *lab) wantOnlyC2() {
	l.Helper()
	clean := newLab(l.T)
	clean.add(c2)
	same(l.T, withoutNetworks(l.Host.String()), withoutNetworks(clean.Host.String()))
	for _, n := range l.state().Networks {
		n.Endpoints.Delete("c2/eth0")
		if n.Endpoints.Len() > 0 {
			l.Errorf("endpoints of network %s: %v", n.Name, slices.Collect(n.Endpoints.All()))
		}
	}
}

func TestAddThatIsKilledAnywhereLeavesNothingThatTheNextCommandsDoNotRemove(t *testing.T) {
	t.Parallel()
	killEverywhere(t, func(*lab) {}, func(p process) { _, _ = p.Add(context.Background(), bridgeMode, pod(c1)) })
}

func TestAddAfterAnInterruptedOneThatIsKilledToo(t *testing.T) {
	t.Parallel()
	killEverywhere(t, func(l *lab) { l.interrupt(c1) }, func(p process) { _, _ = p.Add(context.Background(), bridgeMode, pod(c1)) })
}

func TestUndoThatIsKilledAnywhere(t *testing.T) {
	t.Parallel()
	killEverywhere(t, func(*lab) {}, func(p process) {
		p.host.Hook = func(s networktest.Step) {
			if s.Method == "CreateEndpoint" {
				p.host.FailAt(s.Call, networktest.After, errBoom)
			}
		}
		_, _ = p.Add(context.Background(), bridgeMode, pod(c1))
	})
}

func TestDeleteThatIsKilledAnywhere(t *testing.T) {
	t.Parallel()
	killEverywhere(t, func(l *lab) { l.add(c1) }, func(p process) { _ = p.Delete(context.Background(), c1) })
}

func TestCollectThatIsKilledAnywhere(t *testing.T) {
	t.Parallel()
	killEverywhere(t, func(l *lab) { l.add(c1) }, func(p process) {
		_, _, _ = p.Collect(context.Background(), "azure", func(id, _ string) bool { return id == "c2" })
	})
}
