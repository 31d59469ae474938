package manager_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/networktest"
	"github.com/Azure/azure-container-networking/store"
)

// everyPoint runs fn for each call and moment, until fn says that the command did not get that far.
func everyPoint(t *testing.T, fn func(t *testing.T, call int, at networktest.Moment) (reached bool)) {
	t.Helper()
	for call := 1; ; call++ {
		reached := false
		for _, at := range moments {
			t.Run(fmt.Sprintf("call %d %s its effect", call, at), func(t *testing.T) {
				if fn(t, call, at) {
					reached = true
				}
			})
		}
		if !reached {
			if call == 1 {
				t.Error("the command made no call")
			}
			return
		}
	}
}

func TestAddThatFailsAnywhereLeavesEverythingAsItWas(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*lab){
		"on a fresh host":              func(*lab) {},
		"beside another pod":           func(l *lab) { l.add(c2) },
		"on a network without pods":    func(l *lab) { l.add(c2); l.del(c2) },
		"beside an interrupted ADD":    func(l *lab) { l.interrupt(c2) },
		"on a host that is configured": func(l *lab) { l.add(c2); l.del(c2); l.forgetState() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everyPoint(t, func(t *testing.T, call int, at networktest.Moment) bool {
				l := newLab(t)
				prepare(l)
				before := l.String()
				p := l.start()
				p.host.FailAt(call, at, errBoom)
				_, err := p.Add(t.Context(), bridgeMode, pod(c1))
				if err == nil { // the point is a write, or there is no such point
					return p.host.Calls() >= call
				}
				wantError(t, err, errBoom)
				// Networks stay: EnsureNetwork is declarative, and the next ADD goes on from there. Every
				// trace of the pod is gone.
				same(t, withoutNetworks(l.String()), withoutNetworks(before))
				l.add(c1)
				l.del(c1)
				return true
			})
		})
	}
}

func (l *lab) forgetState() {
	l.Helper()
	for _, suffix := range []string{"", ".bak"} {
		if err := os.Remove(l.path + suffix); err != nil {
			l.Fatal(err)
		}
	}
}

// withoutNetworks leaves the lines about pods.
func withoutNetworks(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		switch strings.Fields(line)[0] {
		case "network", "bridge", "ip_forward":
		default:
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestAddThatFailsOnAFreshHostLeavesNoNetworkThatNeverCameIntoBeing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.start()
	p.host.FailAt(2, networktest.Before, errBoom) // 1 is the write of the intent
	_, err := p.Add(t.Context(), bridgeMode, pod(c1))
	wantError(t, err, errBoom)
	l.want("host")
}

func TestAddThatFailsAfterTheNetworkWasMadeRemembersTheNetwork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.start()
	p.host.Hook = func(s networktest.Step) {
		if s.Method == "CreateEndpoint" && s.Moment == networktest.Before {
			p.host.FailAt(s.Call, networktest.After, errBoom)
		}
	}
	_, err := p.Add(t.Context(), bridgeMode, pod(c1))
	wantError(t, err, errBoom)
	l.want(azureWithoutPods)
}

// What could not be undone is like a crash: the record stays pending, so that DEL and GC know where to look.
func TestAddThatCannotUndoKeepsThePendingRecord(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c2)
	p := l.start()
	p.host.Hook = func(s networktest.Step) {
		switch s.Method {
		case "CreateEndpoint":
			p.host.FailAt(s.Call, networktest.After, errBoom)
		case "DeleteEndpoint":
			p.host.FailAt(s.Call, networktest.Midway, errWorse)
		}
	}
	_, err := p.Add(t.Context(), bridgeMode, pod(c1))
	wantError(t, err, errBoom, errWorse, network.ErrLeft)
	if e := l.state().Networks["azure"].Endpoints.Get("c1/eth0"); e == nil || e.State != network.Pending {
		t.Errorf("the record is %+v", e)
	}
	l.del(c1, c2)
	l.want(azureWithoutPods)
}

func TestAddThatCannotRemoveWhatAnInterruptedOneLeftChangesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.interrupt(c1)
	before := l.String()
	p := l.start()
	p.host.FailAt(1, networktest.Before, errBoom)
	again := pod(c1)
	again.Addresses = prefixes("10.240.1.77/16")
	_, err := p.Add(t.Context(), bridgeMode, again)
	wantError(t, err, errBoom, network.ErrLeft)
	l.want(before)
	l.del(c1)
	l.want(azureWithoutPods)
}

func TestAddWhoseRecordCannotBeMarkedReadyDisconnectsThePod(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	dir := filepath.Dir(l.path)
	p := l.start()
	p.host.Hook = func(s networktest.Step) {
		if s.Method == "CreateEndpoint" && s.Moment == networktest.After {
			check(t, os.Rename(dir, dir+".away"))
		}
	}
	_, err := p.Add(t.Context(), bridgeMode, pod(c1))
	wantError(t, err, store.ErrWrite)
	check(t, os.Rename(dir+".away", dir))
	if text := l.Host.String(); strings.Contains(text, "veth") || strings.Contains(text, "element") {
		t.Errorf("left on the host:\n%s", text)
	}
	l.del(c1) // the record could not be removed either
	l.want(azureWithoutPods)
}

func TestAddOfAPodThatIsDeletedMeanwhileFailsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, at := range moments {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			p := l.start()
			p.host.Hook = func(s networktest.Step) {
				if s.Method == "CreateEndpoint" && s.Moment == at {
					l.del(c1)
				}
			}
			_, err := p.Add(t.Context(), bridgeMode, pod(c1))
			if err == nil || !strings.Contains(err.Error(), "was deleted while it was created") {
				t.Errorf("error %v", err)
			}
			l.want(azureWithoutPods)
		})
	}
}

func TestDeleteThatFailsKeepsTheRecordForTheNextOne(t *testing.T) {
	t.Parallel()
	everyPoint(t, func(t *testing.T, call int, at networktest.Moment) bool {
		l := newLab(t)
		l.add(c1)
		p := l.start()
		p.host.FailAt(call, at, errBoom)
		err := p.Delete(t.Context(), c1)
		if err == nil {
			return p.host.Calls() >= call
		}
		wantError(t, err, errBoom)
		if e := l.state().Networks["azure"].Endpoints.Get("c1/eth0"); e == nil {
			t.Error("the record is gone")
		}
		l.del(c1)
		l.want(azureWithoutPods)
		return true
	})
}

func TestCommandsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1)
	before := l.String()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := l.start().Add(ctx, bridgeMode, pod(c2))
	wantError(t, err, context.Canceled)
	wantError(t, l.start().Delete(ctx, c1), context.Canceled)
	l.want(before)
}

// The undo has a context of its own: that the command's time ran out is often why it failed.
func TestAddThatRunsOutOfTimeIsUndoneAllTheSame(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	p := l.start()
	p.host.Hook = func(s networktest.Step) {
		if s.Method == "CreateEndpoint" && s.Moment == networktest.After {
			cancel()
		}
	}
	_, err := p.Add(ctx, bridgeMode, pod(c1))
	wantError(t, err, context.Canceled)
	l.want(azureWithoutPods)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
